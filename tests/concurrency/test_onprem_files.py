"""Files of on-prem servers that come at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Barrier
from typing import Any

import pytest

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.errors import DomainError
from licensing.models import License, LicenseFamily, Pool, ProductInstance
from licensing.services.pools.rebuild import check_pools
from sync.models import Exchange
from sync.services import imports
from sync.states import ExchangeState
from tests.authorities import prepare_authorities
from tests.concurrency.threads import run_at_once
from tests.keys import load_keys
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def plant(
    engineering: VirtualAccount, acme: SmartAccount, alice: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> Plant:
    prepare_authorities(now, monkeypatch)
    family = LicenseFamily.objects.create(name="a")
    License.objects.create(tag="tag_a", family=family, display_name="A", default_type="perpetual")
    made = Plant(actor_for_user(alice), engineering, now)
    made.register()
    return made


def in_use(now: datetime) -> int:
    return sum(pool.now_in_use for pool in Pool.objects.with_figures(now))


def outcome(plant: Plant, data: bytes) -> Callable[[], Any]:
    def upload() -> Any:
        try:
            return plant.upload(data).pk
        except DomainError as error:
            return error.code

    return upload


@contextmanager
def meeting_before_applying(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """All have staged their file before the first of them applies it."""
    gate = Barrier(count)
    start = imports.Keeper.start_applying

    def wait_and_start(self: imports.Keeper) -> None:
        start(self)
        gate.wait(timeout=60)

    with monkeypatch.context() as patch:
        patch.setattr(imports.Keeper, "start_applying", wait_and_start)
        yield


def test_the_same_file_at_once_is_applied_once(plant: Plant, now: datetime, monkeypatch: pytest.MonkeyPatch):
    data = plant.write(account(1, "Engineering", *(instance(n, uses={"tag_a": 1}) for n in range(20))))
    with meeting_before_applying(monkeypatch, 4):
        answers = run_at_once(*[outcome(plant, data)] * 4)
    assert len(set(answers)) == 1
    assert Exchange.objects.filter(kind="synchronization").count() == 1
    assert (in_use(now), ProductInstance.objects.count()) == (20, 20)


def test_of_two_files_at_once_the_older_is_stale_or_comes_first(
    plant: Plant, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    older = plant.write(account(1, "Engineering", instance(1, uses={"tag_a": 3})), full=True)
    newer = plant.write(account(1, "Engineering", instance(1, uses={"tag_a": 5})), full=True)
    with meeting_before_applying(monkeypatch, 2):
        answers = run_at_once(outcome(plant, older), outcome(plant, newer))
    assert isinstance(answers[1], int)
    assert answers[0] == "STALE_FILE" or isinstance(answers[0], int)
    assert in_use(now) == 5


def test_without_the_servers_lock_a_file_is_applied_twice(plant: Plant, now: datetime, monkeypatch: pytest.MonkeyPatch):
    """The positive control: what the lock and the second look under it are there for."""
    monkeypatch.setattr(imports, "check_order", lambda **_: None)
    older = plant.write(account(1, "Engineering", instance(1, uses={"tag_a": 3})), full=True)
    newer = plant.write(account(1, "Engineering", instance(1, uses={"tag_a": 5})), full=True)
    assert isinstance(outcome(plant, newer)(), int)
    monkeypatch.setattr("sync.services.staging.check_header", lambda **_: None)
    assert isinstance(outcome(plant, older)(), int)
    assert in_use(now) == 3, "rolled back, silently"


def test_two_servers_at_once_do_not_wait_for_each_other_and_count_one_product_once(
    plant: Plant, engineering: VirtualAccount, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    keys = load_keys()
    other = Plant(
        plant.actor, engineering, now, uuid="11111111-1111-4111-8111-111111111111", host="plant8.acme.example",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    other.register()
    rows = [instance(n, uses={"tag_a": 1}) for n in range(30)]
    files = [each.write(account(1, "Engineering", *order)) for each, order in ((plant, rows), (other, rows[::-1]))]
    with meeting_before_applying(monkeypatch, 2):
        answers = run_at_once(outcome(plant, files[0]), outcome(other, files[1]))
    assert all(isinstance(answer, int) for answer in answers)
    assert Exchange.objects.filter(state=ExchangeState.APPLIED, kind="synchronization").count() == 2
    assert (ProductInstance.objects.count(), in_use(now)) == (60, 30)
    assert check_pools(now=now) == []
