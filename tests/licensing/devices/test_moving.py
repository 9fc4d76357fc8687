"""Transfers of product instances: their use, their HA group and their findings go with them."""

import pytest
from django.db import OperationalError

from accounts.models import Event, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.errors import Forbidden, NotFound
from licensing.models import DuplicateFinding, HaGroup, ProductInstance, Usage
from licensing.services.devices import endings, moving
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.moving import transfer_instances
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import DuplicateKind, InstanceState
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def instance(engineering, router, now):
    """In Engineering, which owns 10 and uses 4."""
    deliver(engineering, line(router, 10), now=now)
    made = make_instance(engineering, now)
    use(made, router, 4, now)
    return made


def move(user, instances, target, now):
    return transfer_instances(actor=actor_for_user(user), instances=instances, target=target, now=now)


def place_of(row):
    row.refresh_from_db()
    return row.virtual_account


def test_an_instance_moves_with_its_use_and_both_pools_follow(alice, instance, router, engineering, default_va, now):
    (result,) = move(alice, [instance], default_va, now)
    assert (result.error, result.message) == (None, "The product instance was transferred.")
    for row in (instance, instance.ha_group, Usage.objects.get()):
        assert place_of(row) == default_va
    assert (live(router, engineering, now).now_in_use, live(router, default_va, now).now_in_use) == (0, 4)
    assert live(router, default_va, now).now_status == "out_of_compliance"
    fold_due(now=now)
    assert check_pools(now=now) == []


def test_a_registered_product_goes_on_reporting_where_it_went(registered, alice, engineering, default_va, router, now):
    registered.authorize({"ROUTER": 3})
    instance = ProductInstance.objects.get()
    assert move(alice, [instance], default_va, now)[0].error is None
    assert registered.authorize({"ROUTER": 5}).code is None
    assert (live(router, engineering, now).now_in_use, live(router, default_va, now).now_in_use) == (0, 5)
    assert check_pools(now=now) == []


def test_the_log_of_both_virtual_accounts_tells_of_it(alice, instance, engineering, default_va, now):
    move(alice, [instance], default_va, now)
    events = Event.objects.filter(name="instance.transferred")
    assert {event.virtual_account for event in events} == {engineering, default_va}
    expected = f"{instance.udi} was transferred from Engineering to DEFAULT with 4 of ROUTER name."
    assert {event.message for event in events} == {expected}


def test_members_of_an_ha_group_move_together_and_the_answer_says_so(
    alice, instance, engineering, default_va, router, now
):
    peer, ended = make_instance(engineering, now), make_instance(engineering, now)
    ProductInstance.objects.filter(pk__in=[peer.pk, ended.pk]).update(ha_group=instance.ha_group)
    ProductInstance.objects.filter(pk=peer.pk).update(is_counted=False)
    ProductInstance.objects.filter(pk=ended.pk).update(state=InstanceState.REMOVED)
    results = move(alice, [instance, peer], default_va, now)
    assert [result.companions for result in results] == [(peer.udi,), (instance.udi,)]
    assert f"together with {peer.udi}" in results[0].message
    assert place_of(peer) == default_va
    assert place_of(ended) == engineering
    assert live(router, default_va, now).now_in_use == 4
    assert check_pools(now=now) == []


def test_a_finding_goes_with_the_instance_and_is_told_of_anew(alice, instance, engineering, default_va, now):
    values = {"smart_account": engineering.smart_account, "virtual_account": engineering, "instance": instance}
    standing = DuplicateFinding.objects.create(**values, kind=DuplicateKind.SAME_UDI, found_at=now, dispatched_at=now)
    cleared = DuplicateFinding.objects.create(
        **values, kind=DuplicateKind.HA_CLAIM, found_at=now, cleared_at=now, dispatched_at=now
    )
    move(alice, [instance], default_va, now)
    assert place_of(standing) == default_va
    assert standing.dispatched_at is None
    assert place_of(cleared) == engineering


def test_each_instance_has_its_own_result(alice, instance, engineering, default_va, umbrella, now):
    ended, there = make_instance(engineering, now), make_instance(default_va, now)
    foreign = make_instance(VirtualAccount.objects.get(smart_account=umbrella), now)
    ProductInstance.objects.filter(pk=ended.pk).update(state=InstanceState.DEREGISTERED)
    results = move(alice, [ended, there, foreign, instance], default_va, now)
    codes = [result.error.code if result.error else None for result in results]
    assert codes == ["INSTANCE_ENDED", "SAME_VIRTUAL_ACCOUNT", "NOT_FOUND", None]
    assert place_of(instance) == default_va
    assert place_of(ended) == engineering


def test_an_instance_that_was_transferred_meanwhile_is_not_taken_from_where_it_is_now(
    alice, instance, acme, engineering, default_va, now
):
    third = VirtualAccount.objects.create(smart_account=acme, name="Third", created_at=now)
    seen = ProductInstance.objects.get(pk=instance.pk)
    move(alice, [instance], default_va, now)
    (result,) = move(alice, [seen], third, now)
    assert result.error.code == "INSTANCE_MOVED"
    assert place_of(instance) == default_va


def test_rights_are_needed_on_both_sides(bob, carol, mallory, umbrella, instance, engineering, default_va, now):
    for user in (bob, carol):  # bob may manage Engineering alone
        with pytest.raises(Forbidden):
            move(user, [instance], default_va, now)
    with pytest.raises(NotFound):
        move(mallory, [instance], default_va, now)
    there = make_instance(default_va, now)
    assert isinstance(move(bob, [there], engineering, now)[0].error, Forbidden)
    own = VirtualAccount.objects.get(smart_account=umbrella)
    assert isinstance(move(mallory, [instance], own, now)[0].error, NotFound)
    assert place_of(instance) == engineering


def test_a_deleted_virtual_account_takes_nothing(alice, instance, engineering, default_va, acme, now):
    gone = VirtualAccount.objects.create(smart_account=acme, name="Gone", created_at=now, deleted_at=now)
    assert isinstance(move(alice, [instance], gone, now)[0].error, NotFound)
    assert place_of(instance) == engineering
    assert HaGroup.objects.get(pk=instance.ha_group_id).virtual_account == engineering


def test_who_lost_sight_of_an_instance_by_a_transfer_cannot_remove_it(alice, bob, instance, default_va, now):
    seen = ProductInstance.objects.get(pk=instance.pk)
    move(alice, [instance], default_va, now)
    with pytest.raises(Forbidden):
        remove_instance(actor=actor_for_user(bob), instance=seen, now=now)
    assert ProductInstance.objects.active().filter(pk=instance.pk).exists()


class _FailingOnce:
    """Stands in for a lock: gives up once as a database does, then lets through."""

    def __init__(self, real):
        self.real, self.calls = real, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 1:
            raise OperationalError("database is locked")
        return self.real(*args, **kwargs)


def test_what_the_database_gave_up_on_is_done_again(alice, instance, default_va, now, monkeypatch):
    monkeypatch.setattr(moving, "lock_instance", _FailingOnce(moving.lock_instance))
    assert move(alice, [instance], default_va, now)[0].error is None
    assert place_of(instance) == default_va
    monkeypatch.setattr(endings, "lock_instance", _FailingOnce(endings.lock_instance))
    remove_instance(actor=actor_for_user(alice), instance=instance, now=now)
    assert not ProductInstance.objects.active().exists()
