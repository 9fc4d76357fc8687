import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from accounts.models import Event
from cssm.common.actor import SYSTEM
from cssm.common.errors import Forbidden
from licensing.models import Pool, PoolDelta, PoolTransition, PoolUnit
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools, rebuild_pools
from licensing.states import InstanceState
from tests.licensing.stock import deliver, line, make_instance, make_license, use
from tests.tampering import tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def device(engineering, router, now):
    """One that uses 4 of 10, of which 1 is not folded yet."""
    device = make_instance(engineering, now)
    deliver(engineering, line(router, 10), now=now)
    use(device, router, 3, now)
    fold_due(now=now)
    use(device, router, 4, now)
    return device


def differing(now):
    return {(it.figure, it.stored, it.recorded) for it in check_pools(now=now)}


def test_figures_that_follow_from_the_records_differ_in_nothing(device, now):
    assert differing(now) == set()
    assert rebuild_pools(actor=SYSTEM, now=now) == []
    assert not Event.objects.filter(name="pool.rebuilt").exists()


@pytest.mark.parametrize(
    ("break_it", "difference"),
    [
        (lambda: Pool.objects.update(in_use=9), ("in_use", 10, 4)),
        (lambda: Pool.objects.update(purchased=9), ("purchased", 9, 10)),
        (lambda: Pool.objects.update(reserved=2), ("reserved", 2, 0)),
        (lambda: PoolDelta.objects.all().delete(), ("in_use", 3, 4)),
        (lambda: tamper("DELETE FROM licensing_purchaseline"), ("purchased", 10, 0)),
        (lambda: Pool.objects.update(status="out_of_compliance"), ("status", "out_of_compliance", "authorized")),
        (lambda: PoolDelta.objects.update(in_use=-99), ("in_use", -96, 4)),
        (lambda: PoolDelta.objects.update(in_use=99), ("in_use", 102, 4)),
    ],
)
def test_every_difference_is_found_and_set_right(device, now, break_it, difference):
    break_it()
    assert difference in differing(now)
    rebuild_pools(actor=SYSTEM, now=now)
    assert differing(now) == set()
    assert Event.objects.filter(name="pool.rebuilt").count() == 1


def test_a_validity_that_the_lines_contradict_is_found(device, engineering, router, now):
    end = now + timedelta(days=1)
    deliver(engineering, line(router, 3, licenseType="TERM", endDate=end.isoformat()), now=now)
    Pool.objects.update(valid_until=None)
    assert ("valid_until", None, end) in differing(now)
    rebuild_pools(actor=SYSTEM, now=now)
    assert differing(now) == set()
    PoolUnit.objects.update(valid_until=None)
    assert ("unit_valid_until", None, end) in differing(now)
    rebuild_pools(actor=SYSTEM, now=now)
    assert differing(now) == set()


def test_a_pool_that_lacks_altogether_is_made(device, router, now):
    tamper("DELETE FROM licensing_pooldelta")
    tamper("DELETE FROM licensing_pool")
    assert differing(now) == {("pool", "none", "needed")}
    rebuild_pools(actor=SYSTEM, now=now)
    assert differing(now) == set()
    assert (Pool.objects.get().in_use, Pool.objects.get().purchased) == (4, 10)


def test_a_status_set_right_keeps_the_transitions_alternating(device, now):
    Pool.objects.update(in_use=50)
    fold_due(now=now)
    use(device, device.usage.get().license, 5, now)
    fold_due(now=now)
    assert PoolTransition.objects.get().new == "out_of_compliance"
    rebuild_pools(actor=SYSTEM, now=now)
    assert [it.cause for it in PoolTransition.objects.order_by("pk")] == ["use", "rebuild"]
    assert differing(now) == set()


def test_a_shortage_that_nobody_was_told_of_gets_its_transition(device, router, now):
    use(device, router, 11, now)
    fold_due(now=now)
    tamper("DELETE FROM licensing_pooltransition")
    assert differing(now) == {("last_transition", "authorized", "out_of_compliance")}
    rebuild_pools(actor=SYSTEM, now=now)
    assert [(it.old, it.new) for it in PoolTransition.objects.all()] == [("authorized", "out_of_compliance")]
    assert differing(now) == set()


def test_use_of_what_is_not_registered_any_more_is_not_in_the_records(device, now):
    device.state = InstanceState.REMOVED
    device.save()
    assert differing(now) == {("in_use", 4, 0)}


def test_only_the_operator_rebuilds(bob, actor_of, now):
    with pytest.raises(Forbidden):
        rebuild_pools(actor=actor_of(bob), now=now)


def test_the_command_exits_with_1_on_a_difference_and_prints_only_json(device):
    out = StringIO()
    call_command("rebuild_pools", "--check", "--json", stdout=out)
    assert json.loads(out.getvalue())["differences"] == []
    Pool.objects.update(in_use=9)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("rebuild_pools", "--check", "--json", stdout=out)
    assert ended.value.code == 1
    (difference,) = json.loads(out.getvalue())["differences"]
    assert (difference["tag"], difference["figure"], difference["stored"]) == ("ROUTER", "in_use", 10)
    call_command("rebuild_pools", stdout=StringIO())
    call_command("rebuild_pools", "--check", stdout=StringIO())
