"""Usage reports of products (ISO/IEC 19770-4): checked, kept for the next file to the portal, told its answer.

The portal cannot check a signature by a certificate of this server, so it is checked here. What no file could carry is
refused at once; what the portal makes of the others stands in the response to the file that named them.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agents.common.errors import VerificationFailed
from agents.common.signatures import verify
from agents.onprem.documents.requests import MOST_ROWS, UsageReport
from agents.onprem.documents.writer import is_lines
from agents.onprem.products.usage_payload import read_payload
from agents.onprem.products.wire import (
    Pending,
    Refusal,
    Request,
    RumData,
    SubmittedReport,
    normalise_serial,
    parse_data,
)

POLL_SECONDS: Final = 3600
VERIFIABLE: Final = "SHA256withRSA"
KEPT: Final = frozenset({"", "ACCEPTED", "DUPLICATE"})
"""What need not be sent again; empty while the portal has not answered."""

DAY_MS: Final = 24 * 60 * 60 * 1000
KEEP_MS: Final = 90 * DAY_MS
"""How long an answer can be polled for."""


def take_usage_reports(
    database: sqlite3.Connection, request: Request, instance: sqlite3.Row, now: int
) -> dict[str, Any]:
    """Each report for itself; `Pending` as long as the portal has not answered one of them. Raises Refusal."""
    reports = parse_data(request, RumData).reports
    entries: list[int | dict[str, Any]] = []
    refusals: list[Refusal] = []
    for report in reports:
        number, refusal = None, None
        try:
            number = read_payload(report.payload, instance)
            entries.append(_keep(database, instance, report, number, now))
        except Refusal as caught:
            refusal = caught
            entries.append({"report_id": refusal.data.get("report_id", number), "status": refusal.code})
            refusals.append(refusal)
    if len(refusals) == len(reports):
        raise Refusal(refusals[0].code, refusals[0].message, data={"acknowledgements": entries})
    promise = _promise(database, instance, entries, now)
    return describe_promise(database, promise)


def find_promise(database: sqlite3.Connection, number: int, instance: sqlite3.Row) -> sqlite3.Row | None:
    """What was promised under a poll_id to this instance."""
    row: sqlite3.Row | None = database.execute(
        "SELECT * FROM usage_promise WHERE poll_id = ? AND instance_id = ?", [number, instance["id"]]
    ).fetchone()
    return row


def describe_promise(database: sqlite3.Connection, promise: sqlite3.Row) -> dict[str, Any]:
    """The acknowledgements, each report once, when all of them have come."""
    shown: list[dict[str, Any]] = []
    for entry in msgspec.json.decode(promise["entries"]):
        if isinstance(entry, dict):
            shown.append(entry)
            continue
        row = database.execute("SELECT report_id, status FROM usage_report WHERE id = ?", [entry]).fetchone()
        if not row["status"]:
            return Pending(poll_id=promise["poll_id"], poll_interval=POLL_SECONDS)
        shown.append({"report_id": row["report_id"], "status": row["status"]})
    return {"acknowledgements": shown}


def list_usage_reports(database: sqlite3.Connection) -> list[int]:
    """The rows that the next file names, oldest first: all that have no answer, as many as a file may hold. Products
    that have left are named too: what they used is owed."""
    rows = database.execute("SELECT id FROM usage_report WHERE status = '' ORDER BY id LIMIT ?", [MOST_ROWS])
    return [row["id"] for row in rows]


def read_usage_report(database: sqlite3.Connection, number: int) -> UsageReport:
    row = database.execute("SELECT payload, signature FROM usage_report WHERE id = ?", [number]).fetchone()
    return UsageReport(payload=row["payload"], signature=msgspec.json.decode(row["signature"]))


def note_told(database: sqlite3.Connection, export: int, numbers: Sequence[int]) -> None:
    """In this order they stand in that request."""
    database.executemany(
        "INSERT INTO export_report (export_id, position, usage_report_id) VALUES (?, ?, ?)",
        [(export, position, number) for position, number in enumerate(numbers)],
    )


def settle_usage_reports(
    database: sqlite3.Connection, answers: Sequence[dict[str, Any]], generated: str, now: int
) -> None:
    """Take over what the response to the request of that time says of each report, in the order of the request.

    Where a response says nothing of them they are named again by the next request.
    """
    told = database.execute(
        "SELECT r.* FROM export e JOIN export_report t ON t.export_id = e.id JOIN usage_report r"
        " ON r.id = t.usage_report_id WHERE e.generated = ? ORDER BY t.position",
        [generated],
    ).fetchall()
    if len(told) == len(answers):
        database.executemany(
            "UPDATE usage_report SET status = ?, message = ?, settled_at = ?, payload = '', signature = '{}'"
            " WHERE id = ? AND status = ''",
            [
                (one["status"], one.get("message") or "", now, row["id"])
                for row, one in zip(told, answers, strict=True)
                if one["status"] and one["report_id"] in (None, str(row["report_id"]))
            ],
        )
    database.execute("DELETE FROM usage_promise WHERE asked_at < ?", [now - KEEP_MS])
    database.execute(
        "DELETE FROM usage_report WHERE status <> '' AND settled_at < ? AND id NOT IN"
        " (SELECT each.value FROM usage_promise, json_each(usage_promise.entries) each WHERE each.type = 'integer')"
        " AND id NOT IN (SELECT usage_report_id FROM export_report)",
        [now - KEEP_MS],
    )


def _keep(database: sqlite3.Connection, instance: sqlite3.Row, report: SubmittedReport, number: int, now: int) -> int:
    """The row of it. The same report again is the same row; one that the portal refused is asked for once more."""
    signature = {name: getattr(report.signature, name) for name in ("signing_type", "key", "value")}
    _check_signature(database, instance, report, number)
    digest = hashlib.sha256(report.payload.encode()).hexdigest()
    row = database.execute(
        "INSERT INTO usage_report (udi_pid, udi_serial_number, report_id, digest, payload, signature, asked_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (udi_pid, udi_serial_number, digest) DO UPDATE SET"
        " asked_at = excluded.asked_at RETURNING id, status",
        [
            instance["udi_pid"],
            instance["udi_serial_number"],
            number,
            digest,
            report.payload,
            msgspec.json.encode(signature).decode(),
            now,
        ],
    ).fetchone()
    if row["status"] not in KEPT:
        database.execute(
            "UPDATE usage_report SET status = '', message = '', payload = ?, signature = ? WHERE id = ?",
            [report.payload, msgspec.json.encode(signature).decode(), row["id"]],
        )
    return int(row["id"])


def _check_signature(database: sqlite3.Connection, instance: sqlite3.Row, report: SubmittedReport, number: int) -> None:
    """Raises Refusal. What is not signed by a certificate of ours only its maker can check."""
    signature = report.signature
    texts = (signature.signing_type, signature.key)
    if not all(text.isprintable() for text in texts) or not is_lines(signature.value) or not signature.value:
        raise Refusal(
            "MALFORMED", "The signature holds what no file to the portal may hold.", data={"report_id": number}
        )
    if signature.signing_type != VERIFIABLE:
        return
    row = database.execute(
        "SELECT public_key FROM issued_key WHERE id_cert_serial = ? AND udi_pid = ? AND udi_serial_number = ?",
        [normalise_serial(signature.key), instance["udi_pid"], instance["udi_serial_number"]],
    ).fetchone()
    try:
        if row is None:
            raise VerificationFailed("The key is no ID certificate of this product.")
        public_key = load_pem_public_key(str(row["public_key"]).encode())
        assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101  stored by `register`, which checks it
        verify(public_key, report.payload.encode(), signature.value)
    except VerificationFailed:
        message = "A report is not signed by an ID certificate of this product, byte for byte."
        raise Refusal("SIGNATURE_INVALID", message, data={"report_id": number}) from None


def _promise(
    database: sqlite3.Connection, instance: sqlite3.Row, entries: list[int | dict[str, Any]], now: int
) -> sqlite3.Row:
    """The same reports again wait under the same number."""
    text = msgspec.json.encode(entries).decode()
    row: sqlite3.Row | None = database.execute(
        "SELECT * FROM usage_promise WHERE instance_id = ? AND entries = ?", [instance["id"], text]
    ).fetchone()
    if row is None:
        row = database.execute(
            "INSERT INTO usage_promise (poll_id, instance_id, entries, asked_at) VALUES (?, ?, ?, ?) RETURNING *",
            [secrets.randbits(63), instance["id"], text, now],
        ).fetchone()
    assert row is not None  # noqa: S101  for the type: RETURNING gives the row that was inserted
    return row
