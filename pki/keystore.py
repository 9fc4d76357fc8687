"""The only holder of private keys: it makes them, keeps them wrapped and signs with them; a key never comes out.

Only `pki.services` import this module. The purpose and id of a key are authenticated with its wrapped bytes: a key of
one row cannot be put into another, and nothing signs messages with an authority's key.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.db import transaction

from pki.crypto import keys, wrapping
from pki.crypto.messages import sign_digest, sign_message
from pki.errors import PassphraseMissing
from pki.models import KeyRef, StoredKey
from pki.states import KeyAlgorithm, KeyPurpose

KEYS_LOADED: Final = 1024
"""Of products, by each process. The first signature with a key that was just loaded takes as long as two: what shields
it from being measured is made with it."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made and not yet kept."""

    algorithm: KeyAlgorithm
    spki_der: bytes
    _pkcs8_der: bytes = field(repr=False)


def make_key(algorithm: KeyAlgorithm) -> NewKey:
    """Slow (RSA-2048 30 ms, RSA-4096 up to seconds): call it outside of transactions, then `keep_key` inside one."""
    private = keys.generate_private_key(algorithm)
    return NewKey(algorithm, keys.extract_public_key(private), private)


def keep_key(new: NewKey, *, purpose: KeyPurpose, passphrase: str | None = None, now: datetime) -> KeyRef:
    """Store a key, wrapped; with a passphrase, locked by it first."""
    with transaction.atomic():
        row = StoredKey.objects.create(
            algorithm=new.algorithm,
            purpose=purpose,
            passphrase_protected=passphrase is not None,
            wrapped=b"",
            spki_der=new.spki_der,
            created_at=now,
        )
        # The id is part of the context, so the row comes first; nobody else sees it before the commit.
        context = _context(purpose, row.pk)
        plain = new._pkcs8_der
        if passphrase is not None:
            plain = wrapping.lock(passphrase, plain, context=context)
        row.wrapped = wrapping.wrap(_wrapping_key(), plain, context=context)
        row.save(update_fields=["wrapped"])
    return row.ref


def sign_message_with(wrapped: bytes, *, key_id: int, message: bytes) -> bytes:
    """Sign with a message key. Those used last stay loaded: who has registered acknowledges and reports at once."""
    return sign_message(_load_lately(_wrapping_key(), wrapped, _context(KeyPurpose.MESSAGES, key_id)), message)


def sign_digest_with(wrapped: bytes, *, key_id: int, digest: bytes) -> bytes:
    """As `sign_message_with`, of a message of which only the SHA-256 is held."""
    context = _context(KeyPurpose.MESSAGES, key_id)
    return sign_digest(keys.load_private_key(wrapping.unwrap(_wrapping_key(), wrapped, context=context)), digest)


def sign_as_authority(key: KeyRef, message: bytes) -> bytes:
    """Sign with an authority's key, which stays in memory, loaded."""
    return sign_message(_load_authority(_wrapping_key(), key.wrapped, _context(KeyPurpose.AUTHORITY, key.id)), message)


def sign_as_root(key: KeyRef, message: bytes, *, passphrase: str) -> bytes:
    """Sign with a key locked by a passphrase; it is not kept in memory. Raises PassphraseMissing, Undecipherable."""
    if not passphrase:
        raise PassphraseMissing("The root key is needed: set ROOT_KEY_PASSPHRASE for this process.")
    context = _context(KeyPurpose.AUTHORITY, key.id)
    locked = wrapping.unwrap(_wrapping_key(), key.wrapped, context=context)
    return sign_message(keys.load_private_key(wrapping.unlock(passphrase, locked, context=context)), message)


@lru_cache(maxsize=16)
def _load_authority(wrapping_key: bytes, wrapped: bytes, context: str) -> keys.SigningKey:
    """Remembered by the wrapped bytes themselves: what the database says now decides which key it is."""
    return keys.load_private_key(wrapping.unwrap(wrapping_key, wrapped, context=context))


@lru_cache(maxsize=KEYS_LOADED)
def _load_lately(wrapping_key: bytes, wrapped: bytes, context: str) -> keys.SigningKey:
    return keys.load_private_key(wrapping.unwrap(wrapping_key, wrapped, context=context))


def _wrapping_key() -> bytes:
    return wrapping.derive_key(settings.KEY_ENCRYPTION_KEY, "private keys")


def _context(purpose: KeyPurpose, key_id: int) -> str:
    return f"{purpose}:{key_id}"
