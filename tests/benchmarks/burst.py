"""One tenant registers thousands of products at once: what becomes of them, and how long another waits meanwhile."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import devices, driver
from tests.benchmarks.device_load import ONE_TAG, PATH, pool_level, register
from tests.benchmarks.report import Row, percentile
from tests.flows.stack import ROOT, Stack, wait_for

BURST = int(os.environ.get("BENCH_BURST", "2000"))
RATE = 20
FLEET = 40
ALONE, DURING = 600, 4_000
NEWCOMERS = 30
"""The other tenant registers one product a second itself."""
SPARE_KEYS = FLEET + NEWCOMERS + 30


@dataclass(frozen=True)
class Outcome:
    kind: str
    sent: float
    seconds: float
    failure: str


def measure(stack: Stack) -> Iterator[Row]:
    # Each connection is an open file.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    tokens = {token["domain"]: token["token"] for token in stack.manage_json("seed_demo", "--json")["tokens"]}
    crowd_token, other_token = tokens["acme.example"], tokens["umbrella.example"]
    everyone = devices.make_devices(BURST + FLEET + NEWCOMERS, prefix="BURST")
    crowd, fleet, newcomers = everyone[:BURST], everyone[BURST:-NEWCOMERS], everyone[-NEWCOMERS:]
    wait_for(lambda: pool_level(stack) >= BURST + SPARE_KEYS, seconds=900, what="a filled key pool")
    register(stack, fleet, other_token, "")
    registrations = [("registration", devices.registration(device, crowd_token)) for device in crowd]
    # Once, so that nothing is met for the first time while it is measured.
    _stop(_start(stack, "steady", _authorizations(fleet, FLEET)))
    alone = _stop(_start(stack, "steady", _authorizations(fleet, ALONE)))
    yield _row(f"another tenant's authorizations, {RATE}/s, alone", alone, "")
    entering = [("newcomer", devices.registration(device, other_token)) for device in newcomers]
    other = _start(stack, "steady", _mixed(_authorizations(fleet, DURING), entering))
    crowded = _stop(_start(stack, "burst", registrations))
    other.stdin.close()
    begun, ended = min(o.sent for o in crowded), max(o.sent + o.seconds for o in crowded)
    meanwhile = [outcome for outcome in _stop(other) if begun <= outcome.sent <= ended]
    failures = [outcome for outcome in [*alone, *crowded, *meanwhile] if outcome.failure]
    for outcome in failures[:3]:
        sys.stderr.write(f"{outcome.kind}: {outcome.failure}\n")
    waits = [outcome.seconds * 1000 for outcome in crowded]
    rate = len(crowded) / (ended - begun)
    errors = f"{len(failures)} errors, all within {ended - begun:.1f} s"
    yield Row(f"burst of {len(crowded):,} registrations at once", rate, "1/s", *_shares(waits), errors)
    authorizations = [outcome for outcome in meanwhile if outcome.kind == "authorization"]
    before, after = _shares([o.seconds for o in alone])[1], _shares([o.seconds for o in authorizations])[1]
    yield _row("another tenant's authorizations during the burst", authorizations, f"p99 {after / before:.2f} of alone")
    yield _row(
        "another tenant's registrations during the burst",
        [o for o in meanwhile if o.kind == "newcomer"],
        "one a second",
    )


def _authorizations(fleet: list[devices.Device], number: int) -> list[tuple[str, bytes]]:
    return [
        ("authorization", devices.authorization(fleet[n % len(fleet)], {ONE_TAG: 1 + n // len(fleet) % 2}))
        for n in range(number)
    ]


def _mixed(many: list[tuple[str, bytes]], few: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """One of the few a second, as long as there are any."""
    mixed: list[tuple[str, bytes]] = []
    for number, item in enumerate(many):
        mixed.append(item)
        if number % RATE == RATE // 2 and number // RATE < len(few):
            mixed.append(few[number // RATE])
    return mixed


def _start(stack: Stack, what: str, messages: list[tuple[str, bytes]]) -> Any:
    file = stack.folder / f"{what}.json"
    requests = [(kind, driver.http_request(PATH, body, port=stack.port)) for kind, body in messages]
    file.write_text(json.dumps([(kind, request.decode("latin-1")) for kind, request in requests]))
    command = [sys.executable, "-m", "tests.benchmarks.burst_client", what, str(file), str(stack.port), str(RATE)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _stop(client: Any) -> list[Outcome]:
    """What a client found, once it has come to its end."""
    outcomes = json.loads(client.stdout.read())
    client.wait()
    return [Outcome(*outcome) for outcome in outcomes]


def _shares(values: list[float]) -> tuple[float, float]:
    return (percentile(values, 0.5), percentile(values, 0.99)) if values else (0.0, 0.0)


def _row(what: str, outcomes: list[Outcome], ratio: str) -> Row:
    latencies = [outcome.seconds * 1000 for outcome in outcomes]
    seconds = max(o.sent for o in outcomes) - min(o.sent for o in outcomes) if len(outcomes) > 1 else 1.0
    return Row(what, len(outcomes) / seconds, "1/s", *_shares(latencies), ratio)
