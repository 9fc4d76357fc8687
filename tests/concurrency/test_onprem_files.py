"""Files of on-prem servers that come at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.errors import DomainError
from licensing.models import License, LicenseFamily, Pool, ProductInstance
from licensing.services.pools.rebuild import check_pools
from sync.models import Exchange, ServerCertificate, ServerHost
from sync.services import certificates, imports
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


def register_at_once(askers: list[Plant], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each is answered, when all had their names and keys found free before the first was given any."""
    gate, issue = Barrier(len(askers)), certificates.issue_batch

    def issue_and_wait(*args: Any, **options: Any) -> Any:
        batch = issue(*args, **options)
        gate.wait(timeout=60)
        return batch

    def register(asker: Plant) -> str:
        try:
            asker.register()
        except DomainError as error:
            return error.code
        return "registered"

    with monkeypatch.context() as patch:
        patch.setattr(certificates, "issue_batch", issue_and_wait)
        return run_at_once(*[partial(register, asker) for asker in askers])


@pytest.fixture
def for_one_name(plant: Plant, umbrella: SmartAccount, mallory: User, now: datetime) -> list[Plant]:
    """Two servers of two customers."""
    keys, own = load_keys(), VirtualAccount.objects.get(smart_account=umbrella)
    return [
        Plant(
            actor, account, now, uuid=f"{digit * 8}-1111-4111-8111-111111111111", host="shared.example",
            key=keys[first], tg_key=keys[first + 1], ssms_key=keys[first + 2],
        )
        for digit, actor, account, first in (
            ("1", plant.actor, plant.virtual_account, 0), ("2", actor_for_user(mallory), own, 3),
        )
    ]  # fmt: skip


def holders_of_the_name() -> int:
    return ServerHost.objects.filter(name="shared.example").values("smart_account").distinct().count()


def test_of_two_customers_who_ask_for_one_host_name_at_once_one_gets_it(
    for_one_name: list[Plant], monkeypatch: pytest.MonkeyPatch
):
    assert sorted(register_at_once(for_one_name, monkeypatch)) == ["CSR_INVALID", "registered"]
    assert holders_of_the_name() == 1


def test_without_the_lock_of_host_names_two_customers_get_one(
    for_one_name: list[Plant], monkeypatch: pytest.MonkeyPatch
):
    """The positive control."""
    monkeypatch.setattr(certificates, "_lock_hosts", lambda *_: None)
    assert register_at_once(for_one_name, monkeypatch) == ["registered"] * 2
    assert holders_of_the_name() == 2


@pytest.fixture
def for_one_key(plant: Plant, engineering: VirtualAccount, now: datetime) -> list[Plant]:
    """Two servers of one customer, the TG key of one being the SSMS key of the other."""
    keys = load_keys()
    return [
        Plant(
            plant.actor, engineering, now, uuid=f"{digit * 8}-1111-4111-8111-111111111111", host=f"p{digit}.example",
            key=keys[first], tg_key=keys[tg], ssms_key=keys[ssms],
        )
        for digit, first, tg, ssms in (("1", 0, 1, 2), ("2", 3, 4, 1))
    ]  # fmt: skip


def servers_with_a_key_of_both(askers: list[Plant]) -> int:
    spki = askers[0].server.tg_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    rows = ServerCertificate.objects.filter(csr_key_digest=certificates.digest_key(spki))
    return rows.values("server").distinct().count()


def test_of_two_servers_with_one_key_at_once_one_is_registered(
    for_one_key: list[Plant], monkeypatch: pytest.MonkeyPatch
):
    assert sorted(register_at_once(for_one_key, monkeypatch)) == ["CSR_INVALID", "registered"]
    assert servers_with_a_key_of_both(for_one_key) == 1


def test_without_the_lock_of_keys_two_servers_share_one(for_one_key: list[Plant], monkeypatch: pytest.MonkeyPatch):
    """The positive control."""
    monkeypatch.setattr(certificates, "_lock_keys", lambda *_: None)
    assert register_at_once(for_one_key, monkeypatch) == ["registered"] * 2
    assert servers_with_a_key_of_both(for_one_key) == 2
