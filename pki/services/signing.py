"""Signing messages with the key of one product's signing certificate, and reservations with the key made for them."""

from pki import keystore
from pki.models import KeyRef, StoredKey
from pki.services.authorities import get_authority
from pki.states import AuthorityName


def sign_with_key(key: KeyRef | int, message: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256; 256 bytes. With an id instead of a reference it costs a query."""
    if isinstance(key, KeyRef):
        return sign_with_blob(key.wrapped, key_id=key.id, message=message)
    wrapped = StoredKey.objects.values_list("wrapped", flat=True).get(pk=key)
    return sign_with_blob(bytes(wrapped), key_id=key, message=message)


def sign_with_blob(blob: bytes, *, key_id: int, message: bytes) -> bytes:
    """As `sign_with_key`, for a caller that fetched `StoredKey.wrapped` along with its own row: no query.

    Raises Undecipherable if the blob is not that key's.
    """
    return keystore.sign_message_with(bytes(blob), key_id=key_id, message=message)


def sign_reservation(message: bytes) -> bytes:
    """ECDSA P-256 with SHA-256 by the reservation-signing key, DER. Never inside a transaction. One query.

    Raises AuthorityMissing before `bootstrap`.
    """
    return keystore.sign_as_authority(get_authority(AuthorityName.RESERVATION_SIGNING).key.ref, message)


def sign_digest_with_key(key: KeyRef, digest: bytes) -> bytes:
    """As `sign_with_key`, of a file too long to be held whole: `digest` is its SHA-256 (32 bytes)."""
    return keystore.sign_digest_with(key.wrapped, key_id=key.id, digest=digest)
