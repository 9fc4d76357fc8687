"""What becomes of a product's certificates, and of products whose key is in other hands."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cssm.common.actor import SYSTEM
from cssm.common.errors import Forbidden, Invalid
from licensing.models import InstanceKey, ProductInstance
from licensing.services.devices.blocking import block_product_key
from licensing.services.devices.endings import remove_instance
from licensing.states import InstanceState
from pki.models import Revocation
from pki.services import issuing
from pki.states import RevocationReason
from tests.licensing.device_driver import Device, make_csr
from tests.portal.markup import check_page


def reasons():
    return sorted(Revocation.objects.values_list("reason", flat=True))


def pem_of(device):
    return device.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_removal_revokes_every_certificate_of_the_instance(registered, actor_of, bob):
    registered.renew(5)
    remove_instance(actor=actor_of(bob), instance=ProductInstance.objects.get(), now=registered.now)
    assert reasons() == [RevocationReason.CESSATION] * 4
    serials = set(Revocation.objects.values_list("serial", flat=True))
    assert set(InstanceKey.objects.values_list("id_cert_serial", flat=True)) <= serials


def test_deregistration_revokes_them_too(registered):
    assert registered.deregister().code is None
    assert reasons() == [RevocationReason.CESSATION] * 2


def test_registering_again_supersedes_them(registered, token):
    again = Device(registered.now, 6, sudi=registered.sudi)
    assert again.register(token).code is None
    assert reasons() == [RevocationReason.SUPERSEDED] * 2


@pytest.mark.parametrize("give", [pem_of, lambda device: make_csr(device.key, device.udi), "certificate"])
def test_a_product_whose_key_is_blocked_is_removed_and_the_key_not_certified_again(registered, token, give):
    text = registered.id_cert.public_bytes(Encoding.PEM).decode() if give == "certificate" else give(registered)
    [removed] = block_product_key(actor=SYSTEM, text=text, reason="leaked", now=registered.now)
    assert removed.udi == registered.udi
    assert ProductInstance.objects.get().state == InstanceState.REMOVED
    assert reasons() == [RevocationReason.KEY_COMPROMISE] * 2
    assert registered.authorize({}).code == "NOT_REGISTERED"
    registered.wait(seconds=1)
    refused = registered.register(token)
    assert refused.code == "CSR_INVALID"
    assert "compromised" in refused.content["status_message"]
    assert Device(registered.now, 6, sudi=registered.sudi).register(token).code is None


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "x" * 20000]
)
def test_what_holds_no_key_is_refused(registered, text):
    with pytest.raises(Invalid):
        block_product_key(actor=SYSTEM, text=text, reason="leaked", now=registered.now)


def test_only_the_operator_blocks_keys(registered, actor_of, alice):
    with pytest.raises(Forbidden):
        block_product_key(actor=actor_of(alice), text=pem_of(registered), reason="x", now=registered.now)
    assert registered.authorize({}).code is None


def test_while_issuing_is_stopped_products_are_asked_to_try_again_and_nothing_else_stops(registered, token):
    issuing.stop_issuing(actor=SYSTEM, reason="drill", now=registered.now)
    newcomer = Device(registered.now, 6)
    for reply in (newcomer.register(token), registered.renew(5)[0]):
        content = reply.content
        assert (content["status_code"], content["error_code"]) == ("OK_TRY_AGAIN", "INTERNAL")
        assert content["retry_time_seconds"] == 3600
    assert registered.authorize({}).code is None
    issuing.resume_issuing(actor=SYSTEM, reason="over", now=registered.now)
    newcomer.wait(seconds=1)
    assert newcomer.register(token).code is None
    assert registered.renew(5)[0].code is None


def test_the_operator_stops_and_resumes_and_blocks_in_the_portal(olivia_client, registered):
    assert olivia_client.post("/operator/keys/stop/", {"reason": "drill"}).status_code == 302
    assert "Issuing is stopped" in check_page(olivia_client.get("/operator/keys/")).text_content()
    assert olivia_client.post("/operator/keys/resume/", {"reason": "over"}).status_code == 302
    assert "Issuing is stopped" not in check_page(olivia_client.get("/operator/keys/")).text_content()
    blocked = {"key": pem_of(registered), "reason": "leaked"}
    assert olivia_client.post("/operator/keys/block/", blocked).status_code == 302
    assert "leaked" in check_page(olivia_client.get("/operator/keys/")).text_content()
    assert ProductInstance.objects.get().state == InstanceState.REMOVED
    assert olivia_client.post("/operator/keys/block/", {"key": "x", "reason": "y"}).status_code == 422
