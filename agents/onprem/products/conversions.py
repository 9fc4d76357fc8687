"""Conversions of products: kept for the next file to the portal, whose response tells the result (WP "DLC")."""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from agents.onprem.documents.requests import MOST_ROWS, Conversion
from agents.onprem.documents.writer import MAX_SCALAR, is_lines
from agents.onprem.products.wire import ConversionData, Pending, Refusal, Request, parse_data

POLL_SECONDS: Final = 3600
"""The result comes with a file: asking more often would tell nothing new."""

_UNTOLD: Final = """
    SELECT c.*, i.udi_pid, i.udi_serial_number FROM conversion c JOIN instance i ON i.id = c.instance_id
    WHERE i.is_active AND c.id IN (SELECT MIN(id) FROM conversion WHERE status = '' GROUP BY instance_id)
    ORDER BY c.id LIMIT ?"""


def take_conversion(database: sqlite3.Connection, request: Request, instance: sqlite3.Row, now: int) -> dict[str, Any]:
    """Keep it; the same lines again wait under the same number, or are told what became of them."""
    data = parse_data(request, ConversionData)
    keys = [(one.conversion_type, one.entitlement_tag, one.payload or "") for one in data.conversion_lines]
    if len(set(keys)) != len(keys):
        raise Refusal("MALFORMED", "A line stands there twice.")
    if any(len(payload.encode()) > MAX_SCALAR for *_, payload in keys):
        raise Refusal("MALFORMED", f"A license file has at most {MAX_SCALAR} bytes.")
    texts = [data.software_tag_identifier, *(tag for _, tag, _ in keys)]
    if not all(text.isprintable() for text in texts) or not all(is_lines(payload) for *_, payload in keys):
        raise Refusal("MALFORMED", "A text holds characters that no file to the portal may hold.")
    lines = msgspec.json.encode(data.conversion_lines).decode()
    same = database.execute(
        "SELECT * FROM conversion WHERE instance_id = ? AND lines = ? AND status <> 'FAILED' ORDER BY id DESC",
        [instance["id"], lines],
    ).fetchone()
    if same is not None:
        return describe_conversion(same)
    row = database.execute(
        "INSERT INTO conversion (instance_id, poll_id, software_tag, locale, lines, asked_at)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        [instance["id"], secrets.randbits(63), data.software_tag_identifier, _locale(request), lines, now],
    ).fetchone()
    return describe_conversion(row)


def find_conversion(database: sqlite3.Connection, number: int, instance: sqlite3.Row) -> sqlite3.Row | None:
    """What this instance was given the number for."""
    row: sqlite3.Row | None = database.execute(
        "SELECT * FROM conversion WHERE poll_id = ? AND instance_id = ?", [number, instance["id"]]
    ).fetchone()
    return row


def describe_conversion(row: sqlite3.Row) -> dict[str, Any]:
    """The result, or that it is still to come."""
    if not row["status"]:
        return Pending(poll_id=row["poll_id"], poll_interval=POLL_SECONDS)
    return {"conversion_status": row["status"], "status_message": row["message"]}


def list_conversions(database: sqlite3.Connection) -> Iterator[tuple[int, Conversion]]:
    """What the next file asks for, with the row's id: of each product the oldest that has no result, for a result does
    not say which of several it is of, and no more than a file may hold."""
    for row in database.execute(_UNTOLD, [MOST_ROWS]):
        yield (
            row["id"],
            Conversion(
                udi_pid=row["udi_pid"],
                udi_serial_number=row["udi_serial_number"],
                software_tag=row["software_tag"],
                locale=row["locale"],
                lines=msgspec.json.decode(row["lines"]),
            ),
        )


def note_told(database: sqlite3.Connection, ids: Iterable[int], generated: str) -> None:
    """They were named in the request of that time."""
    database.executemany(
        "UPDATE conversion SET told_in = ? WHERE id = ? AND told_in = ''", [(generated, number) for number in ids]
    )


def settle_conversions(database: sqlite3.Connection, results: Iterable[dict[str, Any]], generated: str) -> None:
    """Take over what the response to the request of that time tells; results of other requests tell nothing new."""
    database.executemany(
        "UPDATE conversion SET status = ?, message = ? WHERE id = (SELECT MIN(c.id) FROM conversion c"
        " JOIN instance i ON i.id = c.instance_id WHERE c.status = '' AND c.told_in <> '' AND c.told_in <= ?"
        " AND i.udi_pid = ? AND i.udi_serial_number = ? AND c.software_tag = ?)",
        [
            (
                one["conversion_status"],
                one["status_message"],
                generated,
                one["udi_pid"],
                one["udi_serial_number"],
                one["software_tag_identifier"],
            )
            for one in results
            if one["conversion_status"] in ("COMPLETED", "FAILED")
        ],
    )


def _locale(request: Request) -> str:
    locale = request.header.locale[:32]
    return locale if locale and locale.isprintable() else "en"
