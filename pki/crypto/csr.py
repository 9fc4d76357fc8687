"""Certificate signing requests (PKCS #10, RFC 2986), read strictly: they come from anyone who has a token."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from pki.crypto.keys import encode_public_key
from pki.crypto.weak_keys import find_weakness
from pki.errors import CsrInvalid

MAX_PEM_LENGTH: Final = 16 * 1024
MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 8192
MAX_COMMON_NAME: Final = 64
"""ub-common-name, RFC 5280 appendix A.1."""

_PEM: Final = re.compile(
    r"\s*-----BEGIN CERTIFICATE REQUEST-----[ \t]*\r?\n"
    r"([A-Za-z0-9+/=\r\n \t]+)"
    r"\r?\n?-----END CERTIFICATE REQUEST-----\s*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ParsedCsr:
    """What we take from a request; everything else in it is ignored or refused.

    `spki_der` is the SubjectPublicKeyInfo in DER, `key_bits` the length of the RSA modulus.
    """

    spki_der: bytes
    common_name: str
    key_bits: int
    host_names: tuple[str, ...] = ()
    """DNS names and IP addresses of the subjectAltName, as they stand there; only `parse_csr(…, hosts=True)`."""


def parse_csr(pem: str, *, hosts: bool = False, authority: bool = False) -> ParsedCsr:
    """Read one PEM request: an RSA key of 2048 to 8192 bits, SHA-256, its own signature, no wish to be an authority
    (which `authority` tolerates, for whoever is going to be one).

    Raises CsrInvalid with the reason.
    """
    request = _load(pem)
    if request.signature_algorithm_oid != SignatureAlgorithmOID.RSA_WITH_SHA256:
        raise CsrInvalid("The request must be signed with RSA (PKCS #1 v1.5) and SHA-256.")
    key = _read_key(request)
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        valid = False
    if not valid:
        raise CsrInvalid("The request's signature is not by the key in it.")
    if not authority:
        _refuse_authority(request)
    return ParsedCsr(
        spki_der=encode_public_key(key),
        common_name=_read_common_name(request),
        key_bits=key.key_size,
        host_names=_read_host_names(request) if hosts else (),
    )


def _load(pem: str) -> x509.CertificateSigningRequest:
    if len(pem) > MAX_PEM_LENGTH:
        raise CsrInvalid(f"The request is longer than {MAX_PEM_LENGTH} characters.")
    found = _PEM.fullmatch(pem)
    if found is None:
        raise CsrInvalid("Expected exactly one PEM block 'CERTIFICATE REQUEST'.")
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True)
        return x509.load_der_x509_csr(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise CsrInvalid("The PEM block does not hold a PKCS #10 request.") from None


def _read_key(request: x509.CertificateSigningRequest) -> rsa.RSAPublicKey:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CsrInvalid("The public key cannot be read.") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise CsrInvalid("The public key must be an RSA key.")
    if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise CsrInvalid(f"The RSA key must have {MIN_KEY_BITS} to {MAX_KEY_BITS} bits, not {key.key_size}.")
    numbers = key.public_numbers()
    weakness = find_weakness(numbers.n, numbers.e)
    if weakness is not None:
        raise CsrInvalid(f"The RSA key is weak: {weakness}.")
    return key


def _refuse_authority(request: x509.CertificateSigningRequest) -> None:
    """No extension is copied from a request; one that asks for authority is refused, that nobody takes it for given."""
    try:
        extensions = [extension.value for extension in request.extensions]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CsrInvalid("The requested extensions cannot be read.") from None
    for value in extensions:
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise CsrInvalid("The request asks for an authority certificate (CA:TRUE).")
        if isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
            raise CsrInvalid("The request asks for the right to sign certificates or revocation lists.")


def _read_host_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CsrInvalid("The requested names cannot be read.") from None
    if not all(isinstance(name, x509.DNSName | x509.IPAddress) for name in names):
        raise CsrInvalid("A server is named by DNS names and IP addresses only.")
    return tuple(dict.fromkeys(str(name.value) for name in names))


def _read_common_name(request: x509.CertificateSigningRequest) -> str:
    try:
        names = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        raise CsrInvalid("The subject cannot be read.") from None
    if len(names) != 1:
        raise CsrInvalid("The subject must have exactly one common name.")
    name = names[0]
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_COMMON_NAME:
        raise CsrInvalid(f"The common name must have 1 to {MAX_COMMON_NAME} characters.")
    if not name.isprintable():
        raise CsrInvalid("The common name holds characters that cannot be printed.")
    return name
