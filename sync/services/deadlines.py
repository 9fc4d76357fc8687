"""Servers that fall silent: told of at 30 and 60 days without a synchronization, removed at 90 (domain: On-prem)."""

from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, transaction

from cssm.common.actor import SYSTEM
from sync.models import OnPremServer
from sync.services.servers import end_server, lock_server, tell
from sync.states import DEADLINE_NEAR_AFTER, OVERDUE_AFTER, REMOVED_AFTER, NoticeKind, ServerState

log = structlog.get_logger(__name__)

MOST: Final = 1_000


def watch_deadlines(*, now: datetime, limit: int = MOST) -> int:
    """Tell of what is overdue, remove what is silent for 90 days; returns how many servers were concerned."""
    overdue = OnPremServer.objects.silent_since(now - OVERDUE_AFTER).filter(overdue_told_at__isnull=True)
    near = OnPremServer.objects.silent_since(now - DEADLINE_NEAR_AFTER).filter(deadline_told_at__isnull=True)
    ended = OnPremServer.objects.silent_since(now - REMOVED_AFTER)
    ids = {pk for rows in (overdue, near, ended) for pk in rows.order_by("pk").values_list("pk", flat=True)[:limit]}
    done = 0
    for pk in sorted(ids):
        try:
            with transaction.atomic():
                done += _watch(lock_server(pk), now)
        except DatabaseError:
            log.exception("deadline_failed", server=pk)
    return done


def _watch(server: OnPremServer, now: datetime) -> bool:
    """The server as it is under its lock: it may have synchronized this very moment."""
    silent = now - server.heard_at
    if server.state != ServerState.REGISTERED or silent < OVERDUE_AFTER:
        return False
    if silent >= REMOVED_AFTER:
        end_server(actor=SYSTEM, server=server, event="onprem.expired", now=now)
        tell(server, NoticeKind.REMOVED, now)
        return True
    changed = False
    if server.overdue_told_at is None:
        server.overdue_told_at, changed = now, True
        tell(server, NoticeKind.OVERDUE, now)
    if silent >= DEADLINE_NEAR_AFTER and server.deadline_told_at is None:
        server.deadline_told_at, changed = now, True
        tell(server, NoticeKind.DEADLINE_NEAR, now)
    if changed:
        server.save(update_fields=["overdue_told_at", "deadline_told_at"])
    return changed
