"""Secrets at rest for every app: tokens, stored answers, whatever must not be readable in a copy of the database."""

import hashlib
import hmac

from django.conf import settings

from pki.crypto import wrapping


def wrap(data: bytes, *, context: str) -> bytes:
    """Encrypt under KEY_ENCRYPTION_KEY (AES-256-GCM; 45 bytes longer). `context` says what it is and whose, and is
    needed to open it: `"token:17"`."""
    return wrapping.wrap(_key("vault"), data, context=context)


def unwrap(blob: bytes, *, context: str) -> bytes:
    """The inverse of `wrap`. Raises Undecipherable for another key or context, or a changed byte."""
    return wrapping.unwrap(_key("vault"), bytes(blob), context=context)


def digest(value: bytes) -> str:
    """SHA-256 as 64 hex digits: how a secret is looked up without being kept."""
    return hashlib.sha256(value).hexdigest()


def authenticate(data: bytes, *, context: str) -> bytes:
    """A 32-byte MAC under KEY_ENCRYPTION_KEY."""
    return hmac.digest(_key(f"mac {context}"), data, "sha256")


def is_authentic(data: bytes, mac: bytes, *, context: str) -> bool:
    return hmac.compare_digest(authenticate(data, context=context), bytes(mac))


def _key(purpose: str) -> bytes:
    return wrapping.derive_key(settings.KEY_ENCRYPTION_KEY, purpose)
