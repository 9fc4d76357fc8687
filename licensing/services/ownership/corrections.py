"""What the operator does to what is owned besides delivering: ending licenses early, and setting wrong records right.

Nothing is rewritten: a termination and a correction are records of their own, with a reason.
"""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Invalid
from cssm.common.permissions import Permission
from licensing.models import License, OwnershipRecord, Pool, PurchaseLine
from licensing.services.ownership.drawing import Draw, draw
from licensing.services.ownership.records import find_record, write_record
from licensing.services.ownership.transfers import MOST_QUANTITY, allocate
from licensing.services.pools.fold import fold_unit
from licensing.services.pools.timeline import read_outlook
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.states import LicenseType, LineSource, Precedence, RecordKind, TransitionCause


def terminate_licenses(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    license: License,
    quantity: int,
    license_type: LicenseType | None = None,
    precedence: Precedence = Precedence.LONGEST_TERM_FIRST,
    reason: str,
    key: str = "",
    now: datetime,
) -> OwnershipRecord:
    """End licenses before their term, at once. Takes only what is free, as any using up.

    Raises `Forbidden` unless the actor is an operator, `Invalid` for quantity or reason, `Conflict` as `draw` does.
    """

    def write(record: OwnershipRecord, pool: Pool) -> None:
        draws = draw(
            pool=pool,
            outlook=read_outlook(unit_id=pool.unit_id, now=now),
            quantity=quantity,
            license_type=license_type,
            precedence=precedence,
            now=now,
        )
        allocate(record, [(each, None) for each in draws], now)

    _check(actor, quantity, reason)
    digest = f"{virtual_account.pk}:{license.pk}:{quantity}:{license_type}:{precedence}"
    return _change(actor, virtual_account, license, -quantity, RecordKind.TERMINATION, write, reason, key, digest, now)


def correct_line(
    *, actor: Actor, line: PurchaseLine, quantity: int, reason: str, key: str = "", now: datetime
) -> OwnershipRecord:
    """Take `quantity` (negative) off a line, or add it in a line of the same terms, because the record was wrong.

    A correction may leave the pool short: what never was there cannot be used. Raises `Forbidden` unless the actor is
    an operator, `Invalid` for quantity or reason, `Conflict` (LINE_HOLDS_LESS) where the line has not so much left.
    """

    def write(record: OwnershipRecord, pool: Pool) -> None:
        current = PurchaseLine.objects.with_remaining().get(pk=line.pk)
        if quantity < 0:
            if current.remaining < -quantity:
                raise Conflict(
                    f"The line has only {current.remaining} left; what was transferred must be corrected where it is.",
                    code="LINE_HOLDS_LESS",
                    where="quantity",
                    details={"asked": -quantity, "free": current.remaining},
                )
            allocate(record, [(Draw(current, -quantity), None)], now)
            return
        PurchaseLine.objects.create(
            smart_account_id=current.smart_account_id,
            virtual_account_id=current.virtual_account_id,
            license_id=current.license_id,
            order_id=current.order_id,
            record=record,
            quantity=quantity,
            license_type=current.license_type,
            start=current.start,
            end=current.end,
            subscription_id=current.subscription_id,
            source=LineSource.CORRECTION,
            created_at=now,
        )

    _check(actor, abs(quantity), reason)
    digest = f"{line.pk}:{quantity}"
    account, license = line.virtual_account, line.license
    return _change(actor, account, license, quantity, RecordKind.CORRECTION, write, reason, key, digest, now)


def _check(actor: Actor, quantity: int, reason: str) -> None:
    actor.require(Permission.OPERATE)
    if isinstance(quantity, bool) or not 1 <= quantity <= MOST_QUANTITY:
        raise Invalid("A quantity is a whole number other than 0.", code="OUT_OF_RANGE", where="quantity")
    if not 1 <= len(reason.strip()) <= 500:
        raise Invalid("Say why, in 1 to 500 characters: it stays in the record.", code="REASON_MISSING", where="reason")


def _change(
    actor: Actor,
    virtual_account: VirtualAccount,
    license: License,
    growth: int,
    kind: RecordKind,
    write: Callable[[OwnershipRecord, Pool], None],
    reason: str,
    key: str,
    digest: str,
    now: datetime,
) -> OwnershipRecord:
    """Lock and fold the unit, write the record and what hangs on it, fold again, note the event."""
    place = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
    cause = TransitionCause.TERMINATION if kind is RecordKind.TERMINATION else TransitionCause.CORRECTION
    with transaction.atomic():
        (made,) = ensure_pools(licenses=[license], **place).values()
        (pool,) = lock_pools([made.pk])
        if key and (
            earlier := find_record(smart_account_id=virtual_account.smart_account_id, key=key, content_digest=digest)
        ):
            return earlier
        fold_unit(unit_id=pool.unit_id, now=now)
        record = write_record(
            actor=actor, kind=kind, key=key, content_digest=digest, reason=reason.strip(), now=now, **place
        )
        write(record, pool)
        fold_unit(unit_id=pool.unit_id, now=now, cause=cause, recompute=True)
        record_event(
            actor=actor,
            name=f"licenses.{'terminated' if kind is RecordKind.TERMINATION else 'corrected'}",
            smart_account=virtual_account.smart_account_id,
            virtual_account=virtual_account.pk,
            subject_type="ownership_record",
            subject_id=record.pk,
            data={
                "license": license.display_name,
                "tag": license.tag,
                "quantity": abs(growth),
                "change": f"{growth:+d}",
                "reason": reason.strip(),
                "record": record.pk,
            },
            now=now,
        )
    return record
