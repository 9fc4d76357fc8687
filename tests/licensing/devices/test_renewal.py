"""RENEWAL in two phases: the old key is good until the new one is at work, and nobody is ever without one."""

from datetime import timedelta

import pytest

from accounts.models import Event
from licensing.models import InstanceKey, ProductInstance, Usage
from licensing.services.devices.endings import remove_instance
from licensing.states import InstanceState, KeyState
from tests.keys import load_keys
from tests.licensing.device_driver import SOFTWARE_TAG, Device, make_csr


@pytest.fixture
def due(registered: Device) -> Device:
    """180 days on."""
    registered.wait(days=180)
    return registered


def state() -> str:
    return ProductInstance.objects.get().state


def test_a_renewal_gives_certificates_for_the_new_key_signed_by_the_new_signing_key(due):
    reply, renewed = due.renew(5)
    assert reply.code is None
    assert reply.is_by(renewed.signing_cert)
    assert not reply.is_by(due.signing_cert)
    assert renewed.piid == due.piid
    assert renewed.id_cert.public_key().public_numbers() == load_keys()[5].public_key().public_numbers()
    assert reply.data["renew_after_seconds"] == 15552000
    assert (reply.data["smart_account"], reply.data["virtual_account"]) == ("Acme", "Engineering")
    assert state() == InstanceState.RENEWING


def test_the_acknowledgement_by_the_new_key_ends_the_renewal(due):
    _, renewed = due.renew(5)
    final = renewed.ack("RENEWAL")
    assert (final.code, final.is_by(renewed.signing_cert)) == (None, True)
    assert state() == InstanceState.REGISTERED
    assert renewed.authorize({}).is_by(renewed.signing_cert)
    names = list(Event.objects.order_by("pk").values_list("name", flat=True))
    assert names[-2:] == ["instance.renewal_started", "instance.renewed"]


def test_any_later_message_by_the_new_key_counts_as_the_acknowledgement_and_ends_the_old_key(due):
    _, renewed = due.renew(5)
    assert renewed.authorize({}).code is None
    assert state() == InstanceState.REGISTERED
    old = due.authorize({})
    assert (old.code, old.is_signed) == ("NOT_REGISTERED", False)


def test_the_old_key_stays_good_while_nobody_has_acknowledged(due):
    due.renew(5)
    due.wait(days=30)
    assert due.authorize({}).is_by(due.signing_cert)
    assert state() == InstanceState.RENEWING


def test_the_old_key_stays_good_for_7_days_after_the_acknowledgement(due):
    _, renewed = due.renew(5)
    assert renewed.ack("RENEWAL").code is None
    due.last = renewed.last
    due.wait(days=7, seconds=-1)
    assert due.authorize({}).code is None
    due.wait(seconds=1)
    assert due.authorize({}).code == "NOT_REGISTERED"


def test_another_acknowledgement_does_not_end_the_old_key(due):
    _, renewed = due.renew(5)
    for _ in range(2):
        assert renewed.ack("RENEWAL").code is None
    due.last = renewed.last
    assert due.authorize({}).code is None


def test_the_old_key_never_outlives_its_certificate(registered):
    registered.wait(days=364)
    _, renewed = registered.renew(5)
    assert renewed.ack("RENEWAL").code is None
    registered.last = renewed.last
    registered.wait(days=1)
    assert registered.authorize({}).code in ("CERTIFICATE_EXPIRED", "NOT_REGISTERED")
    renewed.wait(days=1, hours=1)
    assert renewed.authorize({}).code is None


def test_a_renewal_without_acknowledgement_ends_with_the_certificate_that_it_renews(registered):
    registered.wait(days=364)
    _, renewed = registered.renew(5)
    renewed.wait(days=1)
    assert renewed.ack("RENEWAL").code == "CERTIFICATE_EXPIRED"


def test_a_new_renewal_gives_up_the_pending_one(due):
    _, first = due.renew(5)
    reply, second = due.renew(6)
    assert reply.code is None
    first.last = second.last
    late = first.ack("RENEWAL")
    assert (late.code, late.is_signed) == ("NOT_REGISTERED", False)
    second.last = first.last
    assert second.ack("RENEWAL").code is None
    assert InstanceKey.objects.filter(state=KeyState.CURRENT).get().id_cert_serial == second.id_cert_serial


def test_a_renewal_for_the_same_new_key_again_gives_up_the_certificates_before(due):
    _, first = due.renew(5)
    _, second = due.renew(5)
    first.last = second.last
    assert first.ack("RENEWAL").code == "NOT_REGISTERED"
    second.last = first.last
    assert second.ack("RENEWAL").code is None


def test_a_product_that_lost_its_new_key_after_the_acknowledgement_renews_with_the_old_one(due):
    _, lost = due.renew(5)
    assert lost.ack("RENEWAL").code is None
    due.last = lost.last
    _, renewed = due.renew(6)
    assert renewed.ack("RENEWAL").code is None
    assert renewed.authorize({}).code is None
    lost.last = renewed.last
    assert lost.authorize({}).code == "NOT_REGISTERED"


def test_a_renewal_signed_by_the_pending_key_counts_as_its_acknowledgement(due):
    _, renewed = due.renew(5)
    reply, again = renewed.renew(6)
    assert reply.code is None
    due.last = again.last
    assert due.authorize({}).code == "NOT_REGISTERED"
    renewed.last = due.last
    assert renewed.authorize({}).code is None
    again.last = renewed.last
    assert again.ack("RENEWAL").code is None


def test_each_message_repeated_gets_the_same_bytes_and_changes_nothing(due, count_rows):
    body = due.request("RENEWAL", due.renewal(load_keys()[5]))
    first = due.send(body)
    before = count_rows()
    due.wait(hours=1)
    assert due.send(body).body == first.body
    assert count_rows() == before
    _, renewed = due.renew(5)
    data = {"acknowledges": "RENEWAL", "id_cert_serial_number": renewed.id_cert_serial}
    acknowledgement = renewed.request("ACK", data)
    final = renewed.send(acknowledgement)
    before = count_rows()
    assert renewed.send(acknowledgement).body == final.body
    assert count_rows() == before


def test_a_renewal_reports_the_software_and_the_host(due):
    due.renew(5, hostname="edge-7", software_tag_identifier="regid.2020-01.com.example.NEXT,2_x")
    instance = ProductInstance.objects.get()
    assert (instance.hostname, instance.software_tag) == ("edge-7", "regid.2020-01.com.example.NEXT,2_x")


def test_a_renewal_leaves_use_alone(due, make_license):
    make_license("ADVANTAGE")
    due.authorize({"ADVANTAGE": 2})
    _, renewed = due.renew(5)
    renewed.ack("RENEWAL")
    assert Usage.objects.get().quantity == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"csr": "no PEM"}, "CSR_INVALID"),
        ({"csr": make_csr(load_keys()[5], "C9300-24UX:OTHER")}, "UDI_MISMATCH"),
        ({"csr": make_csr(load_keys()[0], "C9300-24UX:FCW2134L000")}, "CSR_INVALID"),
        ({"surprise": 1}, "MALFORMED"),
        ({"software_tag_identifier": ""}, "MALFORMED"),
        ({"hostname": "a\x00b"}, "MALFORMED"),
        ({"id_token": "x"}, "MALFORMED"),
    ],
)
def test_what_is_not_renewed_changes_nothing(due, count_rows, data, code):
    before = count_rows()
    reply, _ = due.renew(5, **data)
    assert reply.code == code
    assert count_rows() == before
    assert due.authorize({}).code is None


def test_the_key_of_another_product_is_not_certified(registered, token):
    other = Device(registered.now, 7)
    assert other.register(token).code is None
    reply, _ = registered.renew(7)
    assert (reply.code, reply.is_by(registered.signing_cert)) == ("CSR_INVALID", True)


def test_a_removed_instance_does_not_renew_and_its_late_acknowledgement_is_refused(due, actor_of, bob):
    _, renewed = due.renew(5)
    remove_instance(actor=actor_of(bob), instance=ProductInstance.objects.get(), now=due.now)
    assert renewed.ack("RENEWAL").code == "NOT_REGISTERED"
    due.last = renewed.last
    assert due.renew(6)[0].code == "NOT_REGISTERED"


def test_an_acknowledgement_names_what_issued_the_certificates(due):
    _, renewed = due.renew(5)
    assert renewed.ack("REGISTRATION").code == "UNSUPPORTED_REQUEST"
    assert renewed.ack("RENEWAL").code is None


def test_products_renew_year_after_year(due):
    product = due
    for number in (5, 6, 7, 8, 9, 10):
        _, renewed = product.renew(number)
        assert renewed.ack("RENEWAL").code is None
        assert renewed.authorize({}).code is None
        renewed.wait(days=180)
        product = renewed
    assert product.now - ProductInstance.objects.get().registered_at > timedelta(days=3 * 365)
    assert product.authorize({}).code is None


def test_a_product_that_registers_anew_with_the_key_of_its_renewal_may(registered, token):
    _, renewed = registered.renew(5)
    renewed.ack("RENEWAL")
    assert renewed.register(token).code is None
    assert ProductInstance.objects.latest("pk").software_tag == SOFTWARE_TAG
    assert renewed.ack().code is None
