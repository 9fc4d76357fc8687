"""Certificates for the tests, right by default; every part can be made wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY_FOLDER = Path(__file__).parent.parent / "keys"
PERMANENT_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.8.3")
ID_PURPOSE = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@cache
def key(number: int) -> rsa.RSAPrivateKey:
    """Checked-in key 1 to 12."""
    loaded = load_pem_private_key((KEY_FOLDER / f"rsa2048-{number:02}.pem").read_bytes(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded


@dataclass(frozen=True)
class Authority:
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return dump(self.certificate)


def dump(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def issue(
    name: str,
    public_key: rsa.RSAPublicKey,
    issuer: Authority,
    *,
    signed_by: rsa.RSAPrivateKey | None = None,
    purposes: tuple[ObjectIdentifier, ...] = (),
    identifier: str | None = None,
    **shape: Any,
) -> x509.Certificate:
    """A certificate by `issuer`; `signed_by` puts another key's signature under it. Further `shape` as in `build`."""
    builder = build(name, public_key, issuer.certificate.subject, issuer.key.public_key(), **shape)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if identifier is not None:
        text = identifier.encode()
        assert len(text) < 124
        der = bytes([0x30, len(text) + 2, 0x0C, len(text)]) + text
        names = x509.SubjectAlternativeName([x509.OtherName(PERMANENT_IDENTIFIER, der)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signed_by or issuer.key, hashes.SHA256())


def make_authority(
    name: str, own: rsa.RSAPrivateKey, issuer: Authority | None = None, *, path_length: int | None = None, **shape: Any
) -> Authority:
    """An authority by `issuer`, or a root."""
    parent_name = issuer.certificate.subject if issuer else subject(name)
    parent_key = issuer.key if issuer else own
    shape = {"authority": True, "path_length": path_length, "days": 3650} | shape
    builder = build(name, own.public_key(), parent_name, parent_key.public_key(), **shape)
    return Authority(own, builder.sign(parent_key, hashes.SHA256()))


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def build(
    name: str,
    public_key: rsa.RSAPublicKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPublicKey,
    *,
    authority: bool = False,
    path_length: int | None = None,
    may_sign_certificates: bool | None = None,
    may_sign_messages: bool | None = None,
    start: datetime = NOW - timedelta(minutes=5),
    days: int = 365,
    serial: int | None = None,
    state_issuer_key: bool = True,
    critical_unknown: bool = False,
) -> x509.CertificateBuilder:
    sign_certificates = authority if may_sign_certificates is None else may_sign_certificates
    sign_messages = not authority if may_sign_messages is None else may_sign_messages
    usage = x509.KeyUsage(sign_messages, False, False, False, False, sign_certificates, sign_certificates, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if state_issuer_key:
        stated = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
        builder = builder.add_extension(stated, critical=False)
    if critical_unknown:
        unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    return builder
