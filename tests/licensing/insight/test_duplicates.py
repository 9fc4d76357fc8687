"""Products that seem to claim licenses twice are found, explained, told of, and forgotten once it is no longer so."""

from datetime import timedelta

import pytest

from accounts.models import VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert, Delivery
from alerts.services.dispatch import dispatch
from alerts.services.mail import send_due_mail
from alerts.services.rules import present_params
from alerts.services.subscriptions import choose_notifications
from alerts.states import AlertType, DeliveryState, Frequency
from cssm.common.actor import SYSTEM
from licensing.models import DuplicateFinding, InstanceContact, ProductInstance
from licensing.services.devices.endings import remove_instance
from licensing.services.insight.duplicates import find_duplicates
from licensing.services.insight.suspicions import SILENT_AFTER
from licensing.states import DuplicateKind, DuplicateReason, InstanceState
from tests.licensing.insight.products import PID, found, product
from tests.licensing.stock import make_license, use

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
UDI, REPLACED, HA = DuplicateKind.SAME_UDI, DuplicateKind.REPLACED_HARDWARE, DuplicateKind.HA_CLAIM


@pytest.fixture
def other_va(acme, now):
    return VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=now)


# --- one UDI, two registrations ---


def test_of_a_product_registered_directly_and_through_an_on_prem_server_the_earlier_contact_is_the_duplicate(
    engineering, now
):
    product(engineering, "A", now - 3 * DAY, origin="server")
    product(engineering, "A", now - DAY)
    product(engineering, "B", now)
    (finding,) = found(now)
    assert finding == (f"{PID}:A", UDI, DuplicateReason.LATER_CONTACT, f"{PID}:A")
    row = DuplicateFinding.objects.get()
    assert (row.instance.origin.name, row.other.origin.name) == ("server", "direct")


def test_it_is_the_other_way_round_once_the_other_one_speaks(engineering, now):
    server, direct = product(engineering, "A", now - 3 * DAY, origin="server"), product(engineering, "A", now - DAY)
    find_duplicates(now=now)
    InstanceContact.objects.filter(instance=server).update(last_contact_at=now)
    find_duplicates(now=now + DAY)
    (finding,) = DuplicateFinding.objects.standing()
    assert (finding.instance, finding.other) == (direct, server)


def test_the_same_product_in_two_virtual_accounts_is_found_too(engineering, other_va, now):
    product(engineering, "A", now - DAY)
    product(other_va, "A", now, origin="server")
    assert found(now) == [(f"{PID}:A", UDI, "later_contact", f"{PID}:A")]
    assert DuplicateFinding.objects.get().virtual_account == engineering


def test_the_same_product_in_another_smart_account_is_nobodys_duplicate(engineering, umbrella, now):
    product(engineering, "A", now - DAY)
    product(VirtualAccount.objects.get(smart_account=umbrella), "A", now, origin="server")
    assert found(now) == []


def test_a_registration_that_has_ended_is_no_duplicate(engineering, now):
    product(engineering, "A", now - DAY)
    ProductInstance.objects.filter(pk=product(engineering, "A", now).pk).update(state=InstanceState.DEREGISTERED)
    assert found(now) == []


# --- replaced hardware ---


@pytest.mark.parametrize(
    ("shared", "reason"),
    [
        ({"hostname": "edge-1"}, "same_host_name"),
        ({"host_identifier": "vm-7"}, "same_host_identifier"),
        ({"ip_address": "192.0.2.7", "mac_address": "00:53:00:00:00:07"}, "same_addresses"),
    ],
)
def test_a_silent_product_whose_place_a_newer_one_took_was_probably_replaced(engineering, now, shared, reason):
    product(engineering, "OLD", now - SILENT_AFTER - DAY, **shared)
    product(engineering, "NEW", now, **shared)
    assert found(now) == [(f"{PID}:OLD", REPLACED, reason, f"{PID}:NEW")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"heard": SILENT_AFTER}, "not silent for long enough"),
        ({"hostname": "edge-2"}, "another name"),
        ({"hostname": ""}, "no name at all"),
        ({"pid": "C9500-16X"}, "another kind of product"),
        ({"place": "Sales"}, "another Virtual Account"),
        ({"registered": timedelta(days=400)}, "the other one was there before"),
        ({"ha_peers": [f"{PID}:OLD"]}, "its peer in high availability"),
    ],
)
def test_a_silent_product_stays_where_nothing_speaks_for_a_replacement(engineering, other_va, now, change, why):
    heard = now - change.pop("heard", SILENT_AFTER + DAY)
    registered = now - change.pop("registered", 2 * DAY)
    place = other_va if change.pop("place", None) else engineering
    product(engineering, "OLD", heard, hostname="edge-1", ha_peers=[f"{PID}:NEW"] if "ha_peers" in change else [])
    product(place, "NEW", now, registered=registered, **{"hostname": "edge-1", **change})
    assert found(now) == [], why


def test_an_instance_that_only_its_server_hears_of_is_not_called_silent(engineering, now):
    product(engineering, "OLD", None, registered=now - 300 * DAY, hostname="edge-1", origin="server")
    product(engineering, "NEW", now, hostname="edge-1")
    assert found(now) == []


# --- claims of high availability ---


def pair(engineering, now, *, other=None, **values):
    """A and B, of which A names B; `values` are B's."""
    place = other or engineering
    product(engineering, "A", now, ha_peers=[f"{values.get('pid', PID)}:B"])
    return product(place, "B", now, **{"ha_peers": [f"{PID}:A"], **values})


def test_a_claim_that_holds_is_no_finding(engineering, now):
    pair(engineering, now)
    assert found(now) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pid": "C9500-16X"}, "other_product"),
        ({"software_tag": "other software"}, "other_software"),
        ({"ha_peers": []}, "not_mutual"),
    ],
)
def test_a_claim_that_does_not_hold_is_explained(engineering, now, values, reason):
    pair(engineering, now, **values)
    claims = [row for row in found(now) if row[0] == f"{PID}:A"]
    assert claims == [(f"{PID}:A", HA, reason, f"{values.get('pid', PID)}:B")]


def test_a_claim_across_virtual_accounts_does_not_hold_for_either(engineering, other_va, now):
    pair(engineering, now, other=other_va)
    assert [row[2] for row in found(now)] == ["other_virtual_account"] * 2


def test_a_claim_on_a_product_of_another_company_names_nothing_of_it(engineering, umbrella, now):
    pair(engineering, now, other=VirtualAccount.objects.get(smart_account=umbrella))
    mine = DuplicateFinding.objects.filter(virtual_account=engineering)
    find_duplicates(now=now)
    assert [(row.reason, row.other) for row in mine] == [("other_smart_account", None)]


def test_a_peer_that_never_registered_claims_nothing(engineering, now):
    product(engineering, "A", now, ha_peers=[f"{PID}:GHOST", f"{PID}:A"])
    assert found(now) == []


@pytest.mark.parametrize(("size", "held"), [(8, True), (9, False)])
def test_a_group_holds_eight(engineering, now, size, held):
    product(engineering, "A", now, ha_peers=[f"{PID}:{number}" for number in range(size - 1)])
    assert [row[2] for row in found(now)] == ([] if held else ["group_too_large"])


# --- how it is kept up to date ---


def test_looking_twice_changes_nothing(engineering, now):
    product(engineering, "A", now - DAY, origin="server")
    product(engineering, "A", now)
    assert find_duplicates(now=now) == 1
    assert find_duplicates(now=now) == 0


def test_a_small_window_finds_everything_within_a_round(engineering, now):
    for number in range(4):
        product(engineering, f"S{number}", now - DAY, origin="server")
    for number in range(4):
        product(engineering, f"S{number}", now)
    for _ in range(5):
        find_duplicates(now=now, limit=2)
    assert DuplicateFinding.objects.standing().count() == 4


def test_a_new_registration_is_looked_at_at_once_wherever_the_window_is(engineering, now):
    for number in range(7):
        product(engineering, f"S{number}", now)
    find_duplicates(now=now, limit=3)
    product(engineering, "S0", now + DAY)
    find_duplicates(now=now, limit=3)
    assert DuplicateFinding.objects.standing().get().instance.udi == f"{PID}:S0"


def test_a_clean_fleet_costs_the_same_whatever_its_size(engineering, now, django_assert_max_num_queries):
    for number in range(30):
        product(engineering, f"S{number}", now)
    with django_assert_max_num_queries(11):
        find_duplicates(now=now)


def test_an_instance_that_moved_is_told_of_where_it_is(engineering, other_va, now):
    old = product(engineering, "A", now - DAY, origin="server")
    product(engineering, "A", now)
    find_duplicates(now=now)
    ProductInstance.objects.filter(pk=old.pk).update(virtual_account=other_va)
    find_duplicates(now=now)
    assert DuplicateFinding.objects.standing().get().virtual_account == other_va


# --- the alert ---


@pytest.fixture
def subscribed(acme, alice, now):
    choose_notifications(
        actor=actor_for_user(alice),
        smart_account=acme,
        choices={(None, AlertType.DUPLICATE_LICENSES): Frequency.IMMEDIATE},
        now=now,
    )


def test_a_finding_is_an_alert_and_a_message_that_explain_it(engineering, subscribed, now, mailoutbox):
    old = product(engineering, "OLD", now - SILENT_AFTER - DAY, hostname="alices-router")
    product(engineering, "NEW", now, hostname="alices-router")
    use(old, make_license("DNA-1", now), 4, now)
    find_duplicates(now=now)
    dispatch(now=now)
    send_due_mail(now=now)
    (alert,) = Alert.objects.standing()
    assert (alert.kind, alert.virtual_account) == (AlertType.DUPLICATE_LICENSES, engineering)
    assert alert.path.startswith("/accounts/acme.example/inventory/all/duplicates/")
    (message,) = mailoutbox
    assert "C9300-24UX:OLD" in message.body
    assert "newer product of this kind has the same host name" in message.body
    assert "Licenses it uses: 4" in message.body
    assert "alices-router" not in message.body, "host names are personal"


def test_the_alert_is_cleared_when_the_duplicate_is_removed_and_no_mail_leaves_for_it(engineering, subscribed, now):
    old = product(engineering, "A", now - DAY)
    product(engineering, "A", now, origin="server")
    find_duplicates(now=now)
    dispatch(now=now)
    remove_instance(actor=SYSTEM, instance=old, now=now)
    (alert,) = Alert.objects.standing()
    assert present_params([alert], now=now) == {alert.pk: None}
    send_due_mail(now=now)
    assert Delivery.objects.get().state == DeliveryState.CANCELLED
    find_duplicates(now=now + DAY)
    dispatch(now=now + DAY)
    assert Alert.objects.get().cleared_at == now + DAY
    assert not DuplicateFinding.objects.standing().exists()


def test_a_relapse_is_a_new_alert(engineering, now):
    old = product(engineering, "OLD", now - SILENT_AFTER - DAY, hostname="edge-1")
    product(engineering, "NEW", now, hostname="edge-1")
    for moment, heard in ((now, None), (now + DAY, now + DAY), (now + 50 * DAY, None)):
        if heard:
            InstanceContact.objects.filter(instance=old).update(last_contact_at=heard)
        else:
            InstanceContact.objects.exclude(instance=old).update(last_contact_at=moment)
        find_duplicates(now=moment)
        dispatch(now=moment)
    assert [alert.cleared_at for alert in Alert.objects.order_by("pk")] == [now + DAY, None]
