"""A product registers: what it gets, what is kept, and what a second registration means."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier

from accounts.models import Event, VirtualAccount
from licensing.models import (
    HaGroup,
    IdToken,
    InstanceContact,
    InstanceKey,
    ProductInstance,
    RegistrationReceipt,
    UdiClaim,
    Usage,
)
from licensing.services.devices.tokens import create_token, find_token, revoke_token
from licensing.states import InstanceState
from pki.models import Certificate, SigningRequest
from tests.licensing.device_driver import Device, make_csr

PERMANENT_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.8.3")


def identifier_of(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    (other,) = names.get_values_for_type(x509.OtherName)
    assert other.type_id == PERMANENT_IDENTIFIER
    text = other.value.partition(b"\x0c")[2]
    return text[1 if text[0] < 0x80 else 1 + (text[0] & 0x7F) :].decode()


def test_a_product_becomes_an_instance_of_the_account_its_token_is_of(device, token, engineering):
    reply = device.register(token, hostname="edge-1", ip_address="10.0.0.1", mac_address="00:11:22:33:44:55")
    assert reply.code is None
    instance = ProductInstance.objects.get()
    assert str(instance.piid) == reply.header["product_instance_identifier"]
    assert (instance.virtual_account, instance.smart_account) == (engineering, engineering.smart_account)
    assert (instance.state, instance.udi) == (InstanceState.REGISTERING, "C9300-24UX:FCW2134L000")
    assert (instance.hostname, instance.origin.name) == ("edge-1", "direct")
    assert HaGroup.objects.get() == instance.ha_group
    assert reply.data["renew_after_seconds"] == 15552000
    assert (reply.data["smart_account"], reply.data["virtual_account"], reply.data["chain"]) == (
        "Acme",
        "Engineering",
        [],
    )
    assert reply.header["sudi"] == device.sudi
    assert reply.header["nonce"] == f"nonce-0-{device.last}"


def test_the_answer_is_signed_with_the_new_signing_key_and_certifies_the_products_key(device, token):
    reply = device.register(token)
    assert reply.is_by(device.signing_cert)
    assert device.id_cert.public_key() == device.key.public_key()
    sub_ca = x509.load_pem_x509_certificate(reply.data["sub_ca_cert"].encode())
    device.id_cert.verify_directly_issued_by(sub_ca)
    device.signing_cert.verify_directly_issued_by(sub_ca)


def test_every_certificate_handed_out_is_on_record(device, token):
    device.register(token)
    assert Certificate.objects.filter(serial=device.id_cert_serial).exists()
    assert InstanceKey.objects.get().id_cert_serial == device.id_cert_serial
    assert not SigningRequest.objects.filter(state="pending").exists()


def test_a_udi_of_70_characters_works_whole(token, now):
    sudi = {"udi_pid": "P" * 50, "udi_serial_number": "S" * 19}
    device = Device(now, sudi=sudi)
    assert device.register(token).code is None
    (name,) = device.id_cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == ("P" * 50 + ":" + "S" * 19)[:64]
    assert identifier_of(device.id_cert) == "P" * 50 + ":" + "S" * 19
    assert device.ack().code is None


def test_the_longest_udi_works_too(token, now):
    device = Device(now, sudi={"udi_pid": "P" * 128, "udi_serial_number": "S" * 128})
    assert device.register(token).code is None
    assert identifier_of(device.id_cert) == device.udi


def test_software_registers_by_its_uuid(token, now):
    device = Device(now, sudi={"uuid": "9b2f6c3a-7a42-4d4b-a4b7-0d7b9f3c2f11", "udi_pid": "CSR1000V"})
    assert device.register(token).code is None
    assert identifier_of(device.id_cert) == "9b2f6c3a-7a42-4d4b-a4b7-0d7b9f3c2f11"
    assert ProductInstance.objects.get().udi == "9b2f6c3a-7a42-4d4b-a4b7-0d7b9f3c2f11"
    assert device.ack().code is None


def test_a_percent_encoded_token_and_one_with_line_breaks_are_accepted(token, now):
    assert Device(now, 0).register(token.replace("=", "%3D")).code is None
    assert Device(now, 1).register(token[:64] + "\r\n" + token[64:]).code is None


def test_the_same_bytes_get_the_same_bytes_and_no_second_effect(device, token, count_rows):
    body = device.request("REGISTRATION", device.registration(token))
    first = device.send(body)
    before = count_rows()
    device.wait(hours=30)
    assert device.send(body).body == first.body
    assert count_rows() == before


def test_the_stored_answer_is_not_readable_in_the_database(device, token):
    device.register(token)
    assert b"BEGIN CERTIFICATE" not in bytes(RegistrationReceipt.objects.get().response)


def test_another_message_with_an_older_or_equal_timestamp_is_replayed(device, token, count_rows):
    device.register(token)
    before = count_rows()
    reply = device.ask("REGISTRATION", device.registration(token), timestamp=device.last)
    assert (reply.code, reply.is_by(device.signing_cert)) == ("REPLAYED", True)
    assert reply.data == {"server_time": int(device.now.timestamp() * 1000), "last_timestamp": device.last - 1}
    assert count_rows() == before


def test_registering_again_replaces_the_earlier_instance_and_frees_its_use(registered, token, make_license):
    license = make_license("advantage")
    registered.authorize({"advantage": 3})
    earlier = registered.piid
    registered.wait(days=1)
    assert registered.register(token).code is None
    assert registered.piid != earlier
    old = ProductInstance.objects.get(piid=earlier)
    assert (old.state, old.ended_at) == (InstanceState.REMOVED, registered.now)
    assert not Usage.objects.exists()
    assert pool_use(license) == 0
    assert UdiClaim.objects.get().instance.piid.hex == registered.piid.replace("-", "")
    assert Event.objects.filter(name="instance.replaced", subject_id=earlier).count() == 1


def test_a_product_that_moves_to_another_account_of_the_company_is_told_of_in_both(
    registered, engineering, acme, alice, actor_of, now
):
    other = VirtualAccount.objects.create(smart_account=acme, name="Lab", created_at=now)
    _, value = create_token(actor=actor_of(alice), virtual_account=other, now=now)
    registered.wait(hours=1)
    assert registered.register(value).code is None
    assert Event.objects.filter(virtual_account=engineering, name="instance.replaced").exists()
    assert Event.objects.filter(virtual_account=other, name="instance.registered").exists()


def test_an_identity_that_was_replaced_is_told_to_register_again(registered, token):
    earlier = Device(registered.now, piid=registered.piid, id_cert_serial=registered.id_cert_serial)
    fresh = Device(registered.now, 1, sudi=registered.sudi)
    assert fresh.register(token).code is None
    reply = earlier.authorize({})
    assert (reply.code, reply.is_signed) == ("NOT_REGISTERED", False)
    assert reply.content["status_message"] == (
        f"The identity for the instance {earlier.piid} is not valid. Please re-register the instance."
    )


@pytest.fixture
def one_use(authorities, actor_of, alice, engineering, now):
    _, value = create_token(actor=actor_of(alice), virtual_account=engineering, max_uses=1, now=now)
    return value


def test_a_product_that_lost_the_answer_takes_no_second_use(one_use, now):
    lost = Device(now)
    assert lost.register(one_use).code is None
    again = Device(now + timedelta(hours=23), 1, sudi=lost.sudi)
    assert again.register(one_use).code is None
    assert IdToken.objects.get().uses == 1
    assert ProductInstance.objects.active().count() == 1


@pytest.mark.parametrize("reason", ["acknowledged", "a day later", "another product"])
def test_otherwise_a_registration_takes_a_use(one_use, now, reason):
    device = Device(now)
    device.register(one_use)
    if reason == "acknowledged":
        device.ack()
    later = now + timedelta(hours=24 if reason == "a day later" else 1)
    again = Device(later, 1, sudi={} if reason == "another product" else device.sudi)
    assert again.register(one_use).code == "TOKEN_EXHAUSTED"
    assert ProductInstance.objects.count() == 1


def test_unlimited_tokens_write_nothing(device, token):
    device.register(token)
    assert IdToken.objects.get().uses == 0


def test_revoking_a_token_does_not_touch_what_is_registered(registered, token, actor_of, alice):
    revoke_token(actor=actor_of(alice), token=find_token(token), now=registered.now)
    assert registered.authorize({}).code is None


def test_a_key_can_be_taken_along_by_the_same_product_only(registered, token):
    registered.wait(days=1)
    assert registered.register(token).code is None
    thief = Device(registered.now + timedelta(minutes=1), 5, key=registered.key)
    reply = thief.register(token)
    assert (reply.code, "new key pair" in reply.content["status_message"]) == ("CSR_INVALID", True)


def test_a_token_of_another_company_registers_into_that_company_only(foreign_token, device, umbrella):
    assert device.register(foreign_token).code is None
    assert ProductInstance.objects.get().smart_account == umbrella


def test_a_udi_of_another_company_is_refused_while_it_is_alive(registered, foreign_token, count_rows):
    before = count_rows()
    thief = Device(registered.now + timedelta(days=89), 1, sudi=registered.sudi)
    reply = thief.register(foreign_token)
    assert reply.code == "UDI_REGISTERED_ELSEWHERE"
    assert "Acme" not in reply.text
    assert count_rows() == before


def test_a_udi_is_free_after_90_days_of_silence_and_counts_once(registered, foreign_token, make_license, umbrella):
    license = make_license("advantage")
    registered.authorize({"advantage": 3})
    heir = Device(registered.now + timedelta(days=90, seconds=1), 1, sudi=registered.sudi)
    assert heir.register(foreign_token).code is None
    silent = ProductInstance.objects.get(piid=registered.piid)
    assert (silent.state, silent.is_counted) == (InstanceState.REGISTERED, False)
    assert pool_use(license) == 0
    assert UdiClaim.objects.get().smart_account == umbrella
    event = Event.objects.get(name="instance.claim_lost")
    assert event.smart_account == silent.smart_account
    assert "umbrella" not in str(event.data).lower()
    registered.wait(days=91)
    assert registered.authorize({"advantage": 5}).code is None
    assert pool_use(license) == 0


def test_a_deregistered_product_may_go_to_another_company_at_once(registered, foreign_token):
    registered.deregister()
    assert Device(registered.now, 1, sudi=registered.sudi).register(foreign_token).code is None


def test_host_name_and_addresses_are_personal_values_in_the_log(device, token):
    device.register(token, hostname="edge-1", ip_address="10.0.0.1")
    event = Event.objects.get(name="instance.registered")
    assert event.personal_values == {"hostname": "edge-1", "ip_address": "10.0.0.1"}
    assert "edge-1" not in str(event.data)


def test_the_first_message_remembers_the_registrations_timestamp(device, token):
    device.register(token)
    assert InstanceContact.objects.get().last_timestamp == device.last


def test_a_csr_may_name_the_uuid_of_a_product_that_has_both(token, now):
    device = Device(now, sudi={"udi_pid": "X", "udi_serial_number": "Y", "uuid": "u-1"})
    assert device.register(token, csr=make_csr(device.key, "u-1")).code is None
    assert identifier_of(device.id_cert) == "u-1"
    assert ProductInstance.objects.get().udi == "X:Y"


def pool_use(license):
    return sum(pool.in_use for pool in license.pools.all()) + sum(
        delta.in_use for pool in license.pools.all() for delta in pool.deltas.all()
    )
