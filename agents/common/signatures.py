"""RSASSA-PKCS1-v1_5 with SHA-256, its value as Base64: what messages, files and network requests are signed with."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from agents.common.errors import VerificationFailed


def sign(key: rsa.RSAPrivateKey, content: bytes) -> str:
    return base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()


def sign_digest(key: rsa.RSAPrivateKey, digest: bytes) -> str:
    """The same signature, for content of which only the SHA-256 is at hand."""
    return base64.b64encode(key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))).decode()


def verify(key: rsa.RSAPublicKey, content: bytes, signature: str) -> None:
    """Raises VerificationFailed, also for what is not Base64."""
    try:
        key.verify(base64.b64decode(signature, validate=True), content, padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        raise VerificationFailed("The signature does not belong to these bytes and this key.") from None


def verify_digest(key: rsa.RSAPublicKey, digest: bytes, signature: str) -> None:
    """As `verify`, for content of which only the SHA-256 is at hand."""
    try:
        key.verify(base64.b64decode(signature, validate=True), digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        raise VerificationFailed("The signature does not belong to these bytes and this key.") from None
