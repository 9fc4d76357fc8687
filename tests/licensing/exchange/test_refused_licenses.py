"""The alert "Restricted License Not Available": who wants what export control or too few licenses keep from it."""

from datetime import timedelta

import pytest

from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus
from alerts.models import Alert, Delivery
from alerts.services.dispatch import dispatch
from alerts.services.relevance import reason_not_to_send
from alerts.services.subscriptions import choose_notifications
from alerts.services.texts import describe_alert, list_facts
from alerts.states import AlertType, Frequency, Severity
from cssm.common.actor import SYSTEM
from licensing.models import ProductInstance
from licensing.services.devices.moving import transfer_instances
from licensing.services.devices.tokens import create_token
from licensing.services.reservations.refused_keys import look_again
from tests.licensing.device_driver import Device
from tests.licensing.exchange.export_cast import HSEC, ask
from tests.licensing.stock import deliver, line

MINUTE = timedelta(minutes=1)


def standing(now):
    dispatch(now=now)
    found = Alert.objects.standing().filter(type=AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE)
    return list(found.order_by("pk"))


@pytest.fixture
def restrict(acme, now):
    def set_status(status=ExportStatus.RESTRICTED):
        set_account_flags(actor=SYSTEM, smart_account=acme, export_status=status, now=now)

    return set_status


def test_a_key_that_cannot_be_had_is_told_once_and_until_it_could_be(registered, hsec, engineering, count_rows):
    assert ask(registered, 9).code == "NOT_ENTITLED"
    now = registered.now
    [alert] = standing(now)
    assert (alert.severity, alert.virtual_account) == (Severity.MAJOR, engineering)
    assert describe_alert(alert) == (
        'The product C9300-24UX:FCW2134L000 in the Virtual Account "Engineering" asked for 9 of the export-restricted'
        ' license "Router US Export Lic. for DNA" and did not get it: too few are free. Once more are free or owned,'
        " the product gets its key when it asks again."
    )
    assert ("Quantity asked for", "9") in list_facts(alert)
    before = count_rows()
    assert ask(registered, 9).code == "NOT_ENTITLED"
    assert (look_again(now=now), count_rows()) == (0, before)
    assert ask(registered, 8).code == "NOT_ENTITLED"
    assert standing(now) == [alert]
    alert.refresh_from_db()
    assert alert.params["quantity"] == 8
    deliver(engineering, line(hsec, 3), order_ref="MORE", now=now)
    assert look_again(now=now + MINUTE) == 1
    assert standing(now + MINUTE) == []


def test_a_key_that_is_given_clears_it(registered, hsec):
    assert ask(registered, 9).code == "NOT_ENTITLED"
    assert len(standing(registered.now)) == 1
    assert ask(registered, 2).code is None
    assert standing(registered.now) == []


def test_an_account_that_may_not_have_keys_is_told_until_it_may(registered, hsec, restrict):
    restrict()
    assert ask(registered, 1).code == "EXPORT_RESTRICTED"
    [alert] = standing(registered.now)
    assert "this Smart Account may not have export-controlled functionality" in describe_alert(alert)
    assert look_again(now=registered.now) == 0
    restrict(ExportStatus.ALLOWED)
    assert look_again(now=registered.now) == 1
    assert standing(registered.now) == []


def test_use_of_a_license_that_the_account_may_not_have_is_told_until_it_ends(registered, hsec, restrict, count_rows):
    restrict()
    registered.authorize({HSEC: 2})
    [alert] = standing(registered.now)
    assert "asked for 2 of the export-restricted license" in describe_alert(alert)
    before = count_rows()
    registered.authorize({HSEC: 2})
    assert count_rows() == before
    registered.authorize({HSEC: 3})
    assert [each.pk for each in standing(registered.now)] == [alert.pk]
    registered.authorize({})
    assert standing(registered.now) == []


def test_use_that_counts_from_now_on_clears_it(registered, hsec, restrict):
    restrict()
    registered.authorize({HSEC: 2})
    assert len(standing(registered.now)) == 1
    restrict(ExportStatus.ALLOWED)
    registered.authorize({HSEC: 2})
    assert standing(registered.now) == []


def test_a_token_that_forbids_it_is_told_as_the_reason(authorities, hsec, actor_of, alice, engineering, now):
    _, value = create_token(
        actor=actor_of(alice), virtual_account=engineering, export_controlled_allowed=False, now=now
    )
    device = Device(now)
    assert device.register(value).code is None
    device.authorize({HSEC: 1})
    assert ask(device).code == "EXPORT_RESTRICTED"
    use, key = standing(now)
    assert "the ID token that it was registered with" in describe_alert(use)
    assert describe_alert(use) == describe_alert(key)
    assert device.deregister().code is None
    assert standing(now) == []


def test_who_subscribed_is_mailed_unless_it_is_cured_first(registered, hsec, acme, engineering, admin):
    wanted = {(engineering.pk, AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE): Frequency.IMMEDIATE}
    choose_notifications(actor=admin, smart_account=acme, choices=wanted, now=registered.now)
    assert ask(registered, 9).code == "NOT_ENTITLED"
    assert len(standing(registered.now)) == 1
    mail = Delivery.objects.get()
    assert reason_not_to_send(mail, now=registered.now) is None
    assert ask(registered, 2).code is None
    assert reason_not_to_send(mail, now=registered.now) is not None


def test_a_tag_that_the_catalog_does_not_know_is_no_license_that_is_missing(registered):
    assert ask(registered, 1, tag="unknown").code == "NOT_ENTITLED"
    assert standing(registered.now) == []


def test_it_goes_along_to_another_virtual_account(registered, hsec, admin, default_va):
    assert ask(registered, 9).code == "NOT_ENTITLED"
    assert len(standing(registered.now)) == 1
    transfer_instances(actor=admin, instances=[ProductInstance.objects.get()], target=default_va, now=registered.now)
    assert [alert.virtual_account for alert in standing(registered.now)] == [default_va]
