"""`Idempotency-Key`: the same POST sent twice has one effect and one answer.

The key's row is inserted in the very transaction that holds the effect, so the two stand or fall together and a crash
leaves neither. The unique index makes a parallel second wait for the first's end: it then finds the answer, or, where
the first was rolled back, does the work itself.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from django.db import IntegrityError, OperationalError, connection, transaction

from cssm.common.errors import Conflict, Invalid
from cssm.common.models import IdempotentAnswer

KEPT_FOR: Final = timedelta(hours=24)
WAIT_SECONDS: Final = 5.0
MAX_KEY_LENGTH: Final = 255
LOCK_NOT_AVAILABLE: Final = "55P03"  # PostgreSQL's SQLSTATE when lock_timeout has passed


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer in HTTP's terms; `headers` hold what belongs to the body (Content-Type, Content-Disposition)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeated: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the same call would be answered the same again: not so for missing rights, limits and our faults."""
        return self.status < 500 and self.status not in (401, 403, 429)


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What a key is bound to. Raises `Invalid` for a key that is not 1 to 255 printable ASCII characters."""

    client: str
    path: str
    key: str
    body: bytes

    def __post_init__(self) -> None:
        if not (0 < len(self.key) <= MAX_KEY_LENGTH and self.key.isascii() and self.key.isprintable()):
            raise Invalid("Idempotency-Key must be 1 to 255 printable ASCII characters.", where="Idempotency-Key")

    @property
    def client_key(self) -> str:
        return hashlib.sha256("\x00".join((self.client, self.path, self.key)).encode()).hexdigest()

    @property
    def body_digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class AnswerBox(Protocol):
    """Encrypts what is stored, for an answer may hold a token. `context` is bound to the ciphertext."""

    def wrap(self, data: bytes, *, context: str) -> bytes: ...

    def unwrap(self, blob: bytes, *, context: str) -> bytes: ...


class _NotKept(Exception):
    """Carries an answer out of the transaction that is rolled back because of it."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__()
        self.answer = answer


def answer_once(
    call: CallIdentity, perform: Callable[[], StoredAnswer], *, box: AnswerBox, now: datetime
) -> StoredAnswer:
    """Perform the call, or give the answer it got within the last 24 hours.

    A 2xx is stored with its effect; a 4xx that would come again is stored after its effect was rolled back; 401, 403,
    429 and 5xx leave nothing. Raises `Invalid` (`IDEMPOTENCY_KEY_REUSED`) for another body under the same key,
    `Conflict` (`IDEMPOTENCY_IN_PROGRESS`) where the first is still at work after 5 seconds.
    """
    stored = _find(call, box=box, now=now)
    if stored is not None:
        return stored
    try:
        with transaction.atomic():
            row = _claim(call, now=now)
            if row is None:
                return _read(IdempotentAnswer.objects.get(client_key=call.client_key), call, box=box)
            answer = _perform(perform)
            if not answer.is_final:
                raise _NotKept(answer)
            row.answer = box.wrap(_encode(answer), context=_context(call.client_key))
            row.status_code = answer.status
            row.save(update_fields=["answer", "status_code"])
            return answer
    except _NotKept as unfinished:
        return unfinished.answer


def open_call(call: CallIdentity, *, box: AnswerBox, now: datetime) -> StoredAnswer | None:
    """The answer kept for the call; where there is none yet, its key is bound to its body from here on.

    For calls whose effect is not one transaction, and is had once by other means: the same body at once is worked on
    twice, and gets one effect. Ends in `close_call`. Not inside a transaction.
    Raises `Invalid` (`IDEMPOTENCY_KEY_REUSED`) for another body under the same key, also while the first is at work.
    """
    with transaction.atomic():
        IdempotentAnswer.objects.filter(client_key=call.client_key, expires_at__lte=now).delete()
        row = IdempotentAnswer(
            client_key=call.client_key, body_digest=call.body_digest, created_at=now, expires_at=now + KEPT_FOR
        )
        IdempotentAnswer.objects.bulk_create([row], ignore_conflicts=True)
    stands = IdempotentAnswer.objects.filter(client_key=call.client_key).first()
    if stands is not None:
        _refuse_other_body(stands, call)
    return None if stands is None or stands.answer is None else _read(stands, call, box=box)


def close_call(call: CallIdentity, answer: StoredAnswer, *, box: AnswerBox, now: datetime) -> None:
    """Keep the answer for `open_call` if it is final, else free the key. Of two at once the first is kept."""
    open_row = IdempotentAnswer.objects.filter(
        client_key=call.client_key, body_digest=call.body_digest, answer__isnull=True
    )
    with transaction.atomic():
        if not answer.is_final:
            open_row.delete()
            return
        wrapped = box.wrap(_encode(answer), context=_context(call.client_key))
        open_row.update(answer=wrapped, status_code=answer.status, expires_at=now + KEPT_FOR)


def purge_expired_answers(*, now: datetime, limit: int = 5000) -> int:
    """Delete what is older than a day; returns how many rows."""
    expired = IdempotentAnswer.objects.filter(expires_at__lte=now).order_by("expires_at").values("pk")[:limit]
    with transaction.atomic():
        return IdempotentAnswer.objects.filter(pk__in=list(expired.values_list("pk", flat=True))).delete()[0]


def _find(call: CallIdentity, *, box: AnswerBox, now: datetime) -> StoredAnswer | None:
    row = IdempotentAnswer.objects.filter(client_key=call.client_key, expires_at__gt=now).first()
    return None if row is None else _read(row, call, box=box)


def _claim(call: CallIdentity, *, now: datetime) -> IdempotentAnswer | None:
    """The row under this key, ours until the transaction ends; nothing where another's was committed meanwhile."""
    IdempotentAnswer.objects.filter(client_key=call.client_key, expires_at__lte=now).delete()
    _limit_waiting(f"{int(WAIT_SECONDS * 1000)}ms")
    try:
        with transaction.atomic():
            row = IdempotentAnswer.objects.create(
                client_key=call.client_key, body_digest=call.body_digest, created_at=now, expires_at=now + KEPT_FOR
            )
    except IntegrityError:
        row = None
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(
            "A call with this Idempotency-Key is still at work. Ask again later.", code="IDEMPOTENCY_IN_PROGRESS"
        ) from error
    _limit_waiting("DEFAULT")
    return row


def _limit_waiting(timeout: str) -> None:
    """How long PostgreSQL waits for a lock in this transaction. SQLite's one writer never waits for a key alone."""
    if connection.vendor == "postgresql":
        value = timeout if timeout == "DEFAULT" else f"'{timeout}'"
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {value}")


def _perform(perform: Callable[[], StoredAnswer]) -> StoredAnswer:
    with transaction.atomic():
        answer = perform()
        if answer.status >= 400:
            transaction.set_rollback(True)
    return answer


def _refuse_other_body(row: IdempotentAnswer, call: CallIdentity) -> None:
    if row.body_digest != call.body_digest:
        raise Invalid(
            "This Idempotency-Key was used with another body. Use a new key for a new call.",
            code="IDEMPOTENCY_KEY_REUSED",
        )


def _read(row: IdempotentAnswer, call: CallIdentity, *, box: AnswerBox) -> StoredAnswer:
    _refuse_other_body(row, call)
    head, _, body = box.unwrap(bytes(row.answer or b""), context=_context(row.client_key)).partition(b"\n")
    stored = json.loads(head)
    return StoredAnswer(status=stored["status"], headers=stored["headers"], body=body, is_repeated=True)


def _encode(answer: StoredAnswer) -> bytes:
    return json.dumps({"status": answer.status, "headers": dict(answer.headers)}).encode() + b"\n" + answer.body


def _context(client_key: str) -> str:
    return f"idempotent-answer:{client_key}"
