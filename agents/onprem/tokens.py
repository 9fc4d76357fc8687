"""ID tokens of the local Virtual Accounts (WP "Cisco product registration ID Tokens").

    TBS = "<local Virtual Account UUID>:<Unix ms>"     token = Base64( Base64(HMAC-SHA256(KEY, TBS)) + TBS )

The value is shown once, when it is made; the database keeps its SHA-256 only.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final

from agents.common.errors import UsageError
from agents.onprem.accounts import find_account
from agents.onprem.server import Site, load_server

DAY_MS: Final = 24 * 60 * 60 * 1000
MAX_DAYS: Final = 9999


def create_token(site: Site, account: str, *, days: int, uses: int | None, description: str) -> dict[str, Any]:
    """A new token of the local Virtual Account of this name, with its value. Raises UsageError, NotReady."""
    if not 1 <= days <= MAX_DAYS or (uses is not None and uses < 1):
        raise UsageError(f"A token lives 1 to {MAX_DAYS} days and has one use or more.")
    now = site.now()
    with site.folder.writing() as database:
        load_server(database).require_keys()
        row = find_account(database, account)
        signed = f"{row['uuid']}:{now}".encode()
        value = base64.b64encode(base64.b64encode(hmac.digest(secrets.token_bytes(32), signed, "sha256")) + signed)
        number = database.execute(
            "INSERT INTO token (account_id, digest, description, created_at, expires_at, uses_left)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            [row["id"], digest_token(value), description, now, now + days * DAY_MS, uses],
        ).fetchone()
    return {"id": number["id"], "token": value.decode(), "virtual_account": row["name"]}


def revoke_token(site: Site, number: int) -> None:
    """No product registers with it any more; those that have stay. Raises UsageError."""
    with site.folder.writing() as database:
        found = database.execute(
            "UPDATE token SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ? RETURNING id", [site.now(), number]
        ).fetchone()
    if found is None:
        raise UsageError(f"There is no token {number}.")


def digest_token(value: bytes) -> str:
    """By which a token is looked up: the value itself is not kept."""
    return hashlib.sha256(value).hexdigest()
