"""Registrations and signed authorization requests per second, against the running product."""

import time

from tests.benchmarks import devices, driver
from tests.benchmarks.report import Row, percentile
from tests.flows.stack import Stack, wait_for

PATH = "/licservice/license"
ONE_TAG = "regid.2017-05.com.cisco.C9300_48P_NW_Advantagek9,1.0_6a224fe3-c92e-4440-a9c1-5d0e53a54015"
MANY_TAGS = [
    "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53",
    "regid.2017-05.com.cisco.c9300_dna_advantage,1.0_411773c3-2116-4c10-94a4-5d357fe6ff18",
    "regid.2017-05.com.cisco.C9300_48P_Dna_Advantage,1.0_60783b06-53ee-484c-b21e-615d3cf6837a",
    ONE_TAG,
]
REGISTRATIONS, FLEET, ROUNDS, CONNECTIONS = 500, 300, 14, 8


def measure(stack: Stack, *, floor: float) -> list[Row]:
    demo = stack.manage_json("seed_demo", "--json")
    token = next(token["token"] for token in demo["tokens"])
    fleet = devices.make_devices(REGISTRATIONS + 100, prefix="BENCH")
    filled, unfilled = fleet[:REGISTRATIONS], fleet[REGISTRATIONS:]
    wait_for(lambda: pool_level(stack) >= REGISTRATIONS, seconds=240, what="a filled key pool")
    rows = [register(stack, filled, token, "registrations, key pool filled")]
    wait_for(lambda: _drain(stack), seconds=10, what="an empty key pool")
    rows.append(register(stack, unfilled, token, "registrations, key pool empty"))
    # Keys are made again in the background; that is not what is measured next.
    wait_for(lambda: pool_level(stack) >= stack.key_pool_size, seconds=900, what="the key pool filled again")
    busy = filled[:FLEET]
    for what, entitlements in (
        ("authorizations, every device the same license, use changes", lambda n, r: {ONE_TAG: 1 + (n + r) % 2}),
        ("authorizations, four licenses, use changes", lambda n, r: {MANY_TAGS[n % 4]: 1 + (n + r) % 2}),
        ("authorizations, another license each time", lambda n, r: {MANY_TAGS[(n + r) % 4]: 1 + r % 2}),
        ("authorizations, use unchanged", lambda n, r: {ONE_TAG: 1}),
    ):
        bodies = [devices.authorization(d, entitlements(n, r)) for r in range(ROUNDS) for n, d in enumerate(busy)]
        rows.append(_authorize(stack, bodies, what, floor))
    stack.manage("sweep")
    stack.manage("rebuild_pools", "--check")
    return rows


def register(stack: Stack, fleet: list[devices.Device], token: str, what: str) -> Row:
    requests = [driver.http_request(PATH, devices.registration(d, token), port=stack.port) for d in fleet]
    result = driver.run(
        requests, port=stack.port, connections=CONNECTIONS, accept=b'\\"status_code\\":\\"OK\\"', keep=True
    )
    _refuse_failures(result)
    for number, body in result.bodies.items():
        devices.learn(fleet[number], body)
    return _row(what, result)


def _authorize(stack: Stack, bodies: list[bytes], what: str, floor: float) -> Row:
    requests = [driver.http_request(PATH, body, port=stack.port) for body in bodies]
    begun = time.perf_counter()
    result = driver.run(requests, port=stack.port, connections=CONNECTIONS, accept=b'\\"status_code\\":\\"OK\\"')
    assert time.perf_counter() > begun
    _refuse_failures(result)
    return _row(what, result, f"{result.rate / floor:.2f} of bare verify + sign on one core")


def _refuse_failures(result: driver.Result) -> None:
    if result.failures:
        raise SystemExit(f"{len(result.failures)} requests failed, the first: {result.failures[0][:2000]!r}")


def _row(what: str, result: driver.Result, ratio: str = "") -> Row:
    p50, p99 = percentile(result.latencies_ms, 0.5), percentile(result.latencies_ms, 0.99)
    return Row(what, result.rate, "1/s", p50, p99, ratio)


def pool_level(stack: Stack) -> int:
    return stack.count("pki_pooledkey")


def _drain(stack: Stack) -> bool:
    stack.execute("DELETE FROM pki_pooledkey")
    return True
