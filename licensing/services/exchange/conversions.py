"""Conversions of classic licenses: asked for by a product, its on-prem server, a person or a program; carried out once.

Asking writes a row with a due time. Who asked in person is answered at once; for a product a sweep carries it out, and
the product asks for the result with POLL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import DatabaseError, transaction

from accounts.models import User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.events import record_event
from cssm.common.actor import NOBODY, Actor, ActorKind
from cssm.common.errors import Invalid
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from licensing.codecs.conversion import MOST_LINES, WantedLine, digest_lines, find_twice
from licensing.codecs.conversion_reasons import Reason, explain
from licensing.models import Conversion, ConversionLine
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.exchange.converting import Verdict, convert_lines
from licensing.services.exchange.polling import Settled, settle_answers
from licensing.states.conversions import ConversionReason, ConversionSource, ConversionState

log = structlog.get_logger(__name__)

CONVERSION_TASK: Final = "licensing.carry_out_conversions"
CONVERSION_ANSWER: Final = "CONVERSION"
RETRY_AFTER: Final = timedelta(seconds=30)
MOST_RETRY: Final = timedelta(hours=1)
MOST_AT_ONCE: Final = 500
_STATUSES: Final = {ConversionState.COMPLETED: "COMPLETED", ConversionState.FAILED: "FAILED"}


@dataclass(frozen=True, slots=True)
class Product:
    """Whose licenses they are; `udi` is `PID:SN`, or the uuid of software."""

    udi: str
    udi_pid: str = ""
    udi_serial_number: str = ""
    software_tag: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the licenses go, and through which on-prem server they were asked for."""

    smart_account_id: int
    virtual_account_id: int
    origin_id: int | None = None


def convert_licenses(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    product: Product,
    lines: Sequence[WantedLine],
    source: ConversionSource,
    at_once: bool = True,
    now: datetime,
) -> Conversion:
    """Ask for it and carry it out (or let the sweep do so); the same lines again give the conversion of before.

    Raises `Invalid` for lines that make no conversion, `NotFound` or `Forbidden` for the Virtual Account. That it was
    refused is no error: its state and reason say so.
    """
    place = Place(virtual_account.smart_account_id, virtual_account.pk)
    actor.require(
        Permission.MANAGE_ASSETS, smart_account_id=place.smart_account_id, virtual_account_id=virtual_account.pk
    )
    check_lines(lines)
    earlier = find_standing(smart_account_id=place.smart_account_id, udi=product.udi, lines=lines)
    if earlier is None:
        earlier = begin_conversion(actor=actor, place=place, product=product, lines=lines, source=source, now=now)
    if at_once and earlier.state == ConversionState.WAITING:
        pk = earlier.pk
        retry_transient(lambda: carry_out(conversion_ids=[pk], now=now))
        earlier.refresh_from_db()
    return earlier


def check_lines(lines: Sequence[WantedLine]) -> None:
    """Raises `Invalid` where there are none or too many, or where one stands twice."""
    if not 1 <= len(lines) <= MOST_LINES:
        raise wrong_lines("lines", most=MOST_LINES, count=len(lines))
    if (twice := find_twice(lines)) is not None:
        raise wrong_lines("twice", line=twice + 1, tag=lines[twice].tag)
    if nothing := next((number for number, line in enumerate(lines, start=1) if line.quantity < 1), None):
        raise wrong_lines("count", line=nothing)


def wrong_lines(key: str, **values: Any) -> Invalid:
    """What is wrong with lines, before anything is written down; `details["reasons"]` is for other languages."""
    reasons = [[key, values]]
    code = ConversionReason.LINES_INVALID.value
    return Invalid(explain(reasons), code=code, where="conversionLines", details={"reasons": reasons})


def find_standing(*, smart_account_id: int, udi: str, lines: Sequence[WantedLine]) -> Conversion | None:
    """The conversion of exactly these lines of the product that waits or was done, if there is one."""
    same = Conversion.objects.standing().filter(smart_account=smart_account_id, udi=udi)
    return same.filter(content_digest=digest_lines(lines)).order_by("-pk").first()


def begin_conversion(
    *,
    actor: Actor,
    place: Place,
    product: Product,
    lines: Sequence[WantedLine],
    source: ConversionSource,
    now: datetime,
) -> Conversion:
    """Write down that it is to be carried out. Of several that ask for the same at once, all get the one that waits."""
    with transaction.atomic():
        conversion, created = Conversion.objects.get_or_create(
            smart_account_id=place.smart_account_id,
            udi=product.udi,
            content_digest=digest_lines(lines),
            state=ConversionState.WAITING,
            defaults=_describe_request(actor, place, product, source, now),
        )
        if created:
            known = licenses_by_tag({line.tag for line in lines})
            ConversionLine.objects.bulk_create(
                ConversionLine(
                    conversion=conversion,
                    number=number,
                    kind=line.kind,
                    tag=line.tag,
                    quantity=line.quantity,
                    key=line.key,
                    license=known.get(line.tag),
                )
                for number, line in enumerate(lines, start=1)
            )
            nudge(CONVERSION_TASK)
    return conversion


def refuse_conversion(
    *,
    actor: Actor,
    place: Place,
    product: Product,
    code: str,
    reasons: Sequence[Reason],
    source: ConversionSource,
    now: datetime,
) -> Conversion:
    """Write down a request whose lines make no conversion, so that whoever sent it can be told why."""
    with transaction.atomic():
        row = Conversion.objects.create(
            smart_account_id=place.smart_account_id,
            udi=product.udi,
            content_digest=digest_lines([]),
            state=ConversionState.FAILED,
            reason_code=code,
            reason=explain(reasons),
            reasons=list(reasons),
            finished_at=now,
            **_describe_request(actor, place, product, source, now),
        )
        _record(actor, row, Verdict(code=code), now)
    return row


def carry_out(*, conversion_ids: Sequence[int], now: datetime) -> list[Conversion]:
    """Carry out those that still wait, in one transaction; returns them as they are then."""
    with transaction.atomic():
        waiting = Conversion.objects.waiting().select_for_update(of=("self",)).filter(pk__in=conversion_ids)
        rows = list(waiting.order_by("pk"))
        actors = {row.pk: _actor_of(row) for row in rows}
        for row, verdict in zip(rows, convert_lines(actors=actors, conversions=rows, now=now), strict=True):
            _finish(actors[row.pk], row, verdict, now)
    return rows


def carry_out_due(*, now: datetime, limit: int = MOST_AT_ONCE) -> int:
    """Carry out every conversion that is due, each by itself; returns how many. One that fails is tried again later."""
    done = 0
    for pk in list(Conversion.objects.due_at(now).values_list("pk", flat=True)[:limit]):
        try:
            done += len(_carry_out_one(pk, now))
        except DatabaseError:
            log.exception("conversion_not_carried_out", conversion=pk)
            _put_off(pk, now)
    return done


def describe_result(conversion: Conversion) -> dict[str, Any]:
    """The data of the answer to a CONVERSION that is over."""
    status = _STATUSES[ConversionState(conversion.state)]
    return {"conversion_status": status, "status_message": conversion.reason}


def _describe_request(
    actor: Actor, place: Place, product: Product, source: ConversionSource, now: datetime
) -> dict[str, Any]:
    return {
        "virtual_account_id": place.virtual_account_id,
        "origin_id": place.origin_id,
        "source": source,
        "udi_pid": product.udi_pid,
        "udi_serial_number": product.udi_serial_number,
        "software_tag": product.software_tag,
        "due_at": now,
        "requested_at": now,
        "requested_by_kind": actor.kind.value,
        "requested_by_id": actor.id,
        # A person's name is personal: it stands in the event, where it can be erased.
        "requested_by_label": "" if actor.kind is ActorKind.USER else actor.label[:200],
    }


def _carry_out_one(pk: int, now: datetime) -> list[Conversion]:
    return retry_transient(lambda: carry_out(conversion_ids=[pk], now=now))


def _put_off(pk: int, now: datetime) -> None:
    with transaction.atomic():
        row = Conversion.objects.waiting().select_for_update(of=("self",)).filter(pk=pk).first()
        if row is not None:
            row.attempts = min(row.attempts + 1, 1000)
            row.due_at = now + min(RETRY_AFTER * row.attempts, MOST_RETRY)
            row.save(update_fields=["attempts", "due_at"])


def _finish(actor: Actor, row: Conversion, verdict: Verdict, now: datetime) -> None:
    row.state = ConversionState.FAILED if verdict.code else ConversionState.COMPLETED
    row.reason_code, row.reason, row.reasons = verdict.code, explain(verdict.reasons), list(verdict.reasons)
    row.record, row.finished_at = verdict.record, now
    row.save(update_fields=["state", "reason_code", "reason", "reasons", "record", "finished_at"])
    for line in verdict.fresh:
        line.is_new = True
    ConversionLine.objects.bulk_update(verdict.fresh, ["license", "is_new"])
    settled = Settled(describe_result(row))
    settle_answers(kind=CONVERSION_ANSWER, subject=str(row.pk), settled=settled, now=now)
    if verdict.code or verdict.fresh:
        _record(actor, row, verdict, now)


def _record(actor: Actor, row: Conversion, verdict: Verdict, now: datetime) -> None:
    lines = [
        {"license": line.license.display_name, "tag": line.tag, "quantity": line.quantity}
        for line in verdict.fresh
        if line.license is not None
    ]
    summary = ", ".join(f"{line['quantity']} {line['license']}" for line in lines[:20])
    record_event(
        actor=actor,
        name="conversion.refused" if verdict.code else "licenses.converted",
        smart_account=row.smart_account_id,
        virtual_account=row.virtual_account_id,
        subject_type="conversion",
        subject_id=row.pk,
        data={"udi": row.udi, "reason": row.reason}
        if verdict.code
        else {"udi": row.udi, "summary": summary, "lines": lines},
        now=now,
    )


def _actor_of(row: Conversion) -> Actor:
    """Whoever asked, as the log is to name it; nobody's rights are asked again."""
    kind = ActorKind(row.requested_by_kind)
    if kind is ActorKind.USER:
        user = User.objects.filter(pk=row.requested_by_id).first() if row.requested_by_id.isdecimal() else None
        return NOBODY if user is None else actor_for_user(user)
    return Actor(kind=kind, id=row.requested_by_id, label=row.requested_by_label)
