"""The life of a message: claimed by exactly one worker, and what came of it."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from alerts.models import Delivery, DeliveryMove
from alerts.services.relevance import reason_not_to_send
from alerts.services.texts import one_line
from alerts.states import LEGAL_MOVES, DeliveryState, OutcomeKind

log = structlog.get_logger(__name__)

# A conversation has at most eight steps of EMAIL_TIMEOUT (20 s) each, and one run of the job ends after a minute.
ABANDONED_AFTER: Final = timedelta(minutes=15)
BACKOFF: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
GIVE_UP_AFTER: Final = timedelta(hours=24)
DOUBT_RETRY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `detail` is what the mail server or the network said."""

    kind: OutcomeKind
    detail: str = ""


def make_message_id() -> str:
    return f"<{uuid.uuid4()}@{urlsplit(settings.PUBLIC_URL).hostname or 'localhost'}>"


def claim_next(*, now: datetime) -> Delivery | None:
    """Take the next due message that is still worth sending, as `sending`, committed; None when none is due.

    Messages met on the way that nobody needs any more are cancelled; of a doubtful one it stays unknown whether it
    arrived, so it only loses its retry.
    """
    while True:
        with transaction.atomic(durable=True):
            delivery = _next_due(now)
            if delivery is None:
                return None
            reason = reason_not_to_send(delivery, now=now)
            if reason is None:
                changes: dict[str, Any] = {"attempts": F("attempts") + 1, "claimed_at": now, "next_attempt_at": None}
                if _move(delivery, DeliveryState.SENDING, now, **changes):
                    delivery.attempts += 1
                    return delivery
            elif delivery.state == DeliveryState.PENDING:
                _move(delivery, DeliveryState.CANCELLED, now, reason, next_attempt_at=None, error=reason)
            else:
                Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=None)


def record_outcome(delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
    """Write down how the attempt ended. Too late a word (the attempt was given up as abandoned) is only logged."""
    detail = one_line(outcome.detail, limit=500)
    retry_at = _retry_at(delivery, now)
    fields: dict[str, Any]
    if outcome.kind is OutcomeKind.SENT:
        new, fields = DeliveryState.SENT, {"sent_at": now, "next_attempt_at": None, "error": ""}
    elif outcome.kind is OutcomeKind.UNKNOWN:
        new, fields = DeliveryState.UNKNOWN, _doubt(delivery, now)
    elif delivery.doubts:
        # The retry of a doubtful message was refused or put off, which says nothing about the first.
        retry = None if outcome.kind is OutcomeKind.REFUSED else retry_at
        new, fields = DeliveryState.UNKNOWN, {"next_attempt_at": retry}
    elif outcome.kind is OutcomeKind.REFUSED or retry_at is None:
        new, fields = DeliveryState.FAILED, {"next_attempt_at": None}
    else:
        new, fields = DeliveryState.PENDING, {"next_attempt_at": retry_at}
    with transaction.atomic(durable=True):
        if not _move(delivery, new, now, detail, **{"error": detail, **fields}):
            log.warning("delivery_outcome_too_late", delivery=delivery.pk, outcome=outcome.kind.value)


def doubt_abandoned(*, now: datetime) -> int:
    """Messages whose worker died in the conversation may or may not have arrived: `unknown`, retried once."""
    with transaction.atomic(durable=True):
        abandoned = Delivery.objects.abandoned(now - ABANDONED_AFTER).select_for_update(skip_locked=True)
        reason = "The worker stopped in the conversation."
        return sum(
            _move(delivery, DeliveryState.UNKNOWN, now, reason, **{"error": reason, **_doubt(delivery, now)})
            for delivery in abandoned
        )


def _doubt(delivery: Delivery, now: datetime) -> dict[str, Any]:
    retry = now + DOUBT_RETRY if delivery.doubts == 0 else None
    return {"doubts": delivery.doubts + 1, "next_attempt_at": retry}


def _retry_at(delivery: Delivery, now: datetime) -> datetime | None:
    retry_at = now + BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1]
    return retry_at if retry_at <= delivery.created_at + GIVE_UP_AFTER else None


def _next_due(now: datetime) -> Delivery | None:
    due = Delivery.objects.due(now).select_related("user", "alert__smart_account", "alert__virtual_account")
    return due.select_for_update(skip_locked=True, of=("self",)).first()


def _move(delivery: Delivery, new: DeliveryState, now: datetime, reason: str = "", **fields: Any) -> bool:
    """Change the state if nobody else has since it was read; writes the row that tells of it."""
    old = DeliveryState(delivery.state)
    if new not in LEGAL_MOVES[old]:
        raise ValueError(f"A delivery does not go from {old} to {new}.")
    if Delivery.objects.filter(pk=delivery.pk, state=old, attempts=delivery.attempts).update(state=new, **fields) != 1:
        return False
    DeliveryMove.objects.create(delivery=delivery, old=old, new=new, at=now, reason=reason)
    delivery.state = new
    return True
