"""Certificates in three steps, so that what is checked is what is signed, and no private key is needed here:

`build_tbs` makes the part to be signed, `profile_check.check_tbs` looks at it, whoever holds the issuer's key signs
those very bytes, `assemble` puts the two together.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID

from pki.crypto.keys import PUBLIC_EXPONENT, load_public_key
from pki.crypto.messages import verify_signature
from pki.crypto.names import (
    PERMANENT_IDENTIFIER,
    encode_host_names,
    encode_length,
    encode_permanent_identifier,
    make_subject,
)
from pki.crypto.profiles import BACKDATING, PROFILES, Profile
from pki.states import ProfileName

_SHA256_WITH_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
_SERIAL_BITS: Final = 159


@dataclass(frozen=True, slots=True)
class Plan:
    """A certificate to be. `issuer_der` is the issuer's certificate, None for the root, which signs itself.

    `crl_url` and `issuer_url` name the issuer's revocation list and certificate (CDP and AIA), empty for the root.
    """

    profile: ProfileName
    serial: int
    common_name: str
    spki_der: bytes
    issuer_der: bytes | None
    now: datetime
    crl_url: str = ""
    issuer_url: str = ""
    serial_number: str | None = None
    permanent_identifier: str | None = None
    host_names: tuple[str, ...] = ()

    @property
    def shape(self) -> Profile:
        return PROFILES[self.profile]

    @property
    def not_before(self) -> datetime:
        return self.now.replace(microsecond=0) - BACKDATING

    @property
    def not_after(self) -> datetime:
        return self.not_before + self.shape.lifetime

    @property
    def subject(self) -> x509.Name:
        return make_subject(self.common_name, self.serial_number if self.shape.names_product else None)


def make_serial() -> int:
    """A positive serial number with 158 random bits (RFC 5280 4.1.2.2: at most 20 octets)."""
    return secrets.randbits(_SERIAL_BITS - 1) | 1 << (_SERIAL_BITS - 1)


def format_serial(serial: int) -> str:
    """Lower-case hex without leading zeros: the form in which serial numbers are kept and compared."""
    return f"{serial:x}"


def read_serial(der: bytes) -> str:
    """The serial number of any certificate, as `format_serial` writes it; empty for what is none."""
    try:
        return format_serial(x509.load_der_x509_certificate(der).serial_number)
    except (ValueError, x509.InvalidVersion):
        return ""


def build_tbs(plan: Plan) -> bytes:
    """The TBSCertificate in DER, sha256WithRSAEncryption named in it (all our issuers are RSA keys)."""
    shape = plan.shape
    issuer = None if plan.issuer_der is None else load_certificate(plan.issuer_der)
    public_key = load_public_key(plan.spki_der)
    builder = (
        x509.CertificateBuilder()
        .serial_number(plan.serial)
        .subject_name(plan.subject)
        .issuer_name(plan.subject if issuer is None else issuer.subject)
        .not_valid_before(plan.not_before)
        .not_valid_after(plan.not_after)
        .public_key(public_key)
        .add_extension(x509.BasicConstraints(shape.is_authority, shape.path_length), critical=True)
        .add_extension(_make_key_usage(shape), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_make_authority_key_identifier(plan, issuer), critical=False)
    )
    if shape.extended_key_usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(shape.extended_key_usages), critical=False)
    if shape.names_product and plan.permanent_identifier is not None:
        encoded = encode_permanent_identifier(plan.permanent_identifier)
        name = x509.SubjectAlternativeName([x509.OtherName(PERMANENT_IDENTIFIER, encoded)])
        builder = builder.add_extension(name, critical=False)
    if shape.names_hosts:
        builder = builder.add_extension(encode_host_names(plan.host_names), critical=False)
    if not shape.is_self_signed:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(plan.crl_url)], None, None, None)
        place = x509.UniformResourceIdentifier(plan.issuer_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return builder.sign(throwaway_key(), hashes.SHA256()).tbs_certificate_bytes


def assemble(tbs: bytes, signature: bytes) -> bytes:
    """The certificate in DER: SEQUENCE { tbsCertificate, sha256WithRSAEncryption, BIT STRING } (RFC 5280 4.1)."""
    bits = b"\x03" + encode_length(len(signature) + 1) + b"\x00" + signature
    content = tbs + _SHA256_WITH_RSA + bits
    return b"\x30" + encode_length(len(content)) + content


@lru_cache(maxsize=32)
def load_certificate(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def encode_pem(der: bytes) -> str:
    return load_certificate(der).public_bytes(serialization.Encoding.PEM).decode()


def read_public_key(certificate: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo (DER) in a certificate."""
    key = certificate.public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def is_signed_by(der: bytes, issuer_spki_der: bytes) -> bool:
    certificate = x509.load_der_x509_certificate(der)
    return verify_signature(issuer_spki_der, certificate.signature, certificate.tbs_certificate_bytes)


def _make_key_usage(shape: Profile) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not shape.is_authority,
        key_cert_sign=shape.is_authority,
        crl_sign=shape.is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority_key_identifier(plan: Plan, issuer: x509.Certificate | None) -> x509.AuthorityKeyIdentifier:
    if issuer is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(load_public_key(plan.spki_der))
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


@lru_cache(maxsize=1)
def throwaway_key() -> rsa.RSAPrivateKey:
    """The library's builder only gives the part to be signed by signing it; this signature is never looked at, and a
    small key makes it five times as fast."""
    return rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=1024)  # noqa: S505  protects nothing
