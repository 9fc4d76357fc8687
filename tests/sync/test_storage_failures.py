"""A full disk, and a database that is restarted, while a file is taken: a clear answer, nothing lost or doubled."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import IO, Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper

from cssm.common.errors import Unavailable
from licensing.models import License, ProductInstance, StagedInstance, Usage
from licensing.services.pools.rebuild import check_pools
from sync.models import Exchange
from sync.services import staging
from sync.services.queue import work_exchanges
from sync.states import ExchangeState
from tests.sync.conftest import Plant, read_response
from tests.sync.files import account, instance

InUse = Callable[..., int]
COUNT = 40


def many(quantity: int) -> str:
    return account(1, "Engineering", *(instance(n, uses={"tag_a": quantity}) for n in range(COUNT)))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK", 7)


def check_whole(in_use: InUse, quantity: int, now: datetime) -> None:
    assert in_use(at=now) == quantity * COUNT
    assert (ProductInstance.objects.count(), Usage.objects.count()) == (COUNT, COUNT)
    assert StagedInstance.objects.count() == 0
    assert not Exchange.objects.open().exists()
    assert check_pools(now=now) == []


# --- no room ----


@contextmanager
def room_for(pages: int) -> Iterator[None]:
    """SQLite says "database or disk is full", as it does on a full disk, once so many more pages are needed."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        used = cursor.fetchone()[0]
        cursor.execute("PRAGMA freelist_count")
        free = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {used - free + pages}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1073741823")


@pytest.mark.skipif(settings.IS_POSTGRESQL, reason="SQLite can be given a limit")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_told_and_the_file_is_applied_when_there_is_room(
    registered: Plant, license: License, in_use: InUse, now: datetime
) -> None:
    registered.synchronize(many(1))
    data = registered.write(many(2))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
    applied, pages, told = None, 0, set[str]()
    while applied is None:
        with room_for(pages), suppress(DatabaseError):
            try:
                applied = registered.upload(data)
            except Unavailable as error:
                told.add(error.message)
        assert applied is not None or in_use() == COUNT, "nothing of it was applied"
        pages += 1
    [message] = told
    assert "upload the very same file once more" in message
    later = now + timedelta(minutes=11)
    work_exchanges(now=later)
    assert registered.upload(data, now=later).pk == applied.pk
    check_whole(in_use, 2, later)


def test_an_upload_that_the_disk_does_not_take_changes_nothing(
    registered: Plant, license: License, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> IO[bytes]:
        return open("/dev/full", "w+b", buffering=0)

    data, before = registered.write(many(1)), Exchange.objects.count()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "SpooledTemporaryFile", full)
        with pytest.raises(Unavailable) as told:
            registered.upload(data)
    assert (told.value.code, Exchange.objects.count()) == ("STORAGE", before)
    registered.upload(data)


# --- a database that goes away ----


@pytest.fixture
def cut_off_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """The database ends this connection before the n-th statement, as when it is shut down."""
    execute, left = CursorWrapper.execute, [-1]
    other = connection.copy("default")

    def cutting(self: Any, sql: Any, params: Any = None) -> Any:
        left[0] -= 1
        if left[0] == 0:
            left[0] = -1
            pid = connection.connection.info.backend_pid
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return execute(self, sql, params)

    def arm(number: int) -> None:
        left[0] = number

    monkeypatch.setattr(CursorWrapper, "execute", cutting)
    try:
        yield arm
    finally:
        other.close()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("in_background", [True, False])
def test_a_database_that_is_restarted_at_any_moment_leaves_all_or_nothing(
    registered: Plant,
    license: License,
    in_use: InUse,
    now: datetime,
    cut_off_at: Callable[[int], None],
    in_background: bool,
) -> None:
    at, quantity, moment, told = 1, 1, now, 0
    while True:
        registered.generated = moment
        data = registered.write(many(quantity), full=True)
        exchange = registered.upload(data, in_background=True, now=moment) if in_background else None
        before = in_use(at=moment)
        cut_off_at(at)
        failed = False
        try:
            if exchange is None:
                registered.upload(data, now=moment)
            else:
                work_exchanges(now=moment)
                failed = Exchange.objects.get(pk=exchange.pk).state != ExchangeState.APPLIED
        except Unavailable:
            failed, told = True, told + 1
        except DatabaseError:
            failed = True
        cut_off_at(-1)
        connection.close()
        assert in_use(at=moment) in (before, COUNT * quantity)
        moment += timedelta(hours=1)
        work_exchanges(now=moment)
        again = registered.upload(data, now=moment)
        assert again.state == ExchangeState.APPLIED
        registered.server.install(read_response(again))
        check_whole(in_use, quantity, moment)
        if not failed:
            break
        at, quantity = at + 13, quantity + 1
    assert quantity > 3, "it was never cut off on its way"
    assert in_background or told, "nobody was told"
