"""What a registration hands out, checked as a whole (WP "Registration response validation").

root (held) → … → Sub CA → ID certificate (our key, our UDI) | signing certificate (the server's key for answers to us)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.common.keys import fingerprint
from agents.common.product_names import PERMANENT_IDENTIFIER, encode_permanent_identifier
from agents.common.trust import find_extension, load_certificate, read_rsa_key, verify_path
from agents.smart_agent.errors import VerificationFailed
from agents.smart_agent.identity import common_name, permanent_identifiers
from agents.smart_agent.messages import Sudi


@dataclass(frozen=True, slots=True)
class Verified:
    """Certificates that have passed every check. `id_cert_serial` is lower-case hex."""

    signing_key: rsa.RSAPublicKey
    id_cert_serial: str
    expires_at: datetime


def verify_certificates(
    *,
    id_cert: str,
    signing_cert: str,
    sub_ca_cert: str,
    chain: Sequence[str],
    root: x509.Certificate,
    public_key: rsa.RSAPublicKey,
    sudi: Sudi,
    at: datetime,
    three_tier: bool = False,
) -> Verified:
    """Check PEM certificates: `chain` is what stands between the Sub CA and the root, the Sub CA's issuer first.

    `public_key` is our own, `at` the time they must all be valid. Raises VerificationFailed.
    """
    if three_tier and chain:
        raise VerificationFailed("The path to the root has more than the 3 tiers that this product checks.")
    ours = load_certificate(id_cert, "ID certificate")
    signing = load_certificate(signing_cert, "signing certificate")
    issuers = [load_certificate(sub_ca_cert, "Sub CA"), *(load_certificate(pem, "chain") for pem in chain)]
    verify_path(ours, issuers, root, at=at, what="ID certificate")
    verify_path(signing, issuers, root, at=at, what="signing certificate")
    _check_end_entity(ours, "ID certificate")
    _check_end_entity(signing, "signing certificate")
    _check_id_certificate(ours, public_key, sudi)
    _check_signing_certificate(signing)
    signing_key = read_rsa_key(signing, "signing certificate")
    keys = {fingerprint(read_rsa_key(one, "chain")) for one in (*issuers, root)} | {fingerprint(public_key)}
    if fingerprint(signing_key) in keys:
        raise VerificationFailed("The signing certificate holds the key of an authority or of this product.")
    if ours.serial_number == signing.serial_number:
        raise VerificationFailed("The ID and the signing certificate have the same serial number.")
    return Verified(
        signing_key=signing_key,
        id_cert_serial=f"{ours.serial_number:x}",
        expires_at=ours.not_valid_after_utc,
    )


def _check_end_entity(certificate: x509.Certificate, name: str) -> None:
    constraints = find_extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise VerificationFailed(f"The {name} is the certificate of an authority.")
    usage = find_extension(certificate, x509.KeyUsage)
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        raise VerificationFailed(f"The key of the {name} may sign certificates or revocation lists.")
    if usage is not None and not usage.digital_signature:
        raise VerificationFailed(f"The key of the {name} may not sign messages.")


def _check_id_certificate(certificate: x509.Certificate, public_key: rsa.RSAPublicKey, sudi: Sudi) -> None:
    if fingerprint(read_rsa_key(certificate, "ID certificate")) != fingerprint(public_key):
        raise VerificationFailed("The ID certificate is for another key than this product's.")
    purposes = find_extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise VerificationFailed("The ID certificate is not meant for a client.")
    names = [one.value for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [common_name(sudi)]:
        raise VerificationFailed("The ID certificate's common name is not the one asked for.")
    identifiers = _read_permanent_identifiers(certificate)
    expected = [encode_permanent_identifier(value) for value in permanent_identifiers(sudi)]
    if len(identifiers) != 1 or identifiers[0] not in expected:
        raise VerificationFailed("The ID certificate is for another product: its permanent identifier is not our UDI.")


def _check_signing_certificate(certificate: x509.Certificate) -> None:
    """Every registered product holds a certificate by the same authority: with it, it must not pass for the server."""
    if find_extension(certificate, x509.ExtendedKeyUsage) is not None or _read_permanent_identifiers(certificate):
        raise VerificationFailed("The signing certificate is an identity, not one for the server's messages.")


def _read_permanent_identifiers(certificate: x509.Certificate) -> list[bytes]:
    names = find_extension(certificate, x509.SubjectAlternativeName) or ()
    return [one.value for one in names if isinstance(one, x509.OtherName) and one.type_id == PERMANENT_IDENTIFIER]
