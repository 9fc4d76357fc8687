"""Hash chains over append-only records: pure functions.

A record's digest is SHA-256 over the digest of the record before it and its own canonical bytes, so that no sealed
record can be changed, removed or put in between without every later digest becoming wrong. The last digest is kept
apart (a "head"), so that cutting off the end is noticed too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

GENESIS: Final[bytes] = hashlib.sha256(b"genesis").digest()


def canonical(record: Mapping[str, Any]) -> bytes:
    """The record as UTF-8 JSON with sorted keys and no white space: the same record always gives the same bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_row(previous: bytes, payload: bytes) -> bytes:
    """The 32-byte digest that chains `payload` to the record whose digest is `previous`."""
    return hashlib.sha256(previous + hashlib.sha256(payload).digest()).digest()


def chain(previous: bytes, payloads: Iterable[bytes]) -> list[bytes]:
    """The digests of `payloads`, each chained to the one before, the first to `previous`."""
    digests: list[bytes] = []
    for payload in payloads:
        previous = digest_row(previous, payload)
        digests.append(previous)
    return digests


def salted_digest(value: str, salt: bytes) -> str:
    """How a personal value enters a chain: erasing value and salt elsewhere leaves the chain intact."""
    return hashlib.sha256(salt + value.encode()).hexdigest()
