"""Exchanges worked on in the background: taken one by one, oldest first, one per server at a time.

A worker holds what it works on for some minutes at a time. Where it died, the next one begins the exchange anew:
nothing of it was applied, for that is one transaction.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q

from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from licensing.models import Snapshot
from licensing.services.devices.staging import discard_snapshot
from sync.errors import problems_of
from sync.models import Exchange, ExchangePart, KeptRequest, OnPremServer
from sync.models.exchanges import FILES_KEPT_FOR
from sync.services.imports import HOLD, WORK_TASK, AppliedMeanwhile, Interrupted, Keeper, process_exchange
from sync.services.servers import require
from sync.services.staging import drop_staged
from sync.states import OPEN_STATES, ExchangeState

log = structlog.get_logger(__name__)

MOST_ATTEMPTS: Final = 5
ORPHANED_AFTER: Final = timedelta(hours=6)
_AT_ONCE: Final = 50


def work_exchanges(*, now: datetime, limit: int = _AT_ONCE) -> int:
    """Work on what is waiting, until nothing is; returns how many exchanges were finished."""
    done, passed = 0, set[int]()
    while done < limit and (claimed := _claim(now, passed)) is not None:
        exchange, keeper = claimed
        passed.add(exchange.pk)
        done += _work(exchange, keeper, now)
    if done >= limit:
        nudge(WORK_TASK)
    return done


def cancel_exchange(*, actor: Actor, exchange: Exchange, now: datetime) -> Exchange:
    """Give up an exchange that is not being applied yet. Raises `Conflict` (TOO_LATE), `NotFound`, `Forbidden`."""
    require(actor, exchange.server, Permission.MANAGE_ASSETS)
    with transaction.atomic():
        row = Exchange.objects.select_for_update().get(pk=exchange.pk)
        if row.state == ExchangeState.CANCELLED:
            return row
        if row.state not in {ExchangeState.WAITING, ExchangeState.STAGING}:
            raise Conflict("It is too late to cancel: the file is being applied, or was.", code="TOO_LATE")
        row.cancel_requested_at = now
        if row.state == ExchangeState.WAITING:
            _close(row, ExchangeState.CANCELLED, now)
        row.save()
    return row


def delete_old_files(*, now: datetime, limit: int = 500) -> int:
    """Delete the files of exchanges after 90 days, and what died workers left; returns how many."""
    old = Exchange.objects.filter(created_at__lte=now - FILES_KEPT_FOR, files_deleted_at__isnull=True)
    ids = list(old.exclude(state__in=OPEN_STATES).order_by("pk").values_list("pk", flat=True)[:limit])
    with transaction.atomic():
        ExchangePart.objects.filter(exchange__in=ids).delete()
        Exchange.objects.filter(pk__in=ids).update(files_deleted_at=now)
    used = Exchange.objects.filter(snapshot=OuterRef("pk"))
    held = OnPremServer.objects.filter(held=OuterRef("pk"))
    orphans = Snapshot.objects.filter(created_at__lte=now - ORPHANED_AFTER).exclude(Exists(used)).exclude(Exists(held))
    for snapshot_id in list(orphans.values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            discard_snapshot(snapshot_id=snapshot_id)
    return len(ids)


def _claim(now: datetime, passed: set[int]) -> tuple[Exchange, Keeper] | None:
    """The oldest exchange nobody holds, of a server none of whose earlier exchanges is open."""
    earlier = Exchange.objects.filter(server=OuterRef("server"), pk__lt=OuterRef("pk"), state__in=OPEN_STATES)
    free = Exchange.objects.open().filter(Q(held_until__isnull=True) | Q(held_until__lte=now))
    candidates = free.exclude(pk__in=passed).exclude(Exists(earlier)).order_by("pk")
    for exchange in candidates[:_AT_ONCE]:
        keeper = Keeper(exchange.pk, now)
        with transaction.atomic():
            same = Exchange.objects.filter(pk=exchange.pk, worker=exchange.worker, held_until=exchange.held_until)
            taken = same.filter(state__in=OPEN_STATES).update(
                worker=keeper.worker,
                held_until=now + HOLD,
                state=ExchangeState.STAGING,
                attempts=exchange.attempts + 1,
                started_at=now,
                bytes_read=0,
                rows_staged=0,
            )
        if taken:
            exchange.refresh_from_db()
            return exchange, keeper
    return None


def _work(exchange: Exchange, keeper: Keeper, now: datetime) -> int:
    try:
        if exchange.cancel_requested_at is not None:
            raise Interrupted
        process_exchange(exchange=exchange, keeper=keeper, now=now)
    except Interrupted:
        return _end(exchange, keeper, ExchangeState.CANCELLED, only_cancelled=True)
    except DomainError as refusal:
        return _end(exchange, keeper, ExchangeState.REFUSED, errors=problems_of(refusal))
    except AppliedMeanwhile as applied:
        return _end(exchange, keeper, ExchangeState.REFUSED, errors=[applied.describe().as_row()])
    except DatabaseError:
        log.exception("exchange_interrupted", exchange=exchange.pk)
        return _try_again(exchange, keeper)
    except Exception:
        log.exception("exchange_failed", exchange=exchange.pk)
        return _try_again(exchange, keeper)
    return 1


def _try_again(exchange: Exchange, keeper: Keeper) -> int:
    """In a while; for good only after several attempts."""
    if exchange.attempts >= MOST_ATTEMPTS:
        message = "The file could not be worked on because of a fault here. Nothing was changed. Tell the operator."
        rows = [{"line": 0, "key": "", "code": "INTERNAL", "message": message}]
        return _end(exchange, keeper, ExchangeState.FAILED, errors=rows)
    keeper.give_back()
    return 0


def _end(
    exchange: Exchange,
    keeper: Keeper,
    state: ExchangeState,
    *,
    errors: list[dict[str, object]] | None = None,
    only_cancelled: bool = False,
) -> int:
    with transaction.atomic():
        row = Exchange.objects.select_for_update().filter(pk=exchange.pk, worker=keeper.worker).first()
        if row is None or row.state not in OPEN_STATES or (only_cancelled and row.cancel_requested_at is None):
            return 0
        row.errors = errors or []
        _close(row, state, keeper.moment())
        row.save()
        KeptRequest.objects.filter(exchange=row).delete()
    return 1


def _close(row: Exchange, state: ExchangeState, now: datetime) -> None:
    drop_staged(row)
    row.state, row.finished_at, row.worker, row.held_until = state, now, "", None
