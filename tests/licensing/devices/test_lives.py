"""A device's life by its timers: every transition on its day, every warning once, also after a week of downtime."""

from datetime import timedelta

import pytest

from accounts.models import Event
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.services.texts import describe_alert
from alerts.states import AlertType
from licensing.models import InstanceContact, InstanceNotice, InstanceWatch, Pool, ProductInstance, UdiClaim, Usage
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.moving import transfer_instances
from licensing.services.devices.tokens import create_token
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState, NoticeKind
from tests.licensing.device_driver import Device

DAY = timedelta(days=1)


@pytest.fixture
def fresh_token(alice, acme, engineering, authorities, actor_of, now):
    return create_token(actor=actor_of(alice), virtual_account=engineering, lifetime_days=9999, now=now)[1]


@pytest.fixture(autouse=True)
def license(make_license):
    return make_license("ADVANTAGE")


def pass_time(until, *, since, step=5 * DAY):
    """The sweep runs every few days only: what it does bears the right day all the same."""
    moment = since
    while moment < until:
        moment = min(moment + step, until)
        advance_lives(now=moment)
        dispatch(now=moment)


def alerts():
    """(type, day since the registration, standing) of each alert ever raised."""
    start = ProductInstance.objects.earliest("pk").registered_at
    return [
        (alert.type, (alert.raised_at - start).days, alert.cleared_at is None) for alert in Alert.objects.order_by("pk")
    ]


CONNECT, RENEW, REMOVED = (
    AlertType.INSTANCE_FAILED_TO_CONNECT,
    AlertType.INSTANCE_FAILED_TO_RENEW,
    AlertType.INSTANCE_REMOVED,
)


@pytest.mark.parametrize("step", [timedelta(days=5), timedelta(days=7), timedelta(days=400)])
def test_a_silent_product_is_told_of_and_removed_at_the_end(registered, now, step):
    registered.authorize({"ADVANTAGE": 3})
    pass_time(now + 400 * DAY, since=now, step=step)
    found = alerts()
    if step < timedelta(days=300):
        assert found == [(CONNECT, 90, False), (RENEW, 181, False), (REMOVED, 364, True)]
    else:
        assert found == [(REMOVED, 364, True)]
    instance = ProductInstance.objects.get()
    assert instance.state == InstanceState.EXPIRED
    assert not Usage.objects.exists()
    assert not UdiClaim.objects.exists()
    assert not InstanceWatch.objects.exists()
    fold_due(now=now + 401 * DAY)
    assert (Pool.objects.get().in_use, check_pools(now=now + 401 * DAY)) == (0, [])
    assert Event.objects.filter(name="instance.expired").count() == 1


def test_each_warning_comes_on_its_day_and_not_before(registered, now):
    registered.authorize({"ADVANTAGE": 3})
    for days, expected in ((90, 1), (181, 2)):
        advance_lives(now=now + days * DAY - timedelta(seconds=1))
        assert InstanceNotice.objects.count() == expected - 1
        advance_lives(now=now + days * DAY + timedelta(minutes=1))
        assert InstanceNotice.objects.count() == expected
    end = now + 365 * DAY - timedelta(minutes=5)
    advance_lives(now=end - timedelta(seconds=1))
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED
    advance_lives(now=end)
    assert ProductInstance.objects.get().state == InstanceState.EXPIRED


def test_a_product_that_speaks_and_renews_raises_nothing(registered, now):
    product, moment, keys = registered, now, iter((5, 6, 7))
    for day in range(30, 430, 30):
        product.now = moment = now + day * DAY
        if day % 180 == 0:
            _, renewed = product.renew(next(keys))
            renewed.ack("RENEWAL")
            product = renewed
        product.authorize({"ADVANTAGE": 1})
        pass_time(moment + 29 * DAY, since=moment)
    assert alerts() == []
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED


def test_an_authorization_is_the_cure_of_failing_to_connect(registered, now):
    registered.authorize({"ADVANTAGE": 1})
    pass_time(now + 100 * DAY, since=now)
    assert alerts() == [(CONNECT, 90, True)]
    registered.wait(days=100)
    registered.authorize({"ADVANTAGE": 1})
    dispatch(now=registered.now)
    assert alerts() == [(CONNECT, 90, False)]
    pass_time(registered.now + 91 * DAY, since=registered.now)
    assert alerts()[1] == (RENEW, 181, True)
    assert alerts()[2] == (CONNECT, 190, True)


def test_an_acknowledged_renewal_is_the_cure_of_failing_to_renew_and_an_unacknowledged_is_none(registered, now):
    pass_time(now + 182 * DAY, since=now + 180 * DAY)
    assert alerts() == [(RENEW, 181, True)]
    registered.wait(days=182)
    _, renewed = registered.renew(5)
    dispatch(now=registered.now)
    assert alerts() == [(RENEW, 181, True)]
    renewed.ack("RENEWAL")
    dispatch(now=registered.now)
    assert alerts() == [(RENEW, 181, False)]
    renewed.wait(days=300)
    advance_lives(now=renewed.now)
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED


def test_an_unacknowledged_renewal_does_not_keep_an_instance_alive(registered, now):
    registered.wait(days=360)
    registered.renew(5)
    advance_lives(now=now + 365 * DAY)
    assert ProductInstance.objects.get().state == InstanceState.EXPIRED


def test_registering_again_is_the_cure_of_having_been_removed(registered, fresh_token, now):
    pass_time(now + 366 * DAY, since=now + 364 * DAY)
    assert alerts() == [(REMOVED, 364, True)]
    registered.wait(days=366)
    assert registered.register(fresh_token).code is None
    dispatch(now=registered.now)
    assert alerts() == [(REMOVED, 364, False)]


def test_removal_clears_what_was_told(registered, actor_of, bob, now):
    registered.authorize({"ADVANTAGE": 1})
    pass_time(now + 91 * DAY, since=now + 89 * DAY)
    remove_instance(actor=actor_of(bob), instance=ProductInstance.objects.get(), now=now + 92 * DAY)
    dispatch(now=now + 92 * DAY)
    assert alerts() == [(CONNECT, 90, False)]
    assert not InstanceWatch.objects.exists()


def test_a_transfer_takes_the_alert_along(registered, actor_of, alice, default_va, now):
    registered.authorize({"ADVANTAGE": 1})
    pass_time(now + 91 * DAY, since=now + 89 * DAY)
    transfer_instances(
        actor=actor_of(alice), instances=[ProductInstance.objects.get()], target=default_va, now=now + 92 * DAY
    )
    dispatch(now=now + 92 * DAY)
    assert Alert.objects.get(cleared_at=None).virtual_account == default_va


def test_a_product_that_another_account_registers_after_90_days_tells_its_owner_and_names_nobody(
    registered, umbrella, mallory, actor_of, foreign_token, now
):
    thief = Device(now + 91 * DAY, 3, sudi=registered.sudi)
    assert thief.register(foreign_token).code is None
    dispatch(now=thief.now)
    alert = Alert.objects.get(type=AlertType.UDI_CLAIMED_ELSEWHERE)
    assert alert.smart_account.domain == "acme.example"
    assert "Umbrella" not in describe_alert(alert)


def test_a_claim_passes_to_who_reports_the_product_elsewhere_after_silence(registered, foreign_token, now):
    registered.authorize({"ADVANTAGE": 3})
    other = Device(now, 3)
    assert other.register(foreign_token).code is None
    other.authorize({"ADVANTAGE": 4})
    # As an on-prem server reports it: the same product, in another Smart Account, stored and not counted.
    heir = ProductInstance.objects.latest("pk")
    UdiClaim.objects.filter(udi=heir.udi).delete()
    ProductInstance.objects.filter(pk=heir.pk).update(udi=registered.udi, is_counted=False, claim_lost=True)
    advance_lives(now=now + 90 * DAY)
    assert UdiClaim.objects.get().instance != heir
    InstanceContact.objects.filter(pk=heir.pk).update(last_contact_at=now + 179 * DAY)
    advance_lives(now=now + 180 * DAY)
    assert UdiClaim.objects.get().instance == heir
    assert list(Usage.objects.counted().values_list("quantity", flat=True)) == [4]
    assert InstanceNotice.objects.filter(kind=NoticeKind.CLAIMED_ELSEWHERE).count() == 1


def test_two_sweeps_at_once_tell_once(registered, now):
    registered.authorize({"ADVANTAGE": 1})
    for _ in range(3):
        advance_lives(now=now + 91 * DAY)
    assert InstanceNotice.objects.count() == 1


def test_looking_costs_one_look_in_90_days(registered, now):
    assert InstanceWatch.objects.get().due_at == now + 90 * DAY
    advance_lives(now=now + 90 * DAY)
    assert InstanceWatch.objects.get().due_at == now + 180 * DAY
