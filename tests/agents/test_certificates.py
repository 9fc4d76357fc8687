"""Every way in which the certificates of a registration can lie; none may leave a trace in the product."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agents.common.product_names import encode_permanent_identifier
from agents.common.trust import verify_path
from agents.smart_agent.errors import VerificationFailed
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product
from tests.agents.certificates import ID_PURPOSE, NOW, Authority, dump, issue, key, make_authority
from tests.agents.conftest import PRODUCT, Device
from tests.agents.fake_server import FakeServer

UDI = "C9300-24UX:FCW2134L0RN"
Spoil = Callable[[FakeServer, dict[str, Any]], dict[str, Any]]


def id_cert(server: FakeServer, *, issuer: Authority | None = None, name: str = UDI, **changes: Any) -> dict[str, Any]:
    """An ID certificate for the product's first key, with changes."""
    owner = changes.pop("owner", key(7))
    shape = {"purposes": ID_PURPOSE, "identifier": UDI} | changes
    return {"id_cert": dump(issue(name, owner.public_key(), issuer or server.sub_ca, **shape))}


def signing_cert(server: FakeServer, *, issuer: Authority | None = None, **changes: Any) -> dict[str, Any]:
    owner = changes.pop("owner", server.signing_key)
    return {"signing_cert": dump(issue("Test Signing", owner.public_key(), issuer or server.sub_ca, **changes))}


def under(server: FakeServer, authority: Authority, chain: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    """Both certificates by another authority than the Sub CA."""
    return (
        {"sub_ca_cert": authority.pem, "chain": chain or []}
        | id_cert(server, issuer=authority, **changes)
        | signing_cert(server, issuer=authority)
    )


def by_sub_ca_with(**shape: Any) -> Spoil:
    """The Sub CA's certificate was issued by the root, in another shape."""

    def spoil(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
        return {"sub_ca_cert": make_authority("Test Sub CA", key(2), server.root, **shape).pem}

    return spoil


def by_foreign_sub_ca(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    """Same names, other keys: the whole hierarchy is somebody else's."""
    return under(server, make_authority("Test Sub CA", key(5), make_authority("Test Root", key(4)), path_length=0))


def by_onprem_below_sub_ca(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    """An authority below the Sub CA, which may have none (pathlen 0)."""
    below = make_authority("On-Prem", key(4), server.sub_ca, path_length=0)
    return under(server, below, [server.sub_ca.pem])


def by_signing_certificate(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    pretender = Authority(server.signing_key, issue("Test Signing", server.signing_key.public_key(), server.sub_ca))
    return {"signing_cert": pretender.pem} | id_cert(server, issuer=pretender)


def with_signing_certificate_as_sub_ca(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    pretender = Authority(server.signing_key, issue("Test Signing", server.signing_key.public_key(), server.sub_ca))
    return under(server, pretender, [server.sub_ca.pem])


def with_another_products_identity(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    """Mallory has a registered product: she signs with its key and passes its certificate off as the server's."""
    server.signing_key = key(6)
    return signing_cert(server, owner=key(6), purposes=ID_PURPOSE, identifier="MALLORY:1")


def directly_by_root(server: FakeServer, data: dict[str, Any]) -> dict[str, Any]:
    return under(server, server.root)


def spoil_id(**changes: Any) -> Spoil:
    return lambda server, data: id_cert(server, **changes)


def spoil_signing(**changes: Any) -> Spoil:
    return lambda server, data: signing_cert(server, **changes)


LONG_AGO = NOW - timedelta(days=4000)
ATTACKS: dict[str, tuple[Spoil, str]] = {
    "foreign hierarchy": (by_foreign_sub_ca, "states another key as its issuer's"),
    "sub ca signed by another key": (
        lambda server, data: {
            "sub_ca_cert": make_authority(
                "Test Sub CA", key(2), Authority(key(4), make_authority("Test Root", key(1)).certificate)
            ).pem
        },
        "states another key|not issued by its stated issuer",
    ),
    "sub ca expired": (by_sub_ca_with(path_length=0, start=LONG_AGO), "expired"),
    "sub ca not yet valid": (by_sub_ca_with(path_length=0, start=NOW + timedelta(days=1)), "not valid before"),
    "sub ca is no authority": (by_sub_ca_with(authority=False), "not the certificate of an authority"),
    "sub ca may not sign certificates": (by_sub_ca_with(may_sign_certificates=False), "may not sign certificates"),
    "sub ca with an unknown critical extension": (by_sub_ca_with(critical_unknown=True), "not understood"),
    "authority below an authority that may have none": (by_onprem_below_sub_ca, "fewer authorities below"),
    "issued by the root itself": (directly_by_root, "holds a certificate twice"),
    "issued by the signing certificate": (by_signing_certificate, "states another key as its issuer's"),
    "signing certificate as the sub ca": (with_signing_certificate_as_sub_ca, "not the certificate of an authority"),
    "another product's identity signs": (with_another_products_identity, "is an identity"),
    "id certificate for another udi": (spoil_id(identifier="C9300-24UX:OTHER"), "for another product"),
    "id certificate for a longer udi": (spoil_id(identifier=UDI + "X"), "for another product"),
    "id certificate without a udi": (spoil_id(identifier=None), "for another product"),
    "id certificate with another name": (spoil_id(name="C9300-24UX:OTHER"), "common name"),
    "id certificate for another key": (spoil_id(owner=key(6)), "for another key"),
    "id certificate expired": (spoil_id(start=NOW - timedelta(days=366)), "expired"),
    "id certificate not yet valid": (spoil_id(start=NOW + timedelta(minutes=1)), "not valid before"),
    "id certificate is an authority": (spoil_id(authority=True), "is the certificate of an authority"),
    "id certificate may sign certificates": (spoil_id(may_sign_certificates=True), "may sign certificates"),
    "id certificate may not sign messages": (spoil_id(may_sign_messages=False), "may not sign messages"),
    "id certificate for no client": (spoil_id(purposes=()), "not meant for a client"),
    "id certificate without its issuer's key": (spoil_id(state_issuer_key=False), "does not state its issuer's key"),
    "id certificate signed by another key": (spoil_id(signed_by=key(6)), "not issued by its stated issuer"),
    "signing certificate expired": (spoil_signing(start=NOW - timedelta(days=366)), "expired"),
    "signing certificate is an authority": (spoil_signing(authority=True), "is the certificate of an authority"),
    "signing certificate signed by another key": (spoil_signing(signed_by=key(6)), "not issued by its stated issuer"),
    "signing certificate holds the product's key": (spoil_signing(owner=key(7)), "the key of an authority or of this"),
    "signing certificate holds the sub ca's key": (spoil_signing(owner=key(2)), "the key of an authority or of this"),
    "certificates swapped": (
        lambda server, data: {"id_cert": data["signing_cert"], "signing_cert": data["id_cert"]},
        "for another key",
    ),
    "one certificate for both": (lambda server, data: {"signing_cert": data["id_cert"]}, "is an identity"),
    "same serial number": (
        lambda server, data: id_cert(server, serial=4711) | signing_cert(server, serial=4711),
        "same serial number",
    ),
    "no certificate": (lambda server, data: {"id_cert": "hello"}, "not a PEM certificate"),
    "two certificates in one": (
        lambda server, data: {"id_cert": data["id_cert"] + data["signing_cert"]},
        "2 certificates instead of one",
    ),
    "something else in the chain": (lambda server, data: {"chain": [server.sub_ca.pem]}, "holds a certificate twice"),
    "a chain without end": (lambda server, data: {"chain": [server.sub_ca.pem] * 20}, "longer than 8"),
    "a part missing": (lambda server, data: {"sub_ca_cert": None}, "incomplete"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_certificates_that_lie_are_refused(device: Device, server: FakeServer, attack: str) -> None:
    spoil, reason = ATTACKS[attack]
    server.alter_data = lambda request, data: data | spoil(server, data)

    with pytest.raises(VerificationFailed, match=reason):
        device.register()

    assert device.states == ("UNREGISTERED", "NONE")
    assert device.agent.status()["pending"] == ["REGISTRATION"]


def test_the_honest_answer_is_still_accepted_after_a_lie(device: Device, server: FakeServer) -> None:
    server.alter_envelope = lambda envelope: envelope.update(response="{}")
    with pytest.raises(VerificationFailed):
        device.register()
    server.alter_envelope = None
    (instance,) = server.instances.values()
    instance.last_body = b""
    instance.last_timestamp = 0

    assert device.register()["registration"] == "REGISTERED"
    assert len(set(server.received)) == 1


def test_four_tiers_are_followed_to_the_root(device: Device, server: FakeServer) -> None:
    onprem = make_authority("On-Prem Sub CA", key(4), server.root, path_length=1)
    local = make_authority("Local", key(5), onprem, path_length=0)
    server.alter_data = lambda request, data: data | under(server, local, [onprem.pem])

    assert device.register()["registration"] == "REGISTERED"


def test_a_product_known_by_its_uuid_accepts_it_as_its_name(device: Device, server: FakeServer) -> None:
    uuid = "e53fc968-0253-4d61-a355-ba908a6cc920"
    server.alter_data = lambda request, data: data | id_cert(server, identifier=uuid)
    with pytest.raises(VerificationFailed, match="for another product"):
        device.register()

    server.instances.clear()
    server.alter_data = lambda request, data: data | id_cert(server, identifier=uuid, owner=key(8))
    sudi = Sudi(udi_pid="C9300-24UX", udi_serial_number="FCW2134L0RN", uuid=uuid)
    product = Product(sudi=sudi, software_tag=PRODUCT.software_tag)
    assert device.register(product=product)["registration"] == "REGISTERED"


def test_what_is_stored_is_checked_at_every_start(registered: Device, server: FakeServer) -> None:
    store = registered.store
    state = store.read()
    (registered.folder / "state.json").write_text(
        (registered.folder / "state.json").read_text().replace("FCW2134L0RN", "FCW2134L0RX")
    )
    with pytest.raises(VerificationFailed, match="common name"):
        registered.agent.authorize({"a": 1})
    assert len(server.received) == 1
    assert state.identity is not None


@pytest.mark.parametrize(
    ("length", "head"), [(1, "30030c01"), (125, "307f0c7d"), (126, "3081800c7e"), (300, "308201300c82012c")]
)
def test_permanent_identifiers_of_any_length_are_der(length: int, head: str) -> None:
    assert encode_permanent_identifier("x" * length) == bytes.fromhex(head) + b"x" * length


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"start": LONG_AGO}, "root certificate expired"),
        ({"authority": False}, "not the certificate of an authority"),
        ({"issuer": Authority(key(4), make_authority("Other Root", key(4)).certificate)}, "states another key"),
    ],
)
def test_a_path_ends_at_a_root_that_is_one(shape: dict[str, Any], reason: str) -> None:
    root = make_authority("Test Root", key(1), **shape)
    certificate = issue("Test", key(7).public_key(), root)
    with pytest.raises(VerificationFailed, match=reason):
        verify_path(certificate, [], root.certificate, at=NOW, what="certificate")
