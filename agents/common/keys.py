"""RSA key pairs of our own: made, written, read, and told apart."""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.errors import StateDamaged

KEY_BITS: Final = 2048


def generate_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def dump_key(key: rsa.RSAPrivateKey) -> bytes:
    """PKCS#8 PEM; the state folder's permissions protect it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> rsa.RSAPrivateKey:
    """A key that we wrote: its arithmetic is not checked anew, which would take longer than all else. StateDamaged."""
    try:
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StateDamaged("A private key in the state folder cannot be read.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise StateDamaged("A private key in the state folder is not an RSA key.")
    return key


def fingerprint(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
    """Hex SHA-256 of the SubjectPublicKeyInfo."""
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
