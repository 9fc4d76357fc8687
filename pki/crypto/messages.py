"""Signatures over messages and certificates: RSASSA-PKCS1-v1_5 or ECDSA P-256 (DER), always with SHA-256."""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from pki.crypto.keys import SigningKey, load_public_key

_PKCS1: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()
_DIGESTED: Final = utils.Prehashed(hashes.SHA256())
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def sign_message(key: SigningKey, message: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, _PKCS1, _SHA256)
    return key.sign(message, _ECDSA)


def verify_signature(spki_der: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` over exactly these bytes is by the private key of this SubjectPublicKeyInfo (DER)."""
    key = load_public_key(spki_der)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, _PKCS1, _SHA256)
        else:
            key.verify(signature, message, _ECDSA)
    except InvalidSignature:
        return False
    return True


def pack_signature(der: bytes) -> bytes:
    """An ECDSA P-256 signature as r‖s, 64 bytes."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def unpack_signature(packed: bytes) -> bytes:
    """The DER form of r‖s."""
    return encode_dss_signature(int.from_bytes(packed[:32], "big"), int.from_bytes(packed[32:], "big"))


def sign_digest(key: SigningKey, digest: bytes) -> bytes:
    """As `sign_message` of an RSA key, for a message too long to be held whole: `digest` is its SHA-256 (32 bytes)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("only RSA keys sign files")
    return key.sign(digest, _PKCS1, _DIGESTED)


def verify_digest(spki_der: bytes, signature: bytes, digest: bytes) -> bool:
    """As `verify_signature` with an RSA key, for a message of which only the SHA-256 is held."""
    key = load_public_key(spki_der)
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(signature, digest, _PKCS1, _DIGESTED)
    except InvalidSignature:
        return False
    return True
