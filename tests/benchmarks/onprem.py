"""Synchronization files of on-prem servers, applied as the worker applies them, on PostgreSQL."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.benchmarks.pools import run_program
from tests.benchmarks.report import Row
from tests.flows.stack import Stack

SIZES = tuple(int(size) for size in os.environ.get("BENCH_FILES", "100000,300000").split(","))
USES = 3
# Bare COPY of as many rows into a table with one index, and their upsert from there into another: no rule, no check.
COPIED = """
    CREATE TEMPORARY TABLE floor_staged (instance text, tag text, quantity bigint);
    CREATE TEMPORARY TABLE floor_kept (instance text, tag text, quantity bigint, UNIQUE (instance, tag));
    INSERT INTO floor_staged SELECT (n / 3)::text, 'tag ' || n % 3, 1 FROM generate_series(1, {rows}) n;
    INSERT INTO floor_kept SELECT * FROM floor_staged
        ON CONFLICT (instance, tag) DO UPDATE SET quantity = excluded.quantity;
"""


def measure(stack: Stack) -> Iterator[Row]:
    if not stack.environment["DATABASE_URL"].startswith("postgres"):
        return
    stack.manage_json("seed_demo", "--json")
    # The worker measured is a process of its own.
    for process in stack.processes[1:]:
        process.terminate()
        process.wait()
    state, file = stack.folder / "server.json", stack.folder / "file.yaml"
    run_program(stack, "onprem_file", "register", str(state))
    for size in SIZES:
        run_program(stack, "onprem_file", "write", str(state), str(file), str(size))
        floor = _read_events(file) + _copy(stack, size * USES)
        yield Row(f"floor: libyaml events + copy and upsert, {size:,} instances", floor, "s")
        for what in ("new", "unchanged"):
            if what == "unchanged":
                run_program(stack, "onprem_file", "write", str(state), str(file), str(size))
            run_program(stack, "onprem_file", "upload", str(state), str(file))
            found = run_program(stack, "onprem_file", "work", str(state))
            note = f"{file.stat().st_size / 1e6:,.0f} MB, peak memory {found['peak'] / 2**20:,.0f} MiB"
            yield Row(
                f"file of {size:,} instances, {size * USES:,} uses, {what}",
                found["seconds"],
                "s",
                ratio=f"{found['seconds'] / floor:.2f} of the floor, {note}",
            )
    stack.manage("rebuild_pools", "--check")


def _read_events(file: Path) -> float:
    begun = time.perf_counter()
    with file.open("rb") as source:
        for _ in yaml.parse(source, Loader=yaml.CLoader):
            pass
    return time.perf_counter() - begun


def _copy(stack: Stack, rows: int) -> float:
    begun = time.perf_counter()
    stack.execute(COPIED.format(rows=rows))
    return time.perf_counter() - begun
