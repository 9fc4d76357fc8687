"""Many files of many servers in any order, and one that is killed; what no input may cost. Full size in `make soak`."""

import base64
import gzip
import hashlib
import os
import random
import secrets
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import transaction

from accounts.models import Event, SmartAccount, VirtualAccount
from cssm.common.actor import Actor
from licensing.models import License, Origin, ProductInstance, Usage
from licensing.services.pools.rebuild import check_pools
from pki.models import CaLogEntry, Certificate, RootRequest
from pki.services import root_queue, signing_requests
from pki.states import LogKind, ProfileName, RootRequestState
from sync.models import Exchange, OnPremServer
from sync.services import certificates
from sync.services.inbox import Received, take_file
from sync.services.queue import work_exchanges
from sync.services.three_tier import tell_signed
from sync.states import ServerState
from tests.concurrency.threads import run_at_once
from tests.keys import load_keys
from tests.pki.tools import spki_of
from tests.sync.conftest import Plant, pieces
from tests.sync.files import PADDING, SHA256, Server, account, instance, pack

SOAK = bool(os.environ.get("SOAK"))
SERVERS, FILES, ORDERS = (20, 10, 50) if SOAK else (2, 4, 10)
ROOT_SERVERS = 500 if SOAK else 8
SEED = int(os.environ.get("SEED") or secrets.randbelow(2**31))
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.soak


class File(NamedTuple):
    plant: Plant
    generated: datetime
    data: bytes


# --- files in any order ----


def keys_of(number: int) -> tuple[rsa.RSAPrivateKey, ...]:
    """Three keys that no other server has."""
    known = load_keys()[3 * number : 3 * number + 3]
    return known if len(known) == 3 else tuple(rsa.generate_private_key(65537, 2048) for _ in range(3))


@pytest.fixture
def plants(
    authorities: None, admin_actor: Actor, engineering: VirtualAccount, license: License, now: datetime
) -> list[Plant]:
    made = []
    for number in range(SERVERS):
        key, tg_key, ssms_key = keys_of(number)
        plant = Plant(
            admin_actor, engineering, now, uuid=f"00000000-0000-4000-8000-{number:012}", name=f"Plant {number}",
            host=f"p{number}.acme.example", key=key, tg_key=tg_key, ssms_key=ssms_key,
        )  # fmt: skip
        plant.register()
        made.append(plant)
    return made


def write_files(plant: Plant, number: int, chance: random.Random) -> list[File]:
    """All written before any response came back. Ids are the same on every server; one product is on all of them."""
    written = []
    for turn in range(FILES):
        last = turn == FILES - 1
        rows = [
            instance(id, uses={"tag_a": chance.randint(1, 9)}, udi_serial_number=f"S{number}N{id}")
            for id in range(1, 6) if last or chance.random() < 0.7
        ]  # fmt: skip
        rows.append(instance(99, uses={"tag_a": 1}, udi_serial_number="EVERYWHERE"))
        data = plant.write(account(1, "Engineering", *rows), full=last or chance.random() < 0.6)
        written.append(File(plant, plant.generated, pack(data) if chance.random() < 0.3 else data))
    return written


def final_state() -> Any:
    uses = Usage.objects.filter(instance__in=ProductInstance.objects.active())
    return sorted(uses.values_list("instance__origin__name", "instance__external_id", "instance__udi", "quantity"))


def test_files_in_any_order_come_to_one_state_and_never_back(
    plants: list[Plant], acme: SmartAccount, admin_actor: Actor, in_use: Callable[..., int], now: datetime
):
    chance = random.Random(SEED)
    files = [file for number, plant in enumerate(plants) for file in write_files(plant, number, chance)]
    states = []
    for _ in range(ORDERS):
        chance.shuffle(files)
        start = transaction.savepoint()
        newest: dict[str, datetime] = {}
        for minute, file in enumerate([*files, *chance.sample(files, SERVERS // 2)], 1):
            moment = now + timedelta(minutes=minute)
            received = take_file(actor=admin_actor, smart_account=acme, name="x", chunks=pieces(file.data), now=moment)
            follow(file, received, newest)
        states.append(final_state())
        shared = ProductInstance.objects.active().filter(udi="C9300-24UX:EVERYWHERE", is_counted=True)
        assert shared.count() == 1, f"SEED={SEED}"
        assert in_use(at=moment) == sum(row[3] for row in states[-1]) - (SERVERS - 1), f"SEED={SEED}"
        assert check_pools(now=moment) == []
        transaction.savepoint_rollback(start)
    assert states[0]
    assert all(state == states[0] for state in states), f"SEED={SEED}"
    for origin, _, udi, _ in states[0]:
        assert udi.endswith("EVERYWHERE") or f"S{int(origin[-12:])}N" in udi, "ids of two servers were mixed"


def follow(file: File, received: Received, newest: dict[str, datetime]) -> None:
    """A file is applied and newer than all before it, or answered as before, or refused with what to do."""
    uuid = file.plant.server.uuid
    if received.problems:
        assert received.problems[0]["code"] in {"STALE_FILE", "SEQUENCE_GAP"}, received.problems
        assert "pload" in received.problems[0]["message"]
    elif not received.is_repeat:
        assert file.generated > newest.get(uuid, datetime.min.replace(tzinfo=UTC)), f"SEED={SEED}"
        newest[uuid] = file.generated
    else:
        assert file.generated <= newest[uuid]
    row = OnPremServer.objects.get(uuid=uuid)
    assert row.last_generated_at == newest.get(uuid)


# --- the root queue ----


def test_a_root_worker_that_was_gone_signs_each_certificate_once(
    authorities: None, engineering: VirtualAccount, acme: SmartAccount, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Servers are registered in the first hours; the worker is gone from hour 10 to 60; then there are four at once,
    and every nudge comes twice."""
    spki = spki_of(load_keys()[8])
    for number in range(ROOT_SERVERS):
        at = now + HOUR * (number * 12 / ROOT_SERVERS)
        uuid = f"00000000-0000-4000-8000-{number:012}"
        OnPremServer.objects.create(
            smart_account=acme, virtual_account=engineering, uuid=uuid, name=f"Plant {number}", lcs_key=spki,
            state=ServerState.REGISTERED, registered_at=at, origin=Origin.objects.create(name=uuid, smart_account=acme),
            three_tier=certificates.queue_three_tier(uuid=uuid, lcs_key=spki, now=at),
        )  # fmt: skip
    for hour in range(10):
        assert root_queue.sign_due(now=now + HOUR * hour) == 0
    four_workers(now + 60 * HOUR, monkeypatch)
    signed = Certificate.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER)
    assert signed.count() == signed.values("subject").distinct().count() == ROOT_SERVERS
    assert set(RootRequest.objects.values_list("state", flat=True)) == {RootRequestState.SIGNED}
    serials = list(signed.values_list("serial", flat=True))
    assert CaLogEntry.objects.filter(kind=LogKind.ISSUED, serial__in=serials).count() == ROOT_SERVERS
    while tell_signed(now=now + 60 * HOUR):
        pass
    assert Event.objects.filter(name="onprem.three_tier_signed").count() == ROOT_SERVERS


def four_workers(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database takes one writer at a time, the others come in while a certificate is being signed."""

    def work() -> None:
        for _ in range(2):
            root_queue.sign_due(now=moment)

    real, depth = signing_requests.sign_request, [0]

    def sign_while_others_work(*arguments: Any, **options: Any) -> Any:
        depth[0] += 1
        if depth[0] < 4:
            work()
        depth[0] -= 1
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(signing_requests, "sign_request", sign_while_others_work)
        work()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_four_root_workers_really_at_once(
    authorities: None, engineering: VirtualAccount, acme: SmartAccount, now: datetime
):
    spki = spki_of(load_keys()[8])
    for number in range(ROOT_SERVERS):
        with transaction.atomic():
            certificates.queue_three_tier(uuid=str(number), lcs_key=spki, now=now)
    run_at_once(*[lambda: (root_queue.sign_due(now=now + 60 * HOUR), root_queue.sign_due(now=now + 60 * HOUR))] * 4)
    assert Certificate.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER).count() == ROOT_SERVERS


# --- what bad input may cost ----

MB = 1024 * 1024
BOUNDS = (2.0, 100 * MB)


def bad_inputs(plant: Plant, folder: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name, the bytes as they come). Those that reach the parser are signed by the server itself."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield "a gzip bomb", (packer.compress(b"a" * MB) for _ in range(2000))
    yield "200 MB without a signature", (b"a" * MB for _ in range(200))
    yield "cut off", iter([gzip.compress(os.urandom(4 * MB))[: 2 * MB]])
    head = plant.server.synchronization_content(generated="2026-03-02T12:00:00Z")
    for name, more in {
        "a scalar of 50 MB": (':extensions: "', *["a" * MB] * 50, '"\n'),
        "10⁵ levels": (":extensions:\n", "- " * 100_000, "x\n"),
        "10⁵ levels in flow": (":extensions: ", "[" * 100_000, "\n"),
        "a million aliases": (":extensions:\n", *["- *a\n" * 10_000] * 100),
        "a million double keys": (*[':sync_version: "1"\n' * 10_000] * 100,),
        "a tag": (":extensions: !!python/object/apply:os.system [x]\n",),
    }.items():
        yield name, write_signed(plant.server, folder / "bad.yaml", (head, *more))


def write_signed(server: Server, path: Path, parts: tuple[str, ...]) -> Iterator[bytes]:
    """Never whole in memory: what is measured is not to find room that was used before."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in parts:
            file.write(part.encode())
            digest.update(part.encode())
        signature = base64.b64encode(server.key.sign(digest.digest(), PADDING, SHA256)).decode()
        certificate = base64.b64encode(server.id_cert.encode()).decode()
        file.write(f'---\n:signing_cert: "{certificate}"\n:signature: "{signature}"\n'.encode())
    with path.open("rb") as file:
        while piece := file.read(MB):
            yield piece


def memory(field: str) -> int:
    """`VmHWM` is the most since it was last reset, `VmRSS` what is used now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@pytest.mark.skipif(not SOAK, reason="measures time and memory: make soak")
def test_bad_input_is_answered_within_two_seconds_and_100_megabytes(
    registered: Plant, acme: SmartAccount, admin_actor: Actor, license: License, tmp_path: Path, now: datetime
):
    costs = {}
    for name, chunks in bad_inputs(registered, tmp_path):
        Path("/proc/self/clear_refs").write_text("5")
        before, started = memory("VmRSS"), time.monotonic()
        received = take_file(actor=admin_actor, smart_account=acme, name=name, chunks=chunks, now=now)
        if received.exchange is not None and received.exchange.finished_at is None:
            work_exchanges(now=now)
            received.exchange.refresh_from_db()
            received.problems = received.exchange.errors
        costs[name] = (time.monotonic() - started, memory("VmHWM") - before)
        assert received.problems, name
        assert (ProductInstance.objects.count(), Exchange.objects.applied().count()) == (0, 1), name
    assert {name: cost for name, cost in costs.items() if cost[0] > BOUNDS[0] or cost[1] > BOUNDS[1]} == {}
