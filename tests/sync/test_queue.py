"""Files worked on in the background: taken up wherever a worker died, one file of a server at a time, cancellable."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper

from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError
from licensing.models import License, ProductInstance, Snapshot, StagedInstance, StagedUse, Usage
from licensing.services.pools.rebuild import check_pools
from sync.errors import problems_of
from sync.models import Exchange, ExchangePart
from sync.services import imports, queue, staging
from sync.services.imports import Keeper
from sync.services.queue import cancel_exchange, delete_old_files, work_exchanges
from sync.states import ExchangeState
from tests.sync.conftest import Plant, read_response
from tests.sync.files import account, instance, sign

InUse = Callable[..., int]
SOAK = bool(os.environ.get("SOAK"))
INSTANCES, EVERY, DEATHS = (10_000, 2, 50) if SOAK else (30, 9, 10)


class Killed(BaseException):
    """The process is gone: no handler of ours sees it."""


def many(count: int, quantity: int = 1) -> str:
    return account(1, "Engineering", *(instance(n, uses={"tag_a": quantity}) for n in range(1, count + 1)))


@pytest.fixture
def waiting(registered: Plant, license: License) -> Exchange:
    exchange = registered.upload(registered.write(many(30)), in_background=True)
    assert exchange.state == ExchangeState.WAITING
    return exchange


@pytest.fixture(autouse=True)
def _small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (SOAK and request.node.get_closest_marker("soak")):
        monkeypatch.setattr(staging, "CHUNK", 7)


def test_a_file_in_the_background_is_applied_by_the_worker(waiting: Exchange, in_use: InUse, now: datetime):
    assert in_use() == 0
    assert work_exchanges(now=now) == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.rows_staged, waiting.bytes_read) == ("applied", 30, waiting.content_length)
    assert (in_use(), read_response(waiting)[":type"]) == (30, "synchronization_response")
    assert work_exchanges(now=now) == 0


def test_a_large_file_goes_to_the_background_by_itself(
    registered: Plant, license: License, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imports, "DIRECT_UP_TO", 1000)
    assert registered.upload(registered.write(many(30))).state == ExchangeState.WAITING


def test_the_same_bytes_again_while_they_wait_are_the_same_exchange(
    waiting: Exchange, registered: Plant, now: datetime
):
    data = b"".join(imports.StoredFile(waiting, imports.Side.REQUEST))
    assert registered.upload(data, in_background=True).pk == waiting.pk
    direct = registered.upload(data)
    assert direct.state == ExchangeState.APPLIED
    work_exchanges(now=now)
    assert Exchange.objects.applied().filter(kind="synchronization").count() == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.errors[0]["code"]) == (ExchangeState.REFUSED, "STALE_FILE")


def test_who_waits_is_told_where_the_same_bytes_were_applied(
    waiting: Exchange, registered: Plant, in_use: InUse, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    data = b"".join(imports.StoredFile(waiting, imports.Side.REQUEST))
    start = imports.Keeper.start_applying
    others: list[imports.Keeper] = []

    def start_late(keeper: imports.Keeper) -> None:
        if not others:
            others.append(keeper)
            registered.upload(data)
        start(keeper)

    monkeypatch.setattr(imports.Keeper, "start_applying", start_late)
    work_exchanges(now=now)
    waiting.refresh_from_db()
    [applied] = Exchange.objects.applied().filter(kind="synchronization")
    assert (waiting.state, waiting.errors[0]["code"]) == (ExchangeState.REFUSED, "STALE_FILE")
    assert f"applied as exchange {applied.pk}" in waiting.errors[0]["message"]
    assert (in_use(), StagedInstance.objects.count()) == (30, 0)


def test_a_file_that_is_bad_at_its_beginning_is_refused_at_once_however_large(registered: Plant, license: License):
    registered.synchronize(many(3))
    server = registered.server
    row = instance(1, uses={"tag_a": 1})
    rest = "".join(instance(n) for n in range(2, 6_000))
    for content, code in (
        (server.synchronization_content(account(1, "E", row, rest), generated="2026-03-02T09:00:00Z"), "STALE_FILE"),
        (server.synchronization_content(account(1, "E", row.replace("y: 1", "y: 0x1"), rest), full=True,
                                        generated="2026-03-02T11:00:00Z"), "WRONG_TYPE"),
        (server.synchronization_content(generated="2026-03-02T11:00:00Z", more=":ssms_csr: |\n" + "  x\n" * 400_000),
         "TOO_LARGE"),
    ):  # fmt: skip
        with pytest.raises(DomainError) as caught:
            registered.upload(sign(content, server.key, server.id_cert), in_background=True)
        assert [row["code"] for row in problems_of(caught.value)] == [code]
    assert Exchange.objects.filter(kind="synchronization").count() == 1


def test_a_bad_file_ends_refused_with_what_is_wrong(
    registered: Plant, license: License, in_use: InUse, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(staging, "BEGINNING", 0)
    content = registered.server.synchronization_content(many(30).replace("quantity: 1", "quantity: 0x1", 3))
    exchange = registered.upload(sign(content, registered.server.key, registered.server.id_cert), in_background=True)
    work_exchanges(now=now)
    exchange.refresh_from_db()
    assert exchange.state == ExchangeState.REFUSED
    assert [problem["code"] for problem in exchange.errors] == ["WRONG_TYPE"] * 3
    assert exchange.errors[0]["key"] == (":virtual_accounts:[0]:product_instances:[0]:license:[0]:consumed_quantity:")
    assert (StagedInstance.objects.count(), Snapshot.objects.count(), in_use()) == (0, 0, 0)


def test_two_files_of_one_server_are_worked_on_in_their_order(
    waiting: Exchange, registered: Plant, in_use: InUse, now: datetime
):
    second = registered.upload(registered.write(many(10), full=True), in_background=True)
    assert queue._claim(now, set()) is not None
    assert queue._claim(now, set()) is None, "the second waits for the first"
    assert work_exchanges(now=now + timedelta(minutes=3)) == 2
    second.refresh_from_db()
    assert (second.state, in_use()) == (ExchangeState.APPLIED, 10)


def test_a_file_can_be_cancelled_until_it_is_applied(
    waiting: Exchange, admin_actor: Actor, in_use: InUse, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    beat = Keeper.beat

    def beat_and_cancel(self: Keeper, bytes_read: int, rows: int) -> None:
        beat(self, bytes_read, rows)
        if rows == 14:
            cancel_exchange(actor=admin_actor, exchange=waiting, now=now)

    monkeypatch.setattr(Keeper, "beat", beat_and_cancel)
    work_exchanges(now=now)
    waiting.refresh_from_db()
    assert (waiting.state, StagedInstance.objects.count(), in_use()) == (ExchangeState.CANCELLED, 0, 0)
    assert cancel_exchange(actor=admin_actor, exchange=waiting, now=now).state == ExchangeState.CANCELLED


def test_one_that_waits_is_cancelled_at_once_and_one_that_is_applied_never(
    waiting: Exchange, registered: Plant, admin_actor: Actor, now: datetime
):
    assert cancel_exchange(actor=admin_actor, exchange=waiting, now=now).state == ExchangeState.CANCELLED
    assert work_exchanges(now=now) == 0
    applied = registered.upload(registered.write(many(3)))
    with pytest.raises(Conflict) as caught:
        cancel_exchange(actor=admin_actor, exchange=applied, now=now)
    assert caught.value.code == "TOO_LATE"


def points_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets the process die at the n-th statement that goes to the database."""
    execute = CursorWrapper.execute
    left = [-1]

    def dying(self: Any, sql: Any, params: Any = None) -> Any:
        left[0] -= 1
        if left[0] == 0:
            self.close()  # nobody else will: a cursor on the server that is left open is warned of
            raise Killed
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", dying)

    def arm(number: int) -> None:
        left[0] = number

    yield arm


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    yield from points_of(monkeypatch)


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_at_any_moment_leaves_all_or_nothing(
    registered: Plant, license: License, in_use: InUse, now: datetime, die_at: Callable[[int], None]
):
    """At every statement of the work on a file: then the next worker ends it, and nothing is counted twice."""
    at, moment, deaths, died = 1, now, 0, True
    while died:
        exchange = registered.upload(registered.write(many(INSTANCES, at), full=True), in_background=True, now=moment)
        before = in_use(at=moment)
        die_at(at)
        try:
            work_exchanges(now=moment)
            died = False
        except Killed:
            deaths += 1
        finally:
            die_at(-1)
        assert in_use(at=moment) in (before, INSTANCES * at)
        moment += timedelta(hours=1)
        registered.generated = moment
        work_exchanges(now=moment)
        exchange.refresh_from_db()
        assert (exchange.state, in_use(at=moment)) == (ExchangeState.APPLIED, INSTANCES * at)
        registered.install(exchange)
        at += EVERY
    assert deaths >= DEATHS
    assert check_pools(now=moment) == []
    assert (ProductInstance.objects.count(), Usage.objects.count()) == (INSTANCES, INSTANCES)


def test_a_database_that_fails_is_tried_again_and_given_up_on_after_five_times(
    waiting: Exchange, in_use: InUse, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    real = imports.apply_snapshot

    def full(**options: Any) -> None:
        raise OperationalError("disk full")

    monkeypatch.setattr(imports, "apply_snapshot", full)
    assert work_exchanges(now=now) == 0
    waiting.refresh_from_db()
    assert (waiting.state, in_use()) == (ExchangeState.WAITING, 0)
    assert work_exchanges(now=now) == 0
    assert waiting.attempts == 1, "not again at once"
    monkeypatch.setattr(imports, "apply_snapshot", real)
    assert work_exchanges(now=now + timedelta(minutes=5)) == 1
    assert in_use() == 30


def test_after_five_faults_of_ours_the_sender_is_told(
    waiting: Exchange, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imports, "apply_snapshot", lambda **_: 1 / 0)
    for minutes in range(0, 50, 5):
        work_exchanges(now=now + timedelta(minutes=minutes))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == (ExchangeState.FAILED, 5)
    assert waiting.errors[0]["code"] == "INTERNAL"
    assert (StagedInstance.objects.count(), StagedUse.objects.count()) == (0, 0)


def test_files_are_deleted_after_90_days_and_what_died_workers_left_sooner(
    waiting: Exchange, registered: Plant, now: datetime
):
    work_exchanges(now=now)
    Snapshot.objects.create(origin=registered.row.origin, smart_account=registered.row.smart_account, created_at=now)
    delete_old_files(now=now + timedelta(hours=5))
    assert Snapshot.objects.count() == 1
    delete_old_files(now=now + timedelta(days=89))
    assert (Snapshot.objects.count(), ExchangePart.objects.exists()) == (0, True)
    delete_old_files(now=now + timedelta(days=90))
    assert not ExchangePart.objects.exists()
    waiting.refresh_from_db()
    assert waiting.difference["instances"]["added"] == 30
