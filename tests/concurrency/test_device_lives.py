"""Peers, renewals and sweeps at once, on real connections."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core.cache import cache

from accounts.services.actors import actor_for_user
from licensing.models import InstanceKey, InstanceNotice, ProductInstance
from licensing.services.devices import authorization, ha_groups
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.tokens import create_token
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState, KeyState
from tests.authorities import prepare_authorities
from tests.concurrency.threads import run_at_once
from tests.keys import load_keys
from tests.licensing.device_driver import Device
from tests.licensing.stock import make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

PEERS = 3


@pytest.fixture
def token(db, alice, engineering, now, monkeypatch):
    cache.clear()
    prepare_authorities(now, monkeypatch)
    make_license("ROUTER", now)
    return create_token(actor=actor_for_user(alice), virtual_account=engineering, lifetime_days=365, now=now)[1]


def names(*, but=None):
    return [{"udi_pid": "PEER", "udi_serial_number": f"P{n}"} for n in range(PEERS) if n != but]


@pytest.fixture
def group(token, now):
    """Three peers; the first reports the use of all, the others stand by."""
    peers = [Device(now, number, sudi=names()[number]) for number in range(PEERS)]
    for number, peer in enumerate(peers):
        assert peer.register(token, ha_peers=names(but=number)).code is None
        assert peer.ack().code is None
    for number, peer in enumerate(peers):
        assert report(peer, 1, number).code is None
    assert [row.is_counted for row in ProductInstance.objects.order_by("pk")] == [True, False, False]
    return peers


def report(device, count, number):
    device.wait(seconds=1)
    return device.authorize({"ROUTER": count}, ha_peers=names(but=number))


@pytest.fixture
def all_look_first(monkeypatch):
    """The two that want to take over have both seen the one that was active before either goes on."""
    looked, judge, seen = threading.Barrier(2), authorization.find_standing, threading.local()

    def look(*arguments, **options):
        standing = judge(*arguments, **options)
        if not getattr(seen, "once", False):
            seen.once = True
            looked.wait(timeout=60)
        return standing

    monkeypatch.setattr(authorization, "find_standing", look)


def counted():
    return ProductInstance.objects.filter(is_counted=True)


def test_of_two_peers_that_take_over_at_once_one_is_counted(group, all_look_first, now):
    codes = run_at_once(*(partial(lambda n: report(group[n], 5 + n, n).code, n) for n in (1, 2)))
    assert codes == [None, None]
    assert counted().count() == 1
    assert check_pools(now=now + timedelta(minutes=1)) == []


def test_both_would_be_counted_without_the_locks(group, all_look_first, monkeypatch):
    """The control: each relieves the same peer, and neither looks at the group again."""
    monkeypatch.setattr(ha_groups, "_lock", lambda known: None)
    monkeypatch.setattr(ha_groups, "check_group", lambda standing, **_: None)
    run_at_once(*(partial(lambda n: report(group[n], 5 + n, n), n) for n in (1, 2)))
    assert counted().count() == 2


@pytest.fixture
def heir_ends_first(group, alice, now, monkeypatch):
    """The one that is to count next is removed by somebody else after it was chosen."""
    lock = ha_groups.lock_instance
    meanwhile: list[int] = []

    def lock_late(instance_id):
        if not meanwhile:
            meanwhile.append(instance_id)
            run_at_once(lambda: remove(alice, instance_id, now))
        return lock(instance_id)

    monkeypatch.setattr(ha_groups, "lock_instance", lock_late)
    return meanwhile


def remove(user, instance_id, now):
    remove_instance(actor=actor_for_user(user), instance=ProductInstance.objects.get(pk=instance_id), now=now)


def test_when_the_heir_ends_at_the_same_time_the_next_one_counts(heir_ends_first, alice, now):
    first, *others = ProductInstance.objects.order_by("pk").values_list("pk", flat=True)
    remove(alice, first, now)
    assert counted().get(state=InstanceState.REGISTERED).pk in set(others) - set(heir_ends_first)
    assert check_pools(now=now + timedelta(minutes=1)) == []


def test_nobody_would_count_if_only_one_were_asked(heir_ends_first, alice, now, monkeypatch):
    """The control: the one heir that was chosen is gone, and the group's use with it."""
    choose = ha_groups._heirs
    monkeypatch.setattr(ha_groups, "_heirs", lambda members: choose(members)[:1])
    first = ProductInstance.objects.order_by("pk").values_list("pk", flat=True)[0]
    remove(alice, first, now)
    assert not counted().filter(state=InstanceState.REGISTERED).exists()


def test_removals_and_take_overs_at_once_leave_one_that_counts(group, alice, now):
    first, second, third = ProductInstance.objects.order_by("pk").values_list("pk", flat=True)
    for number, peer in enumerate(group):
        peer.wait(seconds=number + 2)
    codes = run_at_once(
        lambda: remove(alice, first, now),
        lambda: remove(alice, second, now),
        lambda: report(group[2], 7, 2).code,
    )
    assert codes[2] is None
    assert counted().get(state=InstanceState.REGISTERED).pk == third
    assert check_pools(now=now + timedelta(minutes=1)) == []


def test_of_renewals_at_once_one_is_pending_and_its_key_takes_over(token, now):
    device = Device(now, 0)
    device.register(token)
    device.ack()
    device.wait(days=180)
    bodies = [device.request("RENEWAL", device.renewal(load_keys()[number])) for number in range(4, 8)]
    replies = run_at_once(*(partial(device.send, body) for body in bodies))
    assert {reply.code for reply in replies} <= {None, "REPLAYED"}
    assert InstanceKey.objects.filter(state=KeyState.PENDING).count() == 1
    # The one with the latest timestamp is never REPLAYED, so it is the one that is pending.
    device.key = load_keys()[7]
    device.learn(replies[-1])
    assert device.ack("RENEWAL").code is None
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED


def test_sweeps_at_once_tell_of_each_product_once(group, now):
    later = now + timedelta(days=200)
    run_at_once(*[partial(advance_lives, now=later)] * 4)
    assert sorted(InstanceNotice.objects.values_list("kind", flat=True)) == sorted(
        ["failed_to_connect", "failed_to_renew"] * PEERS
    )
