"""The key in whatever somebody has of it: a certificate, a request for one, or the key itself."""

from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from cssm.common.errors import Invalid
from pki.crypto.keys import encode_public_key

MAX_LENGTH: Final = 16 * 1024
_READERS: Final[dict[str, Callable[[bytes], object]]] = {
    "CERTIFICATE": lambda pem: x509.load_pem_x509_certificate(pem).public_key(),
    "CERTIFICATE REQUEST": lambda pem: x509.load_pem_x509_csr(pem).public_key(),
    "PUBLIC KEY": load_pem_public_key,
}


def read_any_public_key(text: str) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a PEM certificate, CSR or public key. Raises `Invalid`."""
    pem = text.strip().encode("ascii", "replace")
    for label, read in _READERS.items():
        if len(pem) <= MAX_LENGTH and pem.startswith(f"-----BEGIN {label}-----".encode()):
            try:
                key = read(pem)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                break
            if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
                return encode_public_key(key)
    raise Invalid("Give one certificate, certificate request or public key in PEM form.", where="key")
