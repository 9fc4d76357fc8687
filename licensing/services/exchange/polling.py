"""Answers that come later: kept as rows under a number, and asked for with POLL.

Whoever takes a request that cannot be answered at once opens an answer in the transaction that takes it, and whoever
finishes the work settles it in the transaction that finishes it. An answer is kept for 90 days and can be asked for
any number of times, so that losing one on the way costs one more POLL.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from licensing.codecs.device_answer import AnswerStatus, Echo
from licensing.codecs.device_message import Request
from licensing.codecs.polling import parse_poll
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import PendingAnswer
from licensing.services.devices.answers import compose_success
from licensing.services.devices.sessions import Session, accept_message
from pki.services import vault

POLL_INTERVAL: Final = timedelta(seconds=30)
KEPT_FOR: Final = timedelta(days=90)
MOST_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Settled:
    """What was pending: the data of the answer, or with a `code` why there is none."""

    data: Mapping[str, Any]
    code: str = ""
    message: str = ""


def owner_of_instance(piid: str) -> str:
    return f"instance:{piid}"


def make_poll_id() -> int:
    """63 random bits, and not 0: a number that was given to somebody else is not guessed."""
    return secrets.randbits(63) or 1


def open_answer(*, poll_id: int, owner: str, kind: str, subject: str, now: datetime) -> PendingAnswer:
    """The answer is awaited, in the caller's transaction. `IntegrityError` where this owner awaits it already."""
    return PendingAnswer.objects.create(poll_id=poll_id, owner=owner, kind=kind, subject=subject, created_at=now)


def find_open(*, owner: str, kind: str, subject: str) -> int | None:
    """The number under which this owner asks for it already."""
    found = PendingAnswer.objects.filter(owner=owner, kind=kind, subject=subject)
    return found.values_list("poll_id", flat=True).first()


def settle_answers(*, kind: str, subject: str, settled: Settled, now: datetime) -> int:
    """Answer everyone who asks for it, in the transaction that finished it; returns how many."""
    waiting = list(PendingAnswer.objects.open().filter(kind=kind, subject=subject))
    content = json.dumps([dict(settled.data), settled.code, settled.message]).encode()
    for row in waiting:
        row.answer, row.answered_at = vault.wrap(content, context=_context(row)), now
        row.save(update_fields=["answer", "answered_at"])
    return len(waiting)


def read_answer(*, owner: str, poll_id: int) -> Settled | None:
    """What was pending, or None while it still is. Raises `Refusal` (POLL_UNKNOWN) to everyone but its owner."""
    row = PendingAnswer.objects.filter(poll_id=poll_id, owner=owner).first()
    if row is None:
        message = "There is nothing to ask for under this poll_id: it was given to another product, or is too old."
        raise Refusal(RefusalCode.POLL_UNKNOWN, message, where="$.data.poll_id")
    if row.answer is None:
        return None
    data, code, text = json.loads(vault.unwrap(bytes(row.answer), context=_context(row)))
    return Settled(data, code, text)


def describe_pending(poll_id: int) -> dict[str, Any]:
    """The data of an answer with status OK_POLL."""
    return {"poll_id": poll_id, "poll_interval": int(POLL_INTERVAL.total_seconds())}


def answer_poll(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """POLL: what was pending, or OK_POLL. Raises `Refusal`: POLL_UNKNOWN, or what the work ended with."""
    poll_id = parse_poll(request.data)
    settled = read_answer(owner=owner_of_instance(session.piid), poll_id=poll_id)
    if settled is not None and settled.code:
        raise Refusal(RefusalCode(settled.code), settled.message, data=settled.data)
    answer = compose_success(
        signer=session.signer,
        echo=Echo.of(request.header),
        data=describe_pending(poll_id) if settled is None else settled.data,
        status=AnswerStatus.OK_POLL if settled is None else AnswerStatus.OK,
        now=now,
    )
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
    return answer


def forget_answers(*, now: datetime, limit: int = MOST_AT_ONCE) -> int:
    """Delete the answers of 90 days ago; returns how many."""
    old = PendingAnswer.objects.filter(answered_at__lte=now - KEPT_FOR).order_by("answered_at")
    ids = list(old.values_list("pk", flat=True)[:limit])
    with transaction.atomic():
        PendingAnswer.objects.filter(pk__in=ids).delete()
    return len(ids)


def _context(row: PendingAnswer) -> str:
    return f"pending-answer:{row.poll_id}"
