"""Transferring licenses between Virtual Accounts of one Smart Account: all of a request, or nothing.

Type, dates and subscription stay: what arrives are child lines of the lines it was taken from, so every unit can be
followed back to its order (domain: Transfers).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError, Invalid, NotFound
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from cssm.common.sealing import canonical
from licensing.models import Allocation, License, OwnershipRecord, Pool, PurchaseLine
from licensing.services.ownership.drawing import Draw, draw, find_lines
from licensing.services.ownership.records import find_record, write_record
from licensing.services.pools.fold import fold_units
from licensing.services.pools.outlooks import read_outlooks
from licensing.services.pools.timeline import Outlook
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.states import LicenseType, LineSource, Precedence, RecordKind, TransitionCause

MOST_LINES: Final = 998
MOST_QUANTITY: Final = 10**12
_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class TransferLine:
    """So much of a license for `target`; `number` is what errors call the line (from 1)."""

    license: License
    quantity: int
    target: VirtualAccount
    license_type: LicenseType | None = None
    precedence: Precedence = Precedence.LONGEST_TERM_FIRST
    number: int = 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "license": self.license.tag,
            "quantity": self.quantity,
            "target": self.target.pk,
            "type": None if self.license_type is None else self.license_type.value,
            "precedence": self.precedence.value,
        }


Plan = list[tuple[TransferLine, list[Draw]]]


def transfer_licenses(
    *, actor: Actor, source: VirtualAccount, lines: Sequence[TransferLine], key: str = "", now: datetime
) -> OwnershipRecord:
    """Move licenses out of `source`; returns the record, also of an earlier request with the same `key`.

    The actor needs MANAGE_ASSETS on the source and on each target, else `Forbidden`, or `NotFound` for what is not the
    actor's to know. Raises `Invalid` (TRANSFER_INVALID) for lines that make no sense, `Conflict` (TRANSFER_REFUSED)
    where the present state does not allow them, both with `details["errors"] = [{line, field, code, message}]`; a
    request of one line carries that line's own code. Nothing is changed then.
    """
    check_lines(actor=actor, source=source, lines=lines)
    digest = hashlib.sha256(canonical({"source": source.pk, "lines": [line.as_dict() for line in lines]})).hexdigest()
    if key and (earlier := find_record(smart_account_id=source.smart_account_id, key=key, content_digest=digest)):
        return earlier
    return retry_transient(lambda: _transfer(actor, source, lines, key, digest, now))


def check_lines(*, actor: Actor, source: VirtualAccount, lines: Sequence[TransferLine]) -> None:
    """What can be told without looking at any figure. Raises `Invalid`, `NotFound`, `Forbidden`."""
    _require(actor, source)
    if not 1 <= len(lines) <= MOST_LINES:
        raise Invalid(
            f"A transfer has 1 to {MOST_LINES} lines; these are {len(lines)}. Split it.",
            code="TOO_MANY_LINES" if lines else "NOTHING_TO_TRANSFER",
            where="licenses",
        )
    errors = []
    for line in lines:
        if line.target.smart_account_id != source.smart_account_id:
            raise NotFound("There is no such Virtual Account.", where="targetVirtualAccount")
        _require(actor, line.target)
        if isinstance(line.quantity, bool) or not 1 <= line.quantity <= MOST_QUANTITY:
            errors.append(_error(line, "quantity", "OUT_OF_RANGE", "A quantity is a whole number of 1 or more."))
        elif line.target.pk == source.pk:
            errors.append(
                _error(
                    line, "targetVirtualAccount", "SAME_ACCOUNT", "The licenses are in this Virtual Account already."
                )
            )
    if errors:
        raise refusal(Invalid, "TRANSFER_INVALID", errors)


def make_plan(
    lines: Sequence[TransferLine], pools: Mapping[int, Pool], outlooks: Mapping[int, Outlook], now: datetime
) -> Plan:
    """Which lines are drawn on for each line of the request; `pools` of the source by license id.

    Raises `Conflict` (TRANSFER_REFUSED, or the code of the only line).
    """
    plan: Plan = []
    errors = []
    drawn: dict[int, list[Draw]] = {}
    owned = find_lines(pools.values())
    for line in lines:
        before = drawn.setdefault(line.license.pk, [])
        pool = pools.get(line.license.pk)
        if pool is None:
            errors.append(_error(line, "quantity", "NOT_ENOUGH_FREE", f"There is no {line.license.display_name} here."))
            continue
        try:
            draws = draw(
                pool=pool,
                outlook=outlooks[pool.unit_id],
                quantity=line.quantity,
                license_type=line.license_type,
                precedence=line.precedence,
                drawn=before,
                owned=owned[line.license.pk],
                now=now,
            )
        except Conflict as conflict:
            errors.append({**_error(line, "quantity", conflict.code, conflict.message), **conflict.details})
            continue
        before.extend(draws)
        plan.append((line, draws))
    if errors:
        raise refusal(Conflict, "TRANSFER_REFUSED", errors)
    return plan


def refusal(kind: type[DomainError], code: str, errors: Sequence[Mapping[str, Any]]) -> DomainError:
    """One error for all lines that are wrong; for a single one, that error itself."""
    first = errors[0]
    if len(errors) == 1:
        code, message = first["code"], first["message"]
    else:
        message = f"{len(errors)} lines cannot be transferred, so none was; the first is line {first['line']}: "
        message += first["message"]
    where = f"licenses[{first['line'] - 1}].{first['field']}"
    return kind(message, code=code, where=where, details={"errors": [dict(error) for error in errors]})


def _error(line: TransferLine, field: str, code: str, message: str) -> dict[str, Any]:
    return {"line": line.number, "field": field, "code": code, "message": message}


def _transfer(
    actor: Actor, source: VirtualAccount, lines: Sequence[TransferLine], key: str, digest: str, now: datetime
) -> OwnershipRecord:
    with transaction.atomic():
        _lock_accounts({source.pk, *(line.target.pk for line in lines)})
        # A double click comes here twice: the second one waits above, and finds the record of the first.
        if key and (earlier := find_record(smart_account_id=source.smart_account_id, key=key, content_digest=digest)):
            return earlier
        units, pools = _lock_pools(source, lines, now)
        plan = make_plan(lines, pools, read_outlooks(unit_ids={pool.unit_id for pool in pools.values()}, now=now), now)
        record = write_record(
            actor=actor,
            kind=RecordKind.TRANSFER,
            smart_account_id=source.smart_account_id,
            virtual_account_id=source.pk,
            key=key,
            content_digest=digest,
            now=now,
        )
        _write(record, plan, now)
        fold_units(unit_ids=units, now=now, cause=TransitionCause.TRANSFER, recompute=True)
        _record_events(actor, record, source, plan, now)
    return record


def _require(actor: Actor, virtual_account: VirtualAccount) -> None:
    actor.require(
        Permission.MANAGE_ASSETS,
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
    )


def _lock_accounts(ids: set[int]) -> None:
    """Deleting a Virtual Account locks its row, so it either sees what arrives or is seen."""
    live = VirtualAccount.objects.select_for_update(no_key=True).live().filter(pk__in=ids).order_by("pk")
    if len(live.values_list("pk")) != len(ids):
        raise NotFound("There is no such Virtual Account.", where="targetVirtualAccount")


def _lock_pools(
    source: VirtualAccount, lines: Sequence[TransferLine], now: datetime
) -> tuple[list[int], dict[int, Pool]]:
    """All units concerned, locked once in order and folded; and the pools of the source by license id."""
    wanted: dict[int, dict[int, License]] = {}
    for line in lines:
        for account_id in (source.pk, line.target.pk):
            wanted.setdefault(account_id, {})[line.license.pk] = line.license
    made = {
        account_id: ensure_pools(
            smart_account_id=source.smart_account_id, virtual_account_id=account_id, licenses=licenses.values()
        )
        for account_id, licenses in sorted(wanted.items())
    }
    locked = lock_pools(pool.pk for pools in made.values() for pool in pools.values())
    units = sorted({pool.unit_id for pool in locked})
    fold_units(unit_ids=units, now=now)
    return units, {pool.license_id: pool for pool in locked if pool.virtual_account_id == source.pk}


def _write(record: OwnershipRecord, plan: Plan, now: datetime) -> None:
    pairs = [(line, each) for line, draws in plan for each in draws]
    children = PurchaseLine.objects.bulk_create(
        PurchaseLine(
            smart_account_id=record.smart_account_id,
            virtual_account=line.target,
            license_id=each.line.license_id,
            order_id=each.line.order_id,
            record=record,
            parent=each.line,
            quantity=each.quantity,
            license_type=each.line.license_type,
            start=each.line.start,
            end=each.line.end,
            subscription_id=each.line.subscription_id,
            source=LineSource.TRANSFER,
            created_at=now,
        )
        for line, each in pairs
    )
    allocate(record, [(each, child) for (_, each), child in zip(pairs, children, strict=True)], now)


def allocate(record: OwnershipRecord, draws: Sequence[tuple[Draw, PurchaseLine | None]], now: datetime) -> None:
    """Write what leaves lines, each with the line it became, if any."""
    Allocation.objects.bulk_create(
        Allocation(
            record=record,
            smart_account_id=each.line.smart_account_id,
            virtual_account_id=each.line.virtual_account_id,
            license_id=each.line.license_id,
            line=each.line,
            child=child,
            quantity=each.quantity,
            at=now,
        )
        for each, child in draws
    )


def _record_events(actor: Actor, record: OwnershipRecord, source: VirtualAccount, plan: Plan, now: datetime) -> None:
    """One event in the source, and one in each target, per target."""
    by_target: dict[int, list[TransferLine]] = {}
    for line, _ in plan:
        by_target.setdefault(line.target.pk, []).append(line)
    for members in by_target.values():
        target = members[0].target
        data = {
            "summary": ", ".join(f"{line.quantity} {line.license.display_name}" for line in members[:5])
            + (f" and {len(members) - 5} more" if len(members) > 5 else ""),
            "record": record.pk,
            "quantity": sum(line.quantity for line in members),
            "source": source.name,
            "target": target.name,
            "lines": [line.as_dict() for line in members[:_LISTED]],
        }
        for name, account in (("licenses.transferred_out", source), ("licenses.transferred_in", target)):
            record_event(
                actor=actor,
                name=name,
                smart_account=source.smart_account_id,
                virtual_account=account.pk,
                subject_type="ownership_record",
                subject_id=record.pk,
                data=data,
                now=now,
            )
