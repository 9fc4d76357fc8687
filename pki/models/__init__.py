"""Rows of the certificate authority: keys (wrapped), those who sign, what they signed, and the log of it."""

from pki.models.authorities import Authority
from pki.models.ca_log import CaLogBatch, CaLogEntry, CaLogHead
from pki.models.certificates import Certificate
from pki.models.key_pool import PooledKey
from pki.models.keys import KeyRef, StoredKey
from pki.models.revocations import BlockedKey, IssuingChange, Revocation, RevocationList
from pki.models.root_queue import RootRequest
from pki.models.signing_requests import SigningRequest

__all__ = [
    "Authority",
    "BlockedKey",
    "CaLogBatch",
    "CaLogEntry",
    "CaLogHead",
    "Certificate",
    "IssuingChange",
    "KeyRef",
    "PooledKey",
    "Revocation",
    "RevocationList",
    "RootRequest",
    "SigningRequest",
    "StoredKey",
]
