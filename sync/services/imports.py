"""A synchronization file, from its upload to its response: staged, then applied all or nothing.

Every upload is an exchange with its file in the database before any of it is used, so that whoever finds it open can
carry on. A small one is worked on while its sender waits, and leaves nothing behind where it is refused.
"""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, DomainError, Unavailable
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from licensing.models import Snapshot
from licensing.services.devices import staging as licensing_staging
from licensing.services.devices.apply_snapshot import apply_snapshot
from sync.codecs.envelope import read_envelope, read_range
from sync.codecs.synchronization import Header
from sync.errors import FileCode, FileConflict, Problem
from sync.models import Exchange, OnPremServer
from sync.services import certificates, exports
from sync.services.certificates import Batch, Order
from sync.services.changes import ChangeList
from sync.services.conversions import convert_kept, describe_conversions, list_results
from sync.services.differences import describe_difference
from sync.services.linking import hold_unlinked, release_accounts
from sync.services.local_accounts import link_accounts
from sync.services.receiving import Upload
from sync.services.servers import actor_of_server, lock_server, record, require, tell
from sync.services.staging import Staged, check_beginning, drop_staged, stage_file
from sync.services.storage import StoredFile, store_file
from sync.services.usage_reports import take_usage_reports
from sync.services.verification import check_order, verify_signature
from sync.states import (
    OPEN_STATES,
    CertificateKind,
    ExchangeKind,
    ExchangeState,
    MarkReason,
    NoticeKind,
    ServerState,
    Side,
)

log = structlog.get_logger(__name__)

WORK_TASK: Final = "sync.work_exchanges"
DIRECT_UP_TO: Final = 5 * 1024 * 1024
"""Larger files, or those of whoever prefers it, are worked on in the background (interfaces: On-prem files)."""

HOLD: Final = timedelta(minutes=2)
HOLD_WHILE_APPLYING: Final = timedelta(minutes=10)
RETRY_AFTER: Final = timedelta(seconds=30)


class Interrupted(Exception):
    """The exchange was cancelled, or taken over by another worker."""


class AppliedMeanwhile(Exception):
    """The very same bytes have been applied as another exchange."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def describe(self) -> Problem:
        """For who waits for the exchange that came too late."""
        message = f"The very same file was uploaded once more, and applied as exchange {self.exchange.pk}: see there."
        return Problem(FileCode.STALE_FILE, message)


@dataclass(slots=True)
class Keeper:
    """Whoever works on an exchange holds it for some minutes at a time; `now` is when it began."""

    exchange_id: int
    now: datetime
    worker: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)

    def moment(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.started)

    def beat(self, bytes_read: int, rows: int) -> None:
        """Tell the progress and hold on. Raises `Interrupted`."""
        mine = Exchange.objects.filter(pk=self.exchange_id, worker=self.worker, state=ExchangeState.STAGING)
        values = {"bytes_read": bytes_read, "rows_staged": rows, "held_until": self.moment() + HOLD}
        if not mine.filter(cancel_requested_at__isnull=True).update(**values):
            raise Interrupted

    def start_applying(self) -> None:
        """From here on it cannot be cancelled any more. Raises `Interrupted`."""
        mine = Exchange.objects.filter(pk=self.exchange_id, worker=self.worker, state=ExchangeState.STAGING)
        values = {"state": ExchangeState.APPLYING, "held_until": self.moment() + HOLD_WHILE_APPLYING}
        with transaction.atomic():
            if not mine.filter(cancel_requested_at__isnull=True).update(**values):
                raise Interrupted

    def give_back(self) -> None:
        """Leave it to whoever comes next, in a while."""
        mine = Exchange.objects.filter(pk=self.exchange_id, worker=self.worker, state__in=OPEN_STATES)
        with transaction.atomic():
            mine.update(state=ExchangeState.WAITING, worker="", held_until=self.moment() + RETRY_AFTER)


def synchronize(
    *,
    actor: Actor,
    server: OnPremServer,
    upload: Upload,
    dry_run: bool = False,
    in_background: bool = False,
    now: datetime,
) -> Exchange:
    """Take the file: the exchange is applied (or compared, for a dry run), or still open where it is worked on in the
    background. The same bytes again give the same exchange. Not inside a transaction.

    Raises `FileRefused`, `FileConflict`, `NotFound`, `Forbidden`; nothing has changed then. `Unavailable` where the
    database fails while the file is worked on: then it is kept, and a worker takes it up.
    """
    if not (actor.kind is ActorKind.ON_PREM and actor.id == str(server.uuid)):
        require(actor, server, Permission.MANAGE_ASSETS)
    in_background = in_background or upload.plain.size > DIRECT_UP_TO
    if not dry_run and server.state == ServerState.REGISTERED and (same := _find_same(server, upload, in_background)):
        return same
    check = check_beginning if in_background else verify_signature
    check(server=server, file=upload.file, envelope=upload.envelope, now=now)
    keeper = None if in_background else Keeper(0, now)
    exchange = _open(actor, server, upload, dry_run, keeper, now)
    if keeper is None:
        nudge(WORK_TASK)
        return exchange
    keeper.exchange_id = exchange.pk
    try:
        return process_exchange(exchange=exchange, keeper=keeper, now=now)
    except AppliedMeanwhile as applied:
        discard_exchange(exchange)
        return applied.exchange
    except (DomainError, Interrupted) as error:
        discard_exchange(exchange)
        if isinstance(error, Interrupted):
            raise Conflict("The exchange was taken over or cancelled.", code="CANCELLED") from error
        raise
    except (OperationalError, InterfaceError) as error:
        log.exception("exchange_interrupted", exchange=exchange.pk)
        with suppress(DatabaseError, InterfaceError):  # else it is held for some minutes more
            keeper.give_back()
        raise Unavailable(
            "The database failed while the file was worked on: it is out of room, or being restarted. Nothing of it has"
            " been applied. The file is kept and worked on again in a few minutes; upload the very same file once more"
            " then, and you are given its response.",
        ) from error


def process_exchange(*, exchange: Exchange, keeper: Keeper, now: datetime) -> Exchange:
    """Work on an exchange that the keeper holds: stage it, then apply it (or only compare).

    Raises `DomainError`, `Interrupted`, `AppliedMeanwhile`.
    """
    server = OnPremServer.objects.select_related("origin", "smart_account").get(pk=exchange.server_id)
    with transaction.atomic():
        drop_staged(exchange)
    file = StoredFile(exchange, Side.REQUEST)
    envelope = read_envelope(file, exchange.size)
    staged, header = stage_file(
        server=server, exchange=exchange, file=file, envelope=envelope, beat=keeper.beat, now=now
    )
    orders = _orders(server, header)
    certificates.refuse_shared_keys(orders, server=server)
    batch = None if exchange.is_dry_run else certificates.issue_batch(orders, now=now)
    keeper.start_applying()
    work = _Import(exchange, keeper, staged, header, batch, now)
    retry_transient(work.run)
    exchange.refresh_from_db()
    return exchange


def discard_exchange(exchange: Exchange) -> None:
    """Delete it with its files and everything staged: it was refused while its sender waited."""
    with transaction.atomic():
        drop_staged(exchange)
        exchange.delete()


@dataclass(slots=True)
class _Import:
    """The one transaction that applies a file. `batch` is None where it is only compared."""

    exchange: Exchange
    keeper: Keeper
    staged: Staged
    header: Header
    batch: Batch | None
    now: datetime
    conversions: Mapping[int, str] = field(default_factory=dict)

    def run(self) -> None:
        self.exchange.refresh_from_db()  # an attempt that the database gave up on has left its traces here
        with ChangeList() as changes:
            with transaction.atomic():
                server = self._lock()
                difference, marked = self._apply(server, changes)
                if self.batch is None:
                    transaction.set_rollback(True)
                else:
                    self._finish(server, self.batch, difference, marked)
                    changes.store(self.exchange)
            if self.batch is None:
                self._keep_comparison(difference, changes)

    def _lock(self) -> OnPremServer:
        """Everything is asked again under the server's lock: another file may have come in between."""
        server = lock_server(self.exchange.server_id)
        if server.state != ServerState.REGISTERED:
            raise FileConflict(Problem(FileCode.SERVER_REMOVED, f'"{server.name}" was removed.'))
        same = Exchange.objects.applied().filter(server=server, digest=self.exchange.digest)
        if self.batch is not None and (twin := same.filter(created_at__gte=server.registered_at).first()) is not None:
            raise AppliedMeanwhile(twin)
        check_order(server=server, header=self.header)
        return server

    def _apply(
        self, server: OnPremServer, changes: ChangeList
    ) -> tuple[dict[str, object], list[tuple[str, str, str, MarkReason]]]:
        snapshot: Snapshot | None = self.exchange.snapshot
        if snapshot is None:
            raise Interrupted
        full, generated = self.header.is_full, self.header.last_generated_at
        linked = link_accounts(
            server=server,
            accounts=self.staged.accounts,
            counts=licensing_staging.count_staged(snapshot_id=snapshot.pk),
            full=full,
            generated=generated,
            now=self.now,
        )
        if not full:
            release_accounts(server=server, snapshot_id=snapshot.pk, linked=linked)
        licensing_staging.link_accounts(snapshot_id=snapshot.pk, virtual_accounts=linked.virtual_accounts)
        outcome = apply_snapshot(
            actor=actor_of_server(server),
            snapshot=snapshot,
            full=full,
            generated=generated,
            on_change=changes.add,
            now=self.now,
        )
        for each in outcome.marked:
            changes.add_marked(each)
        hold_unlinked(server=server, snapshot_id=snapshot.pk, linked=linked, full=full, now=self.now)
        self.conversions = convert_kept(server=server, exchange=self.exchange, now=self.now)
        difference = describe_difference(outcome=outcome, linked=linked, full=full, now=self.now)
        difference["conversions"] = describe_conversions(self.conversions)
        marked = [
            (each.external_id, each.udi_pid, each.udi_serial_number, MarkReason(each.reason)) for each in outcome.marked
        ]
        return difference, marked

    def _finish(
        self,
        server: OnPremServer,
        batch: Batch,
        difference: dict[str, object],
        marked: list[tuple[str, str, str, MarkReason]],
    ) -> None:
        exchange, header, now = self.exchange, self.header, self.now
        certificates.store_batch(batch, server=server, now=now)
        exchange.last_sync = exports.next_last_sync(server, now)
        server.last_sync, server.last_sync_at = exchange.last_sync, now
        server.last_generated_at, server.ssms_version = header.last_generated_at, header.ssms_version
        server.overdue_told_at = server.deadline_told_at = None
        server.save(
            update_fields=[
                "last_sync",
                "last_sync_at",
                "last_generated_at",
                "ssms_version",
                "overdue_told_at",
                "deadline_told_at",
            ]
        )
        converted = list_results(server=server, locales=self.conversions, full=header.is_full)
        reports = take_usage_reports(exchange=exchange, server=server, now=now)
        exports.write_response(
            exchange=exchange,
            server=server,
            header=header,
            marked=marked,
            conversions=converted,
            usage_reports=reports,
            now=now,
        )
        drop_staged(exchange, keep_requests=True)
        mine = Exchange.objects.filter(pk=exchange.pk, worker=self.keeper.worker, state=ExchangeState.APPLYING)
        done = mine.update(
            state=ExchangeState.APPLIED,
            is_full=header.is_full,
            last_sync=exchange.last_sync,
            generated_at=header.last_generated_at,
            response_size=exchange.response_size,
            difference=difference,
            finished_at=self.keeper.moment(),
            worker="",
            held_until=None,
        )
        if done != 1:
            raise Interrupted
        record(actor_of_server(server), server, "onprem.synchronized", _summary(difference), now)
        tell(server, NoticeKind.SYNCHRONIZED, now)

    def _keep_comparison(self, difference: dict[str, object], changes: ChangeList) -> None:
        with transaction.atomic():
            mine = Exchange.objects.filter(pk=self.exchange.pk, worker=self.keeper.worker)
            kept = mine.filter(state=ExchangeState.APPLYING).update(
                state=ExchangeState.COMPARED,
                is_full=self.header.is_full,
                generated_at=self.header.last_generated_at,
                difference=difference,
                finished_at=self.keeper.moment(),
                worker="",
                held_until=None,
            )
            if kept != 1:
                raise Interrupted
            drop_staged(self.exchange)
            changes.store(self.exchange)


def _find_same(server: OnPremServer, upload: Upload, in_background: bool) -> Exchange | None:
    """The exchange of the very same bytes: applied, or still being worked on in the background."""
    same = Exchange.objects.filter(server=server, digest=upload.plain.digest, is_dry_run=False)
    same = same.filter(created_at__gte=server.registered_at, files_deleted_at__isnull=True)
    found = same.filter(state=ExchangeState.APPLIED, kind=ExchangeKind.SYNCHRONIZATION).first()
    return found or (same.open().order_by("pk").first() if in_background else None)


def _open(
    actor: Actor, server: OnPremServer, upload: Upload, dry_run: bool, keeper: Keeper | None, now: datetime
) -> Exchange:
    with transaction.atomic():
        exchange = Exchange.objects.create(
            smart_account_id=server.smart_account_id,
            virtual_account_id=server.virtual_account_id,
            server=server,
            kind=ExchangeKind.SYNCHRONIZATION,
            state=ExchangeState.WAITING if keeper is None else ExchangeState.STAGING,
            is_dry_run=dry_run,
            digest=upload.plain.digest,
            size=upload.plain.size,
            content_length=upload.envelope.content_length,
            created_at=now,
            created_by_kind=actor.kind.value,
            created_by_id=actor.id,
            created_by_label="" if actor.kind is ActorKind.USER else actor.label,
            started_at=None if keeper is None else now,
            worker="" if keeper is None else keeper.worker,
            held_until=None if keeper is None else now + HOLD,
            attempts=0 if keeper is None else 1,
        )
        store_file(exchange, Side.REQUEST, read_range(upload.file, upload.plain.size))
    return exchange


def _orders(server: OnPremServer, header: Header) -> list[Order]:
    """The server's identity is renewed every time; its HTTPS certificates when it asks for them."""
    orders = [Order(CertificateKind.ID, str(server.uuid), bytes(server.lcs_key))]
    for pem, key, kind in (
        (header.tg_csr, ":tg_csr:", CertificateKind.TG_TLS),
        (header.ssms_csr, ":ssms_csr:", CertificateKind.BROWSER_TLS),
    ):
        if pem:
            csr = certificates.read_csr(pem, key, hosts=True)
            orders.append(certificates.order_tls(csr, kind, smart_account_id=server.smart_account_id, key=key))
    return orders


def _summary(difference: dict[str, object]) -> dict[str, object]:
    instances = difference["instances"]
    counts = (
        {key: value for key, value in instances.items() if isinstance(value, int)}
        if isinstance(instances, dict)
        else {}
    )
    return {**counts, "what": difference["synchronization"]}
