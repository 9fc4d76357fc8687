"""Product instances that report while they are transferred: what they use counts in exactly one Virtual Account."""

import random
import threading
from functools import partial

import pytest
from django.core.cache import cache

from accounts.services.actors import actor_for_user
from cssm.common.clock import read_clock
from licensing.models import ProductInstance, Usage
from licensing.services.devices import authorization, moving
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.moving import transfer_instances
from licensing.services.devices.tokens import create_token
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.authorities import prepare_authorities
from tests.concurrency.threads import Crew, run_at_once
from tests.licensing.device_driver import Device
from tests.licensing.stock import make_instance, make_license, use

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

SEED, TURNS = 20260302, 30


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def device(db, alice, engineering, router, now, monkeypatch):
    """A product of Engineering that uses 2."""
    cache.clear()
    prepare_authorities(now, monkeypatch)
    _, token = create_token(actor=actor_for_user(alice), virtual_account=engineering, now=now)
    made = Device(now)
    assert made.register(token).code is None
    assert made.authorize({"ROUTER": 2}).code is None
    return made


def move(user, target, now):
    (result,) = transfer_instances(
        actor=actor_for_user(user), instances=[ProductInstance.objects.get()], target=target, now=now
    )
    return result


def hold(monkeypatch, name):
    """Make the device's message stop where it calls `name`, once; (it is there, it may go on)."""
    real, reached, may_go_on = getattr(authorization, name), threading.Event(), threading.Event()

    def wait(**kwargs):
        reached.set()
        assert may_go_on.wait(timeout=10)
        return real(**kwargs)

    monkeypatch.setattr(authorization, name, wait)
    return reached, may_go_on


def is_true(now):
    """Whether the use is where the instance is, and the figures agree."""
    instance, usage = ProductInstance.objects.get(), Usage.objects.get()
    in_place = usage.virtual_account_id == instance.virtual_account_id and usage.quantity == 5
    return in_place and check_pools(now=now) == []


@pytest.mark.parametrize("locked", [True, False])
def test_a_message_judged_before_the_transfer_counts_after_it_where_the_instance_is_now(
    device, alice, default_va, now, monkeypatch, locked
):
    """The message has read where the instance is; then it is transferred; only then is the message taken."""
    if not locked:
        monkeypatch.setattr(moving, "lock_instance", lambda pk: ProductInstance.objects.get(pk=pk))
    reached, may_go_on = hold(monkeypatch, "accept_message")
    message = Crew(lambda: device.authorize({"ROUTER": 5}).code)
    assert reached.wait(timeout=10)
    assert move(alice, default_va, now).error is None
    may_go_on.set()
    assert message.join() == [None]
    assert is_true(now) is locked


@pytest.mark.parametrize("locked", [True, False])
def test_a_transfer_waits_for_a_message_that_is_taken_and_moves_its_use(
    device, alice, default_va, now, monkeypatch, locked
):
    """The message is accepted, its use not yet written, when the transfer begins.

    It brings more than a change of use, or both would be one statement.
    """
    if not locked:
        monkeypatch.setattr(moving, "lock_instance", lambda pk: ProductInstance.objects.get(pk=pk))
    reached, may_go_on = hold(monkeypatch, "write_use")
    message = Crew(lambda: device.authorize({"ROUTER": 5}, hostname="edge-1").code)
    assert reached.wait(timeout=10)
    transfer = Crew(partial(move, alice, default_va, now))
    transfer.threads[0].join(timeout=1)
    assert transfer.threads[0].is_alive() is locked
    may_go_on.set()
    assert message.join() == [None]
    assert transfer.join()[0].error is None
    assert is_true(now) is locked


def test_reports_transfers_and_folds_all_the_time_lose_and_double_nothing(device, alice, engineering, default_va, now):
    over = threading.Event()

    def report():
        chance = random.Random(SEED)
        for _ in range(TURNS):
            device.wait(seconds=1)
            assert device.authorize({"ROUTER": chance.randint(0, 9)}).code is None
        device.wait(seconds=1)
        assert device.authorize({"ROUTER": 5}).code is None

    def keep_moving():
        while not over.is_set():
            for target in (default_va, engineering):
                assert move(alice, target, read_clock()).error is None

    def keep_folding():
        while not over.wait(0.02):
            fold_due(now=read_clock())
            assert check_pools(now=read_clock()) == []

    background = Crew(keep_moving, keep_folding)
    try:
        report()
    finally:
        over.set()
        background.join()
    assert is_true(now)
    fold_due(now=now)
    assert is_true(now)


def test_members_of_one_group_transferred_and_removed_at_once_never_lock_each_other_out(
    alice, engineering, default_va, router, now
):
    members = [make_instance(engineering, now) for _ in range(4)]
    for member in members:
        use(member, router, 1, now)
    ProductInstance.objects.update(ha_group=members[0].ha_group)
    actor = actor_for_user(alice)
    works = [
        partial(transfer_instances, actor=actor, instances=[member], target=default_va, now=now) for member in members
    ]
    removals = [partial(remove_instance, actor=actor, instance=member, now=now) for member in members[2:]]
    results = run_at_once(*works, *removals)
    codes = {result[0].error.code for result in results[:4] if result[0].error}
    assert codes <= {"INSTANCE_MOVED", "INSTANCE_ENDED"}
    alive = ProductInstance.objects.active()
    assert {row.virtual_account for row in alive} == {default_va}
    assert sorted(alive.values_list("pk", flat=True)) == [member.pk for member in members[:2]]
    assert check_pools(now=now) == []
