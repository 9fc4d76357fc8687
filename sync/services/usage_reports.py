"""The usage reports of a synchronization file: handed on when the file is applied, and answered in its response."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from licensing.codecs.rum.report import BUILTIN, ReportSignature, Submitted
from licensing.services.exchange.rum.planning import Outcome
from licensing.services.exchange.rum.server_files import take_from_server
from sync.models import Exchange, KeptRequest, OnPremServer
from sync.services.servers import actor_of_server
from sync.services.staging import read_kept

_CHUNK: Final = 500


def take_usage_reports(*, exchange: Exchange, server: OnPremServer, now: datetime) -> list[dict[str, Any]]:
    """The acknowledgements for the response, in the order of the file. In the transaction that applies the file."""
    waiting = KeptRequest.objects.filter(exchange=exchange, kind="rum", taken_at__isnull=True).order_by("pk")
    shown: list[dict[str, Any]] = []
    rows: Iterator[KeptRequest] = waiting.iterator(chunk_size=_CHUNK)
    while chunk := list(islice(rows, _CHUNK)):
        outcomes = take_from_server(
            actor=actor_of_server(server),
            origin=server.origin,
            submitted=[_submitted(row) for row in chunk],
            now=now,
        )
        shown += [_show(row, outcome) for row, outcome in zip(chunk, outcomes, strict=True)]
    waiting.update(taken_at=now)
    return shown


def _submitted(row: KeptRequest) -> Submitted:
    content = read_kept(row)
    signature: str | Mapping[str, str] = content[":signature"]
    if isinstance(signature, str):
        signature = {":signing_type": BUILTIN, ":value": signature}
    given = ReportSignature(signature[":signing_type"], signature[":value"], signature.get(":key") or "")
    return Submitted(content[":payload"], given, where=":payload:")


def _show(row: KeptRequest, outcome: Outcome) -> dict[str, Any]:
    payload = outcome.payload
    shown: dict[str, Any] = {
        "line": row.line,
        "udi_pid": payload.sudi.udi_pid if payload else None,
        "udi_serial_number": payload.sudi.udi_serial_number if payload else None,
        "report_id": payload.report_id if payload else None,
        "status": outcome.status,
    }
    return {**shown, "message": outcome.message} if outcome.message else shown
