"""Processes of an installation that die, or are gone for days, while on-prem servers are served. Only in `make soak`:
each journey has an installation of its own, on PostgreSQL and a Redis that can be taken away.
"""

import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.flows.stack import BIN, ROOT, Stack, free_port, wait_for
from tests.flows.visitors import Program
from tests.programs import need_program
from tests.sync.conftest import parse
from tests.sync.files import Server, account, instance

SOAK = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SEED") or secrets.randbelow(2**31))
INSTANCES = int(os.environ.get("SOAK_INSTANCES") or 10_000)
DEATHS = int(os.environ.get("SOAK_DEATHS") or 50)
SERVERS = int(os.environ.get("SOAK_SERVERS") or 500)
TAG = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
ACME = "/v1/accounts/acme.example"
PATIENCE = 900.0

pytestmark = [
    pytest.mark.flow,
    pytest.mark.soak,
    pytest.mark.postgresql,
    pytest.mark.skipif(not SOAK, reason="kills and starts processes again and again: make soak"),
]


class Redis:
    """One that nobody else uses, and that can be gone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    need_program("redis-server")
    running = Redis(tmp_path)
    for name in ("CELERY_BROKER_URL", "CACHE_URL"):
        monkeypatch.setenv(name, f"redis://127.0.0.1:{running.port}/0")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def own_stack(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(folder=tmp_path_factory.mktemp("stack"), in_sessions=True)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def acme(own_stack: Stack) -> Program:
    demo = own_stack.manage_json("seed_demo", "--json")
    clients = {(c["domain"], c["role"]): (c["client_id"], c["client_secret"]) for c in demo["api_clients"]}
    return Program(own_stack.url, *clients["acme.example", "SA_ADMIN"])


def ask(stack: Stack, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.environment["DATABASE_URL"].replace("postgres://", "postgresql://")) as connection:
        return connection.execute(statement.encode()).fetchall()


def make_server(number: int) -> Server:
    key, tg_key, ssms_key = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    uuid = f"00000000-0000-4000-8000-{number:012}"
    return Server(
        uuid=uuid, name=f"Plant {number}", host=f"p{number}.plants.example", key=key, tg_key=tg_key, ssms_key=ssms_key
    )


def register(program: Program, server: Server, va: str) -> None:
    status, content = program.upload(
        f"{ACME}/onprem-servers?virtualAccount={va}", server.registration(), seconds=PATIENCE
    )
    assert status == 201, content.decode()
    server.install(parse(content))


# --- a file of 10,000 instances ----


class Carrier:
    """Carries the full files of one server, and looks at what has become of them."""

    def __init__(self, stack: Stack, program: Program) -> None:
        self.stack, self.program, self.server = stack, program, make_server(0)
        self.generated = datetime.now(UTC)
        program.call(f"{ACME}/virtual-accounts", {"name": "Plants", "description": "Killed again and again"})
        register(program, self.server, "Plants")
        self.path = f"{ACME}/onprem-servers/{self.server.uuid}/synchronizations"

    def write(self, quantity: int) -> bytes:
        self.generated = max(self.generated + timedelta(milliseconds=1), datetime.now(UTC))
        rows = [instance(n, uses={TAG: quantity}) for n in range(1, INSTANCES + 1)]
        generated = f"{self.generated:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        return self.server.synchronization(account(1, "Plants", *rows), generated=generated, full=True)

    def try_upload(self, data: bytes, *, in_background: bool) -> int:
        """The HTTP status; 0 where nobody answered to the end."""
        more = {"Prefer": "respond-async"} if in_background else {}
        try:
            return self.program.upload(self.path, data, seconds=PATIENCE, **more)[0]
        except OSError:
            return 0

    def finish(self, data: bytes) -> None:
        """The same bytes once more, by the direct way; the response is installed."""
        status, content = self.program.upload(self.path, data, seconds=PATIENCE)
        assert status == 200, content.decode()
        self.server.install(parse(content))

    def in_use(self) -> int:
        answer = self.program.call(f"{ACME}/licenses", {"virtualAccounts": ["Plants"]})
        return sum(row["inUse"] for row in answer["licenses"] if row["entitlementTag"] == TAG)

    def open_exchanges(self) -> int:
        return int(
            ask(
                self.stack,
                "SELECT count(*) FROM sync_exchange WHERE state IN ('waiting', 'staging', 'applying')",
            )[0][0]
        )


def test_web_and_worker_killed_at_50_points_of_a_file_leave_all_or_nothing(own_stack: Stack, acme: Program) -> None:
    """Every second file is worked on in the background. What a dead process held is held for some minutes more: here
    those pass at once."""
    carrier, chance = Carrier(own_stack, acme), random.Random(SEED)
    started = time.monotonic()
    carrier.finish(carrier.write(1))
    span = time.monotonic() - started
    applied = cut_off = 0
    for death in range(1, DEATHS + 1):
        before, after = INSTANCES * death, INSTANCES * (death + 1)
        data, in_background = carrier.write(death + 1), death % 2 == 0
        upload = threading.Thread(target=carrier.try_upload, args=(data,), kwargs={"in_background": in_background})
        upload.start()
        time.sleep(span * (death - chance.random()) / DEATHS * 1.2)
        own_stack.kill("web", "worker")
        upload.join()
        own_stack.revive("web", "worker")
        found = carrier.in_use()
        assert found in (before, after), f"SEED={SEED}, death {death}"
        applied, cut_off = applied + (found == after), cut_off + (found == before)
        own_stack.shift("sync_exchange", "held_until", hours=1)
        carrier.finish(data)
        assert carrier.in_use() == after, f"SEED={SEED}, death {death}"
        wait_for(lambda: carrier.open_exchanges() == 0, seconds=PATIENCE, what="every exchange comes to its end")
        assert carrier.in_use() == after, f"SEED={SEED}, death {death}"
    sys.stdout.write(f"killed {DEATHS} times: {cut_off} before the file was applied, {applied} after\n")
    assert cut_off > DEATHS / 4, "the processes died too late to show anything"
    counts = ask(
        own_stack,
        "SELECT (SELECT count(*) FROM licensing_productinstance i JOIN licensing_origin o ON o.id = i.origin_id"
        " WHERE o.name <> 'direct'), (SELECT count(*) FROM licensing_stagedinstance)",
    )
    assert counts == [(INSTANCES, 0)]
    own_stack.manage("rebuild_pools", "--check")
    own_stack.manage("verify_log")


# --- the root worker ----


def test_500_servers_while_root_worker_and_redis_are_gone_get_one_certificate_each(
    own_stack: Stack, acme: Program, redis: Redis
) -> None:
    """Registered in hours 0 to 12; no root worker ever, and no Redis from hour 10 to 60; then four root workers at
    once, every nudge repeated."""
    acme.call(f"{ACME}/virtual-accounts", {"name": "Plants", "description": "Many servers"})
    with ThreadPoolExecutor(2) as pool:
        servers = list(pool.map(make_server, range(SERVERS)))
    early = SERVERS * 10 // 12
    for number, server in enumerate(servers):
        if number == early:
            redis.stop()
        register(acme, server, "Plants")
    own_stack.execute(
        "UPDATE pki_rootrequest r SET due_at = due_at - interval '60 hours' + n.number * interval '12 hours' / n.total"
        " FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number, count(*) OVER () AS total"
        " FROM pki_rootrequest) n WHERE n.id = r.id"
    )
    assert signed(own_stack) == 0
    redis.start()
    for number in range(4):
        command = ["celery", "-A", "cssm", "--quiet", "worker", "-P", "threads", "-c", "1", "-Q", "root-ca"]
        command += ["-n", f"root{number}@%h", "--without-gossip", "--without-mingle"]
        own_stack.spawn(f"root{number}", [str(BIN / command[0]), *command[1:]], own_stack.environment)
    nudges = (
        "import django; django.setup(); import cssm.celery\n"
        f"for _ in range({2 * SERVERS}): cssm.celery.app.send_task('pki.sign_root_requests', ignore_result=True)"
    )
    settings = {"DJANGO_SETTINGS_MODULE": "cssm.settings"}
    subprocess.run([sys.executable, "-c", nudges], env=own_stack.environment | settings, cwd=ROOT, check=True)
    wait_for(lambda: signed(own_stack) == SERVERS, seconds=PATIENCE, what="every certificate is signed")
    own_stack.manage("sweep")
    own_stack.manage("sweep")
    assert ask(own_stack, "SELECT state, count(*) FROM pki_rootrequest GROUP BY 1") == [("signed", SERVERS)]
    rows = ask(
        own_stack,
        "SELECT count(*), count(DISTINCT subject), count(DISTINCT serial) FROM pki_certificate"
        " WHERE profile = 'local-sub-ca-3-tier'",
    )
    assert rows == [(SERVERS, SERVERS, SERVERS)]
    for server in random.Random(SEED).sample(servers, 5):
        data = server.synchronization(generated=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z", full=True)
        status, content = acme.upload(f"{ACME}/onprem-servers/{server.uuid}/synchronizations", data)
        assert (status, ":local_sub_ca_cert" in parse(content)) == (200, True)
    own_stack.manage("verify_log")


def signed(stack: Stack) -> int:
    return int(ask(stack, "SELECT count(*) FROM pki_certificate WHERE profile = 'local-sub-ca-3-tier'")[0][0])
