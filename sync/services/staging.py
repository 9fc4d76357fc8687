"""Reading a synchronization file into staged rows: strictly, in chunks of short transactions, with progress."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from cssm.common.bulk import commit_lazily
from licensing.services.devices import staging
from licensing.services.devices.staging import StagedRow
from pki.services import vault
from sync.codecs.envelope import Envelope, Readable, refuse
from sync.codecs.shortcuts import Misread
from sync.codecs.synchronization import (
    Account,
    Conversion,
    Header,
    Instance,
    RumReport,
    SynchronizationReader,
)
from sync.errors import MOST_PROBLEMS, FileCode, FileRefused, Problem
from sync.models import Exchange, KeptRequest, OnPremServer
from sync.services.local_accounts import refuse_twice
from sync.services.verification import check_header, verify_signature

CHUNK: Final = 5_000
_KEPT_CHUNK: Final = 100
BEGINNING: Final = 1024 * 1024
# From so many rows on, what the planner believes of them matters.
MANY: Final = 1_000

Beat = Callable[[int, int], None]
"""Told (bytes read, rows staged) after each chunk, in its transaction; raises to end the work."""


@dataclass(slots=True)
class Staged:
    """What was read; the instances are in the staged rows of `exchange.snapshot`."""

    signer: bytes
    header: Header | None = None
    accounts: list[Account] = field(default_factory=list)
    instances: int = 0


class _Enough(Exception):
    """As much was read as was to be."""


class _Beginning:
    """The first megabyte of a file."""

    def __init__(self, file: Readable) -> None:
        self.file, self.left = file, BEGINNING

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        if self.left <= 0:
            raise _Enough
        piece = self.file.read(size)
        self.left -= len(piece)
        return piece


def check_beginning(*, server: OnPremServer, file: Readable, envelope: Envelope, now: datetime) -> None:
    """Whatever can be told of a large file at once: who signed it, its header, its turn, what is wrong near its start.

    Raises `FileRefused`, `FileConflict`.
    """
    signer = verify_signature(server=server, file=file, envelope=envelope, now=now)
    reader = SynchronizationReader(_Beginning(file), envelope.content_length)
    is_first = True
    try:
        for item in reader:
            if isinstance(item, Header) and is_first:
                check_header(server=server, header=item, signer=signer, now=now)
                is_first = False
    except _Enough:
        reader.raise_problems()


def stage_file(
    *, server: OnPremServer, exchange: Exchange, file: Readable, envelope: Envelope, beat: Beat, now: datetime
) -> tuple[Staged, Header]:
    """Verify, then read the whole file. Not inside a transaction. Raises `FileRefused`, `FileConflict`.

    What it wrote stands until `drop_staged`, also when it raises.
    """
    signer = verify_signature(server=server, file=file, envelope=envelope, now=now)
    content = SynchronizationReader(file, envelope.content_length, shortcuts=True)
    try:
        return _stage(content, signer, server=server, exchange=exchange, beat=beat, now=now)
    except (Misread, FileRefused):
        # What is wrong with a file is for the reader to say that looks at each of its characters.
        with transaction.atomic():
            drop_staged(exchange)
    content = SynchronizationReader(file, envelope.content_length)
    return _stage(content, signer, server=server, exchange=exchange, beat=beat, now=now)


def _stage(
    reader: SynchronizationReader, signer: bytes, *, server: OnPremServer, exchange: Exchange, beat: Beat, now: datetime
) -> tuple[Staged, Header]:
    staged = Staged(signer)
    with transaction.atomic():
        snapshot = staging.open_snapshot(origin=server.origin, smart_account_id=server.smart_account_id, now=now)
        Exchange.objects.filter(pk=exchange.pk).update(snapshot=snapshot)
    exchange.snapshot = snapshot
    rows: list[StagedRow] = []
    kept: list[KeptRequest] = []

    def flush() -> None:
        with transaction.atomic():
            commit_lazily()
            staging.stage_rows(snapshot_id=snapshot.pk, rows=rows)
            KeptRequest.objects.bulk_create(kept)
            staged.instances += len(rows)
            beat(reader.bytes_read, staged.instances)
        rows.clear()
        kept.clear()

    for item in reader:
        match item:
            case Instance():
                rows.append(_row(item))
            case Account():
                staged.accounts.append(item)
            case Header():
                if staged.header is None:
                    check_header(server=server, header=item, signer=staged.signer, now=now)
                staged.header = item
            case Conversion() | RumReport():
                kept.append(_keep(item, server, exchange, now))
        if len(rows) >= CHUNK or len(kept) >= _KEPT_CHUNK:
            flush()
    flush()
    if staged.instances >= MANY:
        staging.refresh_statistics()
    header = staged.header
    if header is None:
        raise refuse(FileCode.MALFORMED, "The file has no complete header.")
    refuse_twice(staged.accounts)
    _refuse_instances_twice(snapshot.pk)
    return staged, header


def drop_staged(exchange: Exchange, *, keep_requests: bool = False) -> None:
    """Forget what was staged, in the caller's transaction. Rows that came in the file for others are kept only if it
    was applied."""
    if not keep_requests:
        KeptRequest.objects.filter(exchange=exchange).delete()
    if exchange.snapshot_id is not None:
        snapshot_id = exchange.snapshot_id
        exchange.snapshot = None
        Exchange.objects.filter(pk=exchange.pk).update(snapshot=None)
        staging.discard_snapshot(snapshot_id=snapshot_id)


def read_kept(row: KeptRequest) -> dict[str, Any]:
    """The mapping of a conversion request or usage report as it stood in the file, keys with their first colon."""
    content: dict[str, Any] = json.loads(vault.unwrap(bytes(row.content), context=_context(row)))
    return content


def _keep(item: Conversion | RumReport, server: OnPremServer, exchange: Exchange, now: datetime) -> KeptRequest:
    row = KeptRequest(
        smart_account_id=server.smart_account_id,
        server=server,
        exchange=exchange,
        kind="conversion" if isinstance(item, Conversion) else "rum",
        line=item.line,
        created_at=now,
    )
    row.content = vault.wrap(json.dumps(item.content).encode(), context=_context(row))
    return row


def _context(row: KeptRequest) -> str:
    return f"kept-request:{row.exchange_id}:{row.kind}:{row.line}"


def _row(item: Instance) -> StagedRow:
    return StagedRow(
        item.line,
        item.account,
        item.id,
        item.is_active,
        item.software_tag,
        item.udi_pid,
        item.udi_serial_number,
        item.hostname,
        item.ip_address,
        item.mac_address,
        item.host_identifier,
        item.registered_at,
        item.ha_group,
        [(use.tag, use.quantity) for use in item.uses],
    )


def _refuse_instances_twice(snapshot_id: int) -> None:
    twice: Sequence[tuple[str, int]] = staging.find_twice(snapshot_id=snapshot_id, limit=MOST_PROBLEMS)
    if twice:
        raise FileRefused(
            *(
                Problem(FileCode.DUPLICATE, f"The instance {id} stands twice in this file.", line, ":id:")
                for id, line in twice
            )
        )
