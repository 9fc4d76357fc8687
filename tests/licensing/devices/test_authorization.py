"""A product reports its use and learns whether its account is in compliance."""

from datetime import timedelta

import pytest

from accounts.models import Event
from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus
from cssm.common.actor import SYSTEM
from cssm.common.errors import Forbidden, NotFound
from licensing.models import InstanceContact, PoolDelta, ProductInstance, Usage
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.tokens import create_token
from licensing.services.ownership.orders import deliver_order
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState, UsageKind
from tests.licensing.device_driver import Device


@pytest.fixture
def buy(acme, engineering, now):
    def order(tag, quantity):
        line = {"entitlementTag": tag, "quantity": quantity, "licenseType": "perpetual"}
        deliver_order(
            actor=SYSTEM,
            domain=acme.domain,
            virtual_account=engineering.name,
            order_ref=f"order-{tag}-{quantity}",
            lines=[line],
            now=now,
        )

    return order


@pytest.fixture
def advantage(make_license, buy):
    license = make_license("advantage")
    buy("advantage", 5)
    return license


def statuses(reply):
    return {each["tag"]: each["status"] for each in reply.data["entitlements"]}


def test_use_within_the_pool_is_authorized_for_90_days(registered, advantage):
    reply = registered.authorize({"advantage": 5})
    assert reply.data == {
        "compliance_status": "In Compliance",
        "entitlements": [{"tag": "advantage", "count": 5, "status": "AUTHORIZED"}],
        "next_request_seconds": 2592000,
        "authorization_expires_seconds": 7776000,
    }
    assert reply.is_by(registered.signing_cert)
    contact = InstanceContact.objects.get()
    assert contact.authorized_at == contact.last_contact_at == registered.now
    assert contact.authorization_expires_at == registered.now + timedelta(days=90)


def test_the_answer_counts_the_requests_own_change(registered, advantage):
    reply = registered.authorize({"advantage": 6})
    assert (reply.data["compliance_status"], statuses(reply)) == (
        "Out Of Compliance",
        {"advantage": "OUT_OF_COMPLIANCE"},
    )
    assert statuses(registered.authorize({"advantage": 5})) == {"advantage": "AUTHORIZED"}


def test_another_product_learns_of_the_shortage_at_its_next_request(registered, token, advantage, now):
    registered.authorize({"advantage": 4})
    other = Device(now, 1)
    other.register(token)
    assert statuses(other.authorize({"advantage": 2})) == {"advantage": "OUT_OF_COMPLIANCE"}
    assert statuses(registered.authorize({"advantage": 4})) == {"advantage": "OUT_OF_COMPLIANCE"}
    assert registered.authorize({}).data["compliance_status"] == "In Compliance"


def test_a_shortage_of_another_license_makes_the_account_out_of_compliance(registered, advantage, make_license, buy):
    make_license("essentials")
    reply = registered.authorize({"advantage": 1, "essentials": 1})
    assert reply.data["compliance_status"] == "Out Of Compliance"
    assert statuses(reply) == {"advantage": "AUTHORIZED", "essentials": "OUT_OF_COMPLIANCE"}


def test_a_term_that_ended_is_short_in_the_answer_before_any_fold(registered, make_license, acme, engineering, now):
    """Also beside a pool that has not ended, and where nothing of the use changes."""
    for tag, days in (("advantage", 10), ("essentials", 20)):
        make_license(tag)
        line = {"entitlementTag": tag, "quantity": 5, "licenseType": "term"}
        deliver_order(
            actor=SYSTEM,
            domain=acme.domain,
            virtual_account=engineering.name,
            order_ref=tag,
            lines=[{**line, "startDate": now.isoformat(), "endDate": (now + timedelta(days=days)).isoformat()}],
            now=now,
        )
    use = {"advantage": 1, "essentials": 1}
    seen = []
    for days in (0, 9, 10, 11, 20):
        registered.now = now + timedelta(days=days, seconds=days)
        seen.append("".join(status[0] for status in statuses(registered.authorize(use)).values()))
    assert seen == ["AA", "AA", "OA", "OA", "OO"]


def test_the_whole_use_is_reported_each_time(registered, advantage, make_license):
    make_license("essentials")
    registered.authorize({"advantage": 2, "essentials": 1})
    registered.authorize({"advantage": 3})
    assert list(Usage.objects.values_list("tag", "quantity", "kind")) == [("advantage", 3, UsageKind.COUNTED)]
    assert sum(PoolDelta.objects.values_list("in_use", flat=True)) == 3
    assert check_pools(now=registered.now) == []


def test_unchanged_use_writes_nothing_but_its_receipt(registered, advantage, count_rows, django_assert_max_num_queries):
    registered.authorize({"advantage": 2})
    before = count_rows()
    body = registered.request("AUTHORIZATION", {"entitlements": [{"tag": "advantage", "count": 2}]})
    with django_assert_max_num_queries(5):  # two reads and the receipt, with a savepoint, for tests are transactions
        reply = registered.send(body)
    assert (reply.code, count_rows()) == (None, before)


@pytest.mark.postgresql
def test_changed_use_and_its_receipt_are_one_statement(registered, advantage, django_assert_max_num_queries):
    registered.authorize({"advantage": 2})
    body = registered.request("AUTHORIZATION", {"entitlements": [{"tag": "advantage", "count": 3}]})
    with django_assert_max_num_queries(5):  # as many
        reply = registered.send(body)
    assert reply.code is None
    assert check_pools(now=registered.now) == []


def test_an_unknown_tag_is_kept_on_the_instance_and_in_no_pool(registered):
    reply = registered.authorize({"nonsense": 2})
    assert (statuses(reply), reply.data["compliance_status"]) == ({"nonsense": "INVALID_TAG"}, "In Compliance")
    usage = Usage.objects.get()
    assert (usage.kind, usage.quantity, usage.license) == (UsageKind.INVALID_TAG, 2, None)
    assert not PoolDelta.objects.exists()
    assert Event.objects.filter(name="license.usage_refused").count() == 1


def test_a_tag_that_becomes_known_is_counted_from_the_next_request(registered, make_license):
    registered.authorize({"later": 2})
    make_license("later")
    assert statuses(registered.authorize({"later": 2})) == {"later": "OUT_OF_COMPLIANCE"}
    assert sum(PoolDelta.objects.values_list("in_use", flat=True)) == 2


@pytest.mark.parametrize("reason", ["the token", "the account"])
def test_an_export_restricted_license_is_refused_where_not_allowed(
    authorities, make_license, actor_of, alice, engineering, acme, now, reason
):
    make_license("strong", export_restricted=True)
    allowed = reason == "the account"
    _, value = create_token(
        actor=actor_of(alice), virtual_account=engineering, export_controlled_allowed=allowed, now=now
    )
    device = Device(now)
    device.register(value)
    if allowed:
        assert statuses(device.authorize({"strong": 1})) == {"strong": "OUT_OF_COMPLIANCE"}
        set_account_flags(actor=SYSTEM, smart_account=acme, export_status=ExportStatus.RESTRICTED, now=now)
    assert statuses(device.authorize({"strong": 1})) == {"strong": "EXPORT_RESTRICTED"}
    assert Usage.objects.get().kind == UsageKind.EXPORT_RESTRICTED
    assert sum(PoolDelta.objects.values_list("in_use", flat=True)) == 0


def test_a_count_of_zero_is_answered_and_not_kept(registered, advantage):
    assert statuses(registered.authorize({"advantage": 0})) == {"advantage": "AUTHORIZED"}
    assert not Usage.objects.exists()


def test_the_largest_count_is_no_trouble(registered, advantage):
    assert statuses(registered.authorize({"advantage": 10**9})) == {"advantage": "OUT_OF_COMPLIANCE"}


def test_host_name_and_addresses_are_erased_when_absent(registered):
    registered.authorize({}, hostname="edge-1", ip_address="10.0.0.1", mac_address="00:11:22:33:44:55")
    assert ProductInstance.objects.get().hostname == "edge-1"
    registered.authorize({}, hostname="")
    instance = ProductInstance.objects.get()
    assert (instance.hostname, instance.ip_address, instance.mac_address) == ("", "", "")
    events = Event.objects.filter(name="instance.details_changed").order_by("pk")
    assert [event.data["changed"] for event in events] == ["host name, IP address, MAC address"] * 2
    assert "edge-1" not in str([event.data for event in events])


def test_any_later_message_counts_as_the_acknowledgement(device, token):
    device.register(token)
    device.authorize({})
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED
    assert Event.objects.filter(name="instance.acknowledged").count() == 1


def test_a_second_acknowledgement_changes_nothing_more(registered):
    reply = registered.ack()
    assert (reply.code, reply.data) == (None, {})
    assert Event.objects.filter(name="instance.acknowledged").count() == 1


def test_the_same_bytes_get_the_same_bytes_and_no_second_effect(registered, advantage, count_rows):
    body = registered.request("AUTHORIZATION", {"entitlements": [{"tag": "advantage", "count": 2}]})
    first = registered.send(body)
    before = count_rows()
    registered.wait(hours=48)
    assert registered.send(body).body == first.body
    assert count_rows() == before


def test_only_the_last_request_is_repeated(registered):
    earlier = registered.request("AUTHORIZATION", {"entitlements": []})
    registered.send(earlier)
    registered.authorize({})
    assert registered.send(earlier).code == "REPLAYED"


def test_deregistering_frees_the_use_and_its_answer_can_be_repeated(registered, advantage):
    registered.authorize({"advantage": 5})
    body = registered.request("DEREGISTRATION", {})
    first = registered.send(body)
    assert (first.code, first.data, first.is_by(registered.signing_cert)) == (None, {}, True)
    assert ProductInstance.objects.get().state == InstanceState.DEREGISTERED
    assert not Usage.objects.exists()
    assert sum(PoolDelta.objects.values_list("in_use", flat=True)) == 0
    assert registered.send(body).body == first.body
    assert registered.authorize({}).code == "NOT_REGISTERED"
    assert check_pools(now=registered.now) == []


def test_use_changes_stand_in_the_log_with_before_and_after(registered, advantage):
    registered.authorize({"advantage": 2})
    registered.authorize({"advantage": 5})
    registered.authorize({})
    events = Event.objects.filter(name="license.usage_changed").order_by("pk")
    assert [(event.data["before"], event.data["after"]) for event in events] == [(0, 2), (2, 5), (5, 0)]
    assert {event.actor_kind for event in events} == {"product"}


def test_who_may_manage_removes_an_instance_and_others_do_not(
    registered, advantage, actor_of, bob, carol, mallory, umbrella
):
    registered.authorize({"advantage": 2})
    instance = ProductInstance.objects.get()
    with pytest.raises(Forbidden):
        remove_instance(actor=actor_of(carol), instance=instance, now=registered.now)
    with pytest.raises(NotFound):
        remove_instance(actor=actor_of(mallory), instance=instance, now=registered.now)
    remove_instance(actor=actor_of(bob), instance=instance, now=registered.now)
    remove_instance(actor=actor_of(bob), instance=instance, now=registered.now)
    assert ProductInstance.objects.get().state == InstanceState.REMOVED
    assert Event.objects.filter(name="instance.removed").count() == 1
    assert not Usage.objects.exists()
