"""From registration to the end of it: acknowledgements, key changes, deregistration, expiry."""

import sqlite3
from typing import Any, Final

from agents.onprem.products.counting import recounted
from agents.onprem.products.wire import AckData, NoData, Refusal, Request, normalise_serial, parse_data
from agents.onprem.server import next_revision

RETIRED_MS: Final = 7 * 24 * 60 * 60 * 1000
"""How long the key before a renewal is accepted after the ACK, so that a lost final ACK strands nobody."""


def acknowledge(
    database: sqlite3.Connection, request: Request, instance: sqlite3.Row, key: sqlite3.Row
) -> dict[str, Any]:
    """The product holds its certificates. A renewal's ACK, signed with the new key, makes that the current one."""
    data = parse_data(request, AckData)
    if normalise_serial(data.id_cert_serial_number) != key["id_cert_serial"]:
        raise Refusal("SIGNATURE_INVALID", "The certificate acknowledged is not the one of the key that signed.")
    if key["role"] == "pending":
        until = min(request.header.timestamp + RETIRED_MS, _current(database, key)["expires_at"])
        database.execute("DELETE FROM product_key WHERE instance_id = ? AND role = 'retired'", [key["instance_id"]])
        database.execute(
            "UPDATE product_key SET role = 'retired', expires_at = ? WHERE instance_id = ? AND role = 'current'",
            [until, key["instance_id"]],
        )
        database.execute("UPDATE product_key SET role = 'current' WHERE id = ?", [key["id"]])
    _note_registered(database, instance["id"])
    return {}


def settle_keys(database: sqlite3.Connection, key: sqlite3.Row) -> None:
    """A message other than an ACK by a new key counts as its ACK, and ends the key before it."""
    if key["role"] == "retired":
        return
    if key["role"] == "pending":
        database.execute("DELETE FROM product_key WHERE instance_id = ? AND role = 'current'", [key["instance_id"]])
        database.execute("UPDATE product_key SET role = 'current' WHERE id = ?", [key["id"]])
    database.execute("DELETE FROM product_key WHERE instance_id = ? AND role = 'retired'", [key["instance_id"]])
    _note_registered(database, key["instance_id"])


def deregister(database: sqlite3.Connection, request: Request, instance: sqlite3.Row) -> dict[str, Any]:
    parse_data(request, NoData)
    end_instance(database, instance["id"], "deregistered")
    return {}


def end_instance(database: sqlite3.Connection, instance_id: int, state: str) -> None:
    """It no longer counts; the next file to the portal says so."""
    instance = database.execute("SELECT * FROM instance WHERE id = ?", [instance_id]).fetchone()
    with recounted(database, instance):
        database.execute("UPDATE usage SET quantity = 0 WHERE instance_id = ?", [instance_id])
        database.execute(
            "UPDATE instance SET is_active = 0, state = ?, changed = ? WHERE id = ?",
            [state, next_revision(database), instance_id],
        )


def expire_instances(database: sqlite3.Connection, now: int) -> int:
    """End those whose certificates have all run out (a year without renewal); returns how many."""
    rows = database.execute(
        "SELECT i.id FROM instance i WHERE i.is_active AND NOT EXISTS"
        " (SELECT 1 FROM product_key k WHERE k.instance_id = i.id AND k.expires_at > ?)",
        [now],
    ).fetchall()
    for row in rows:
        end_instance(database, row["id"], "expired")
    return len(rows)


def _current(database: sqlite3.Connection, key: sqlite3.Row) -> sqlite3.Row:
    row: sqlite3.Row = database.execute(
        "SELECT * FROM product_key WHERE instance_id = ? AND role = 'current'", [key["instance_id"]]
    ).fetchone()
    return row


def _note_registered(database: sqlite3.Connection, number: int) -> None:
    database.execute("UPDATE instance SET state = 'registered' WHERE id = ? AND state = 'registering'", [number])
