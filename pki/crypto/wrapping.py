"""Encryption at rest: AES-256-GCM under keys derived from secrets of the environment.

    wrapped   = 0x01 ‖ salt(16) ‖ nonce(12) ‖ ciphertext and tag      key = HMAC-SHA256(derived key, salt)
    passphrase= 0x01 ‖ log2 n   ‖ salt(16) ‖ nonce(12) ‖ ciphertext   key = scrypt(passphrase, salt, n, r=8, p=1)

A key of its own for each value keeps random nonces safe for more than the 2³² values that one AES-GCM key allows
(NIST SP 800-38D, 8.3): every stored answer to a device is wrapped, so they are reached.
The context (what the value is and whose) is authenticated with it: a value moved to another row does not open.
"""

import hmac
import os
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pki.errors import Undecipherable

_VERSION: Final = b"\x01"
_SALT: Final = 16
_NONCE: Final = 12
_TAG: Final = 16
_SCRYPT_LOG2_N: Final = 15
_SCRYPT_LOG2_LIMIT: Final = 20
"""More would let an altered byte in the database ask for gigabytes of memory."""


@lru_cache(maxsize=32)
def derive_key(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose from a secret of the environment; other purposes learn nothing about them (HKDF)."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"smart-account-portal {purpose}".encode())
    return derivation.derive(secret.encode())


def wrap(key: bytes, plaintext: bytes, *, context: str) -> bytes:
    """Encrypt and authenticate under a 32-byte key."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    cipher = AESGCM(hmac.digest(key, salt, "sha256"))
    return _VERSION + salt + nonce + cipher.encrypt(nonce, plaintext, context.encode())


def unwrap(key: bytes, wrapped: bytes, *, context: str) -> bytes:
    """The inverse of `wrap`; raises Undecipherable for another key, another context or a changed byte."""
    if len(wrapped) < 1 + _SALT + _NONCE + _TAG or wrapped[:1] != _VERSION:
        raise Undecipherable(f"This is not a wrapped value: {context}.")
    salt, rest = wrapped[1 : 1 + _SALT], wrapped[1 + _SALT :]
    return _open(hmac.digest(key, salt, "sha256"), rest, context)


def lock(passphrase: str, plaintext: bytes, *, context: str) -> bytes:
    """Encrypt under a passphrase."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    cipher = AESGCM(_stretch(passphrase, salt, _SCRYPT_LOG2_N))
    return _VERSION + bytes([_SCRYPT_LOG2_N]) + salt + nonce + cipher.encrypt(nonce, plaintext, context.encode())


def unlock(passphrase: str, locked: bytes, *, context: str) -> bytes:
    """The inverse of `lock`; raises Undecipherable for another passphrase."""
    if len(locked) < 2 + _SALT + _NONCE + _TAG or locked[:1] != _VERSION or locked[1] > _SCRYPT_LOG2_LIMIT:
        raise Undecipherable(f"This is not a value locked by a passphrase: {context}.")
    return _open(_stretch(passphrase, locked[2 : 2 + _SALT], locked[1]), locked[2 + _SALT :], context)


@lru_cache(maxsize=2)
def _stretch(passphrase: str, salt: bytes, log2_n: int) -> bytes:
    """Remembered, since making the hierarchy signs five times; who holds the passphrase loses nothing by it."""
    return Scrypt(salt=salt, length=32, n=1 << log2_n, r=8, p=1).derive(passphrase.encode())


def _open(key: bytes, sealed: bytes, context: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
    except InvalidTag:
        raise Undecipherable(f"Wrapped under another key, or altered: {context}.") from None
