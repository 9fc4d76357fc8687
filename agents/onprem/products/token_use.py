"""ID tokens as products bring them: looked up, and one use taken."""

import sqlite3
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from agents.onprem.products.wire import Refusal
from agents.onprem.tokens import digest_token

DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    account_id: int
    account_name: str


def find_token(database: sqlite3.Connection, value: str, *, now: int) -> sqlite3.Row:
    """A token that is good now, but for its uses. Raises Refusal."""
    row: sqlite3.Row | None = database.execute(
        "SELECT t.*, a.name AS account_name FROM token t JOIN local_account a ON a.id = t.account_id WHERE digest = ?",
        [digest_token(_normalise(value))],
    ).fetchone()
    if row is None:
        raise Refusal("TOKEN_INVALID", "The ID token is not known here.")
    if row["revoked_at"] is not None:
        raise Refusal("TOKEN_REVOKED", "The ID token has been revoked.")
    if now >= row["expires_at"]:
        raise Refusal("TOKEN_EXPIRED", "The ID token has expired.")
    return row


def take_token_use(database: sqlite3.Connection, value: str, *, udi: str, now: int) -> Token:
    """One use of a token, inside the registration's transaction. Raises Refusal.

    A product that lost its answer or key and comes again within 24 hours takes no second use.
    """
    row = find_token(database, value, now=now)
    pid, _, serial = udi.rpartition(":")
    again = database.execute(
        "SELECT 1 FROM instance WHERE is_active AND state = 'registering' AND token_id = ? AND udi_pid = ?"
        " AND udi_serial_number = ? AND registered_at > ?",
        [row["id"], pid, serial, now - DAY_MS],
    ).fetchone()
    if row["uses_left"] is not None and again is None:
        if row["uses_left"] == 0:
            raise Refusal("TOKEN_EXHAUSTED", "The ID token has no uses left.")
        database.execute("UPDATE token SET uses_left = uses_left - 1 WHERE id = ?", [row["id"]])
    return Token(row["id"], row["account_id"], row["account_name"])


def _normalise(value: str) -> bytes:
    """Percent-encoding and line breaks undone, nothing else."""
    plain = unquote_to_bytes(value) if "%" in value else value.encode("utf-8", "replace")
    return plain.translate(None, b"\r\n")
