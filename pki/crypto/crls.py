"""Revocation lists (RFC 5280 section 5), made as certificates are: what is checked is what is signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pki.crypto.certificates import assemble, load_certificate, throwaway_key
from pki.crypto.messages import verify_signature
from pki.errors import ProfileViolation
from pki.states import RevocationReason


@dataclass(frozen=True, slots=True)
class Revoked:
    """`serial` is hex."""

    serial: str
    revoked_at: datetime
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class CrlPlan:
    """A list to be: of the authority with this certificate (DER)."""

    issuer_der: bytes
    number: int
    this_update: datetime
    next_update: datetime
    entries: Sequence[Revoked]


def build_crl_tbs(plan: CrlPlan) -> bytes:
    """The TBSCertList in DER: version 2, authority key identifier, number, reasons."""
    issuer = load_certificate(plan.issuer_der)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(plan.this_update)
        .next_update(plan.next_update)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.CRLNumber(plan.number), critical=False)
    )
    for entry in plan.entries:
        reason = x509.CRLReason(x509.ReasonFlags(entry.reason.value))
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(int(entry.serial, 16))
            .revocation_date(entry.revoked_at)
            .add_extension(reason, critical=False)
            .build()
        )
    return builder.sign(throwaway_key(), hashes.SHA256()).tbs_certlist_bytes


def assemble_crl(tbs: bytes, signature: bytes, *, issuer_spki_der: bytes) -> bytes:
    """The list in DER. Raises ProfileViolation where the signature is not by that key."""
    if not verify_signature(issuer_spki_der, signature, tbs):
        raise ProfileViolation("The signature of a revocation list just made does not verify.", where="signature")
    return assemble(tbs, signature)
