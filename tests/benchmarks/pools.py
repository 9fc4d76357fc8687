"""Figures of pools as a Virtual Account grows to a million instances in two thousand pools, on PostgreSQL."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.benchmarks.report import Row, percentile
from tests.flows.stack import ROOT, Stack
from tests.flows.visitors import Person, Program

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "1000,100000,1000000").split(","))
POOLS = 2_000
CHANGES = 40
REQUESTS = 100
STREAMED = (1_000, 100_000)
INVENTORY = "/accounts/acme.example/inventory/Data%20Center"
REPORTS = "/accounts/acme.example/reports"
PAGES = {
    "Licenses, 2,000 pools": f"{INVENTORY}/licenses/",
    "Licenses by balance": f"{INVENTORY}/licenses/?sort=balance",
    "Product Instances": f"{INVENTORY}/instances/",
}
EXPORTS = {
    "Product Instances, CSV": f"{REPORTS}/instances/?export=csv",
    "Product Instances, JSON": f"{REPORTS}/instances/?export=json",
    "Product Instances, XLSX": f"{REPORTS}/instances/?export=xlsx",
    "Usage of 2,000 pools over 90 days, CSV": f"{REPORTS}/usage/?length=90&export=csv",
}

# Of each license 400 are owned, so that the pools are full at the largest size and some run short.
CATALOG = """
    INSERT INTO licensing_licensefamily (name) SELECT 'Load ' || n FROM generate_series(1, {pools}) n;
    INSERT INTO licensing_license (tag, family_id, display_name, description, feature_name, default_type, billing,
        enforcement, export_restricted, product_ids)
    SELECT 'load-' || f.id, f.id, f.name, '', '', 'perpetual', 'PREPAID', '', false, ''
    FROM licensing_licensefamily f WHERE f.name LIKE 'Load %';
    INSERT INTO licensing_ownershiprecord (smart_account_id, virtual_account_id, kind, key, content_digest, actor_kind,
        actor_id, actor_label, reason, at)
    SELECT smart_account_id, id, 'delivery', 'load', '', 'system', '', '', '', now()
    FROM accounts_virtualaccount WHERE name = 'Data Center';
    INSERT INTO licensing_purchaseline (smart_account_id, virtual_account_id, license_id, record_id, quantity,
        license_type, start, subscription_id, source, created_at)
    SELECT r.smart_account_id, r.virtual_account_id, l.id, r.id, 495 + l.id % 10, 'perpetual', now(), '', 'order', now()
    FROM licensing_ownershiprecord r, licensing_license l WHERE r.key = 'load' AND l.tag LIKE 'load-%';
"""


def measure(stack: Stack) -> Iterator[Row]:
    if not stack.environment["DATABASE_URL"].startswith("postgres"):
        return
    demo = stack.manage_json("seed_demo", "--json")
    password = next(user["password"] for user in demo["users"] if user["email"] == "alice@acme.example")
    client = next(c for c in demo["api_clients"] if c["domain"] == "acme.example" and c["role"] == "SA_ADMIN")
    alice = Person(stack.url, "alice@acme.example", password)
    program = Program(stack.url, client["client_id"], client["client_secret"])
    stack.execute(CATALOG.format(pools=POOLS))
    for size in SIZES:
        run_program(stack, "load", str(size), str(POOLS))
        # As autovacuum would have by then: counting by an index alone needs the visibility map.
        stack.execute("VACUUM ANALYZE")
        name = f"{size:,} instances"
        # All that was loaded differs from the figures, which is the most there can be to set right.
        yield _time_once(f"rebuild_pools, {name}", stack, "rebuild_pools")
        yield _time_once(f"rebuild_pools --check, {name}", stack, "rebuild_pools", "--check")
        yield from _status_rows(stack, name)
        yield from _page_rows(stack, name, alice, program)
        if size in STREAMED:
            yield from _stream_rows(stack, name)


def _page_rows(stack: Stack, name: str, alice: Person, program: Program) -> Iterator[Row]:
    for what, path in PAGES.items():
        counted = run_program(stack, "portal_cost", "queries", path)
        yield _time(f"page {what}, {name}", partial(alice.get, path), note=f"{counted['queries']} queries")
    for what, call in (
        ("API licenses", lambda: program.call("/v1/accounts/acme.example/licenses", {"virtualAccounts": []})),
        ("API devices, 50 rows", lambda: program.call("/v1/accounts/acme.example/devices", {"limit": 50})),
    ):
        yield _time(f"{what}, {name}", call)


def _stream_rows(stack: Stack, name: str) -> Iterator[Row]:
    """Reports from the first row to the last, and by how much the process grows meanwhile."""
    for what, path in EXPORTS.items():
        found = run_program(stack, "portal_cost", "stream", path)
        yield Row(
            f"report {what}, {name}",
            found["seconds"],
            "s",
            ratio=f"{found['rows']:,} lines, {found['bytes'] / 2**20:,.1f} MiB, first after "
            f"{found['first'] * 1000:,.0f} ms, memory +{found['grown'] / 2**20:,.0f} MiB",
        )


def _status_rows(stack: Stack, name: str) -> list[Row]:
    """A change of use in one pool: what the product is told, and the status after the fold."""
    timings: dict[str, list[float]] = run_program(stack, "pool_status", str(CHANGES))
    return [
        Row(
            f"pool {what}, {name}",
            1000 / percentile(taken, 0.5),
            "1/s",
            percentile(taken, 0.5),
            percentile(taken, 0.99),
        )
        for what, taken in timings.items()
    ]


def run_program(stack: Stack, program: str, *arguments: str) -> Any:
    """What another of these benchmarks, as a process of its own, prints."""
    command = [sys.executable, "-m", f"tests.benchmarks.{program}", *arguments]
    environment = {**stack.environment, "DJANGO_SETTINGS_MODULE": "cssm.settings"}
    finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout or "null")


def _time_once(what: str, stack: Stack, *arguments: str) -> Row:
    begun = time.perf_counter()
    stack.manage(*arguments)
    taken = time.perf_counter() - begun
    return Row(what, taken, "s")


def _time(what: str, call: Callable[[], object], *, note: str = "") -> Row:
    call()
    taken = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    p50, p95 = percentile(taken, 0.5), percentile(taken, 0.95)
    return Row(what, 1000 * len(taken) / sum(taken), "1/s", p50, percentile(taken, 0.99), f"p95 {p95:.0f} ms {note}")
