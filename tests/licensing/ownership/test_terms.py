"""Licenses that come to their end are told of in time, once per threshold, and no more once nothing is left."""

from datetime import timedelta

import pytest

from accounts.services.actors import actor_for_user
from alerts.models import Alert, Delivery
from alerts.services.compose import compose_message
from alerts.services.dismissals import dismiss_alert
from alerts.services.dispatch import dispatch
from alerts.services.mail import send_due_mail
from alerts.services.rules import present_params
from alerts.services.subscriptions import choose_notifications
from alerts.states import AlertType, DeliveryState, Frequency
from cssm.common.actor import SYSTEM
from licensing.models import TermNotice
from licensing.services.ownership.corrections import terminate_licenses
from licensing.services.ownership.terms import make_term_notices
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.states import LicenseType
from tests.licensing.stock import deliver, line, make_license

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
EXPIRING, EXPIRED = AlertType.LICENSES_EXPIRING, AlertType.LICENSES_EXPIRED


@pytest.fixture
def dna(now):
    return make_license("DNA-1", now)


@pytest.fixture
def lasting(engineering, dna, now):
    """Delivers a quantity that ends so many days from now."""

    def make(days, quantity=10, kind="term"):
        end = now + timedelta(days=days)
        return deliver(engineering, line(dna, quantity, licenseType=kind, endDate=end.isoformat()), now=now).order

    return make


def sweep(now):
    made = make_term_notices(now=now)
    dispatch(now=now)
    return made


def noticed():
    return sorted(TermNotice.objects.values_list("days", flat=True), reverse=True)


def standing():
    return [(alert.kind, alert.params["quantity"]) for alert in Alert.objects.standing().order_by("pk")]


@pytest.fixture
def subscribed(acme, alice):
    choices = {(None, EXPIRING): Frequency.IMMEDIATE, (None, EXPIRED): Frequency.IMMEDIATE}
    choose_notifications(actor=actor_for_user(alice), smart_account=acme, choices=choices, now=acme.created_at)


def test_every_threshold_is_told_once_and_then_the_end(lasting, now):
    lasting(120)
    for day in range(125):
        sweep(now + day * DAY)
        sweep(now + day * DAY)
    assert noticed() == [90, 60, 30, 14, 7, 3, 1, 0]


@pytest.mark.parametrize(
    ("days", "told"), [(91, []), (90, [90]), (61, [90]), (60, [60]), (20, [30]), (2, [3]), (1, [1]), (0.5, [1])]
)
def test_what_comes_late_is_told_of_at_the_nearest_threshold_only(lasting, now, days, told):
    lasting(days)
    assert sweep(now) == len(told)
    assert noticed() == told


def test_what_ended_while_nothing_ran_is_told_of_as_ended_only(lasting, now):
    lasting(40)
    sweep(now + timedelta(days=200))
    assert noticed() == [0]
    assert standing() == [(EXPIRED, 10)]


def test_the_moment_of_the_end_is_the_end(lasting, now):
    lasting(10)
    sweep(now + 10 * DAY - timedelta(seconds=1))
    assert noticed() == [1]
    sweep(now + 10 * DAY)
    assert noticed() == [1, 0]


def test_demo_lines_are_told_of_too_and_lines_without_end_never(lasting, engineering, dna, now):
    deliver(engineering, line(dna, 5), now=now)
    lasting(20, kind="demo")
    sweep(now)
    (notice,) = TermNotice.objects.all()
    assert (notice.line.license_type, notice.quantity) == ("demo", 10)


def test_a_license_that_goes_on_by_another_line_is_told_of_all_the_same(lasting, engineering, dna, now):
    lasting(20)
    lasting(800, quantity=50)
    sweep(now)
    assert standing() == [(EXPIRING, 10)]


def test_a_run_with_a_limit_takes_the_soonest_end_first(lasting, now):
    lasting(80)
    lasting(5)
    assert make_term_notices(now=now, limit=1) == 1
    assert noticed() == [7]
    assert make_term_notices(now=now, limit=1) == 1
    assert noticed() == [90, 7]


def test_lines_that_end_together_have_one_alert_and_each_threshold_raises_it_anew(lasting, now):
    lasting(60)
    lasting(60, quantity=7)
    sweep(now)
    assert standing() == [(EXPIRING, 17)]
    sweep(now + 30 * DAY)
    (alert,) = Alert.objects.standing()
    assert alert.raised_at == now + 30 * DAY
    assert alert.action_due == now + 60 * DAY
    assert Alert.objects.filter(cleared_at__isnull=False).count() == 1


def test_the_end_replaces_the_warning(lasting, now):
    lasting(1)
    sweep(now)
    sweep(now + DAY)
    assert standing() == [(EXPIRED, 10)]
    assert Alert.objects.get(type=EXPIRING).cleared_at == now + DAY


def test_who_dismissed_a_warning_sees_it_at_the_next_threshold(lasting, alice, acme, now):
    lasting(60)
    sweep(now)
    dismiss_alert(actor=actor_for_user(alice), smart_account=acme, alert_id=Alert.objects.standing().get().pk, now=now)
    sweep(now + DAY)
    assert not Alert.objects.standing().undismissed().exists()
    sweep(now + 30 * DAY)
    assert Alert.objects.standing().undismissed().count() == 1


def test_each_threshold_is_a_message_to_those_who_subscribed(lasting, subscribed, alice, now, mailoutbox):
    lasting(30)
    for moment in (now, now + 16 * DAY, now + 30 * DAY):
        sweep(moment)
        send_due_mail(now=moment)
    assert [message.subject for message in mailoutbox] == [
        "Licenses Expiring: Engineering: DNA-1 name (Acme)",
        "Licenses Expiring: Engineering: DNA-1 name (Acme)",
        "Licenses Expired: Engineering: DNA-1 name (Acme)",
    ]
    assert '10 of the license "DNA-1 name" in the Virtual Account "Engineering" expire on 2026-04-01' in (
        mailoutbox[0].body
    )
    assert "Days left: 14" in mailoutbox[1].body


def test_a_message_tells_what_is_left_when_it_leaves(lasting, subscribed, engineering, dna, now):
    lasting(30)
    sweep(now)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=4, reason="back", now=now)
    message = compose_message(Delivery.objects.get(), now=now)
    assert '6 of the license "DNA-1 name"' in str(message.body)


def test_lines_emptied_by_a_termination_have_recovered(lasting, subscribed, engineering, dna, now, mailoutbox):
    lasting(30)
    sweep(now)
    later = now + timedelta(hours=1)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=10, reason="back", now=later)
    (alert,) = Alert.objects.standing()
    assert present_params([alert], now=later) == {alert.pk: None}
    send_due_mail(now=later)
    assert mailoutbox == []
    assert Delivery.objects.get().state == DeliveryState.CANCELLED
    sweep(later)
    alert.refresh_from_db()
    assert alert.cleared_at == later
    assert sweep(later) == 0
    sweep(now + 31 * DAY)
    assert standing() == []


def renew(engineering, dna, at, *, start, days, quantity=10):
    fields = {"startDate": start.isoformat(), "endDate": (start + days * DAY).isoformat(), "licenseType": "TERM"}
    deliver(engineering, line(dna, quantity, **fields), now=at)


def test_a_renewal_clears_the_warning_and_no_further_threshold_warns(lasting, subscribed, engineering, dna, now):
    lasting(30)
    sweep(now)
    renew(engineering, dna, now + DAY, start=now + 30 * DAY, days=365)
    sweep(now + DAY)
    assert standing() == []
    assert Alert.objects.get().cleared_at == now + DAY
    for days in (16, 23, 29, 30):
        sweep(now + days * DAY)
        assert standing() == []
    sweep(now + 385 * DAY)
    assert standing() == [(EXPIRING, 10)]


def test_what_has_expired_is_cured_by_buying_it_again(lasting, engineering, dna, now):
    lasting(1)
    sweep(now + DAY)
    assert standing() == [(EXPIRED, 10)]
    renew(engineering, dna, now + 3 * DAY, start=now + 3 * DAY, days=365, quantity=4)
    sweep(now + 3 * DAY)
    assert standing() == [(EXPIRED, 10)]
    renew(engineering, dna, now + 4 * DAY, start=now + 4 * DAY, days=365, quantity=6)
    sweep(now + 4 * DAY)
    assert standing() == []


def test_one_renewal_does_not_renew_two_terms(lasting, engineering, dna, now):
    lasting(20)
    lasting(25)
    sweep(now)
    assert standing() == [(EXPIRING, 10), (EXPIRING, 10)]
    renew(engineering, dna, now + DAY, start=now + 20 * DAY, days=365)
    sweep(now + DAY)
    assert [alert.action_due for alert in Alert.objects.standing()] == [now + 25 * DAY]


def test_what_begins_long_after_the_end_is_no_renewal(lasting, engineering, dna, now):
    lasting(20)
    sweep(now)
    renew(engineering, dna, now + DAY, start=now + 90 * DAY, days=365)
    sweep(now + DAY)
    assert standing() == [(EXPIRING, 10)]


def test_what_is_transferred_is_told_of_where_it_went(lasting, engineering, default_va, dna, now):
    lasting(30)
    sweep(now)
    transfer_licenses(
        actor=SYSTEM,
        source=engineering,
        lines=[TransferLine(license=dna, quantity=10, target=default_va, license_type=LicenseType.TERM)],
        now=now + DAY,
    )
    sweep(now + DAY)
    (alert,) = Alert.objects.standing()
    assert (alert.virtual_account, alert.params["quantity"]) == (default_va, 10)


def test_nothing_due_costs_a_few_queries_whatever_was_told_before(lasting, now, django_assert_max_num_queries):
    for days in (1, 20, 50, 80, 300):
        lasting(days)
    sweep(now)
    with django_assert_max_num_queries(5):
        assert make_term_notices(now=now) == 0
