"""Certificate paths up to a root that the product holds (RFC 5280 section 6, stricter where products can be).

A path is: the certificate, its issuer, that one's issuer, …, the root. Nothing is searched for: each certificate must
be issued by the one that is stated to be its issuer, so that another authority below the same root proves nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agents.common.errors import VerificationFailed

MAX_PATH: Final = 8
MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 8192
MAX_SERIAL_BITS: Final = 159
"""20 octets and positive, RFC 5280 section 4.1.2.2."""

_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD: Final = frozenset(
    kind.oid for kind in (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
)

Value = TypeVar("Value", bound=x509.ExtensionType)


def load_certificate(pem: str, what: str) -> x509.Certificate:
    """Exactly one PEM certificate; `what` names it in the VerificationFailed."""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise VerificationFailed(f"The {what} is not a PEM certificate.") from None
    if len(certificates) != 1:
        raise VerificationFailed(f"The {what} holds {len(certificates)} certificates instead of one.")
    return certificates[0]


def find_extension(certificate: x509.Certificate, kind: type[Value]) -> Value | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def read_rsa_key(certificate: x509.Certificate, what: str) -> rsa.RSAPublicKey:
    """Raises VerificationFailed for anything but an RSA key of 2048 to 8192 bits."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise VerificationFailed(f"The key of the {what} cannot be read.") from None
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise VerificationFailed(f"The key of the {what} is not RSA of {MIN_KEY_BITS} bits or more.")
    return key


def verify_path(
    certificate: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    at: datetime,
    what: str,
) -> None:
    """Check `certificate` through `issuers` (its own first) to the trusted `root`, all of them valid `at` that time.

    `what` names the certificate in messages. Raises VerificationFailed with the first thing that is wrong.
    """
    path = [certificate, *issuers, root]
    names = [what, *(f"authority {place} above the {what}" for place in range(1, len(path) - 1)), "root certificate"]
    if len(path) > MAX_PATH:
        raise VerificationFailed(f"The path from the {what} to the root is longer than {MAX_PATH} certificates.")
    if len({one.fingerprint(hashes.SHA256()) for one in path}) != len(path):
        raise VerificationFailed(f"The path from the {what} to the root holds a certificate twice.")
    verify_root(root, at=at)
    for one, name in zip(path[:-1], names[:-1], strict=True):
        _check_form(one, name)
        _check_validity(one, name, at)
    for below, (authority, name) in enumerate(zip(path[1:], names[1:], strict=True)):
        check_authority(authority, name, authorities_below=below)
    for (child, child_name), (issuer, _) in pairwise(zip(path, names, strict=True)):
        _check_issued(child, child_name, issuer)


def verify_signer(certificate: x509.Certificate, root: x509.Certificate, *, at: datetime) -> ec.EllipticCurvePublicKey:
    """The key that signs reservations: P-256, for signatures only, its certificate directly by the trusted `root`.

    Nothing else that the root issues looks like that. Raises VerificationFailed.
    """
    name = "reservation signing certificate"
    verify_root(root, at=at)
    _check_outline(certificate, name)
    _check_validity(certificate, name, at)
    _check_issued(certificate, name, root)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise VerificationFailed(f"The key of the {name} is not P-256.")
    constraints = find_extension(certificate, x509.BasicConstraints)
    usage = find_extension(certificate, x509.KeyUsage)
    if (constraints is not None and constraints.ca) or usage is None or usage.key_cert_sign:
        raise VerificationFailed(f"The {name} is that of an authority.")
    if not usage.digital_signature or find_extension(certificate, x509.ExtendedKeyUsage) is not None:
        raise VerificationFailed(f"The {name} is meant for something else.")
    return key


def verify_root(root: x509.Certificate, *, at: datetime) -> None:
    """That this can be trusted as a root at all: an authority by itself, in its lifetime. Raises VerificationFailed."""
    name = "root certificate"
    _check_form(root, name)
    _check_validity(root, name, at)
    check_authority(root, name, authorities_below=0)
    _check_issued(root, name, root)


def _check_form(certificate: x509.Certificate, name: str) -> None:
    _check_outline(certificate, name)
    read_rsa_key(certificate, name)


def _check_outline(certificate: x509.Certificate, name: str) -> None:
    if certificate.version is not x509.Version.v3:
        raise VerificationFailed(f"The {name} is not an X.509 version 3 certificate.")
    if not 0 < certificate.serial_number < 1 << MAX_SERIAL_BITS:
        raise VerificationFailed(f"The serial number of the {name} is not allowed.")
    try:
        digest = certificate.signature_hash_algorithm
        extensions = list(certificate.extensions)
        _ = certificate.subject
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm):
        raise VerificationFailed(f"The names, extensions or algorithm of the {name} cannot be read.") from None
    if not isinstance(digest, _HASHES):
        raise VerificationFailed(f"The {name} is signed with a weak or unknown hash.")
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise VerificationFailed(
                f"The {name} has a critical extension not understood here: {extension.oid.dotted_string}."
            )


def _check_validity(certificate: x509.Certificate, name: str, at: datetime) -> None:
    if at < certificate.not_valid_before_utc:
        raise VerificationFailed(
            f"The {name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC;"
            f" this product's clock says {at:%Y-%m-%d %H:%M}."
        )
    if at > certificate.not_valid_after_utc:
        raise VerificationFailed(f"The {name} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")


def check_authority(certificate: x509.Certificate, name: str, *, authorities_below: int) -> None:
    """That this may issue certificates, with so many authorities between it and the last one. VerificationFailed."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise VerificationFailed(f"The {name} is not the certificate of an authority.")
    if constraints.path_length is not None and constraints.path_length < authorities_below:
        raise VerificationFailed(f"The {name} allows fewer authorities below it than there are.")
    usage = find_extension(certificate, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise VerificationFailed(f"The key of the {name} may not sign certificates.")


def _check_issued(child: x509.Certificate, name: str, issuer: x509.Certificate) -> None:
    """By name, by key identifier and by signature. A root may leave out its authority key identifier."""
    stated = find_extension(child, x509.AuthorityKeyIdentifier)
    own = find_extension(issuer, x509.SubjectKeyIdentifier)
    if own is None:
        raise VerificationFailed(f"The issuer of the {name} has no subject key identifier.")
    if stated is None and child is not issuer:
        raise VerificationFailed(f"The {name} does not state its issuer's key.")
    if stated is not None and stated.key_identifier != own.digest:
        raise VerificationFailed(f"The {name} states another key as its issuer's.")
    try:
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise VerificationFailed(f"The {name} was not issued by its stated issuer.") from None
