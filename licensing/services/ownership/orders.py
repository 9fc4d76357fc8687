"""Delivering orders: the operator, or the shop behind, says what a Virtual Account now owns. Each order once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from accounts.models import SmartAccount, VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Invalid, NotFound
from cssm.common.permissions import Permission
from cssm.common.sealing import canonical
from licensing.codecs.order_lines import LineError, OrderLine, check_term, read_lines
from licensing.models import License, Order, OwnershipRecord, Pool, PurchaseLine
from licensing.services.ownership.records import write_record
from licensing.services.pools.fold import fold_unit
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.states import LicenseType, LineSource, RecordKind, TransitionCause

REF_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class Delivery:
    """`delivered` is False where the same order had been delivered before: nothing was done."""

    order: Order
    delivered: bool


def deliver_order(
    *,
    actor: Actor,
    domain: str,
    virtual_account: str,
    order_ref: str,
    lines: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Delivery:
    """Add purchase lines to a Virtual Account (by name); a line's start defaults to now, its type to the catalog's.

    The same `order_ref` with the same content has no second effect, also when both arrive at once. Raises `Forbidden`
    unless the actor is an operator; `NotFound` for the accounts; `Conflict` (ORDER_REF_REUSED) for other content;
    `Invalid` (ORDER_INVALID) with `details["errors"] = [{line, field, code, message}]`. Nothing is changed then.
    """
    actor.require(Permission.OPERATE)
    order_ref = _clean_ref(order_ref)
    account = _find_account(domain, virtual_account)
    read, errors = read_lines(lines)
    if errors:
        raise _refusal(errors)
    digest = digest_content(account, read)
    # Before what depends on today: the end that an order names may have come since it was delivered.
    if earlier := Order.objects.filter(order_ref=order_ref).first():
        return _repeat(earlier, digest)
    licenses = {row.tag: row for row in License.objects.filter(tag__in={line.tag for line in read})}
    if errors := _check(read, licenses, now):
        raise _refusal(errors)
    with transaction.atomic():
        # Deleting a Virtual Account locks its row, so it either sees these lines or is seen.
        if not VirtualAccount.objects.select_for_update(no_key=True).live().filter(pk=account.pk).exists():
            raise NotFound("There is no such Virtual Account.", where="virtualAccount")
        order, created = Order.objects.get_or_create(
            order_ref=order_ref,
            defaults={
                "smart_account_id": account.smart_account_id,
                "virtual_account_id": account.pk,
                "content_digest": digest,
                "delivered_at": now,
            },
        )
        if not created:
            return _repeat(order, digest)
        pools = ensure_pools(
            smart_account_id=account.smart_account_id, virtual_account_id=account.pk, licenses=licenses.values()
        )
        locked = lock_pools(pool.pk for pool in pools.values())
        record = write_record(
            actor=actor,
            kind=RecordKind.DELIVERY,
            smart_account_id=account.smart_account_id,
            virtual_account_id=account.pk,
            key=f"order:{order.order_ref}",
            content_digest=digest,
            now=now,
        )
        _write_lines(order, record, read, licenses, now)
        _fold(locked, now)
        _record(actor, order, read, now)
    return Delivery(order=order, delivered=True)


def digest_content(account: VirtualAccount, lines: Sequence[OrderLine]) -> str:
    """Equal for orders that ask for the same: what was left out counts as left out, whatever it meant on the day."""
    content = {"virtual_account": account.pk, "lines": [line.as_dict() for line in lines]}
    return hashlib.sha256(canonical(content)).hexdigest()


def _repeat(order: Order, digest: str) -> Delivery:
    if order.content_digest != digest:
        raise Conflict(
            f"Order {order.order_ref} was delivered before with other content. Use another reference.",
            code="ORDER_REF_REUSED",
            where="orderRef",
        )
    return Delivery(order=order, delivered=False)


def _clean_ref(order_ref: object) -> str:
    cleaned = order_ref.strip() if isinstance(order_ref, str) else ""
    if not cleaned or len(cleaned) > REF_LIMIT or not cleaned.isprintable():
        raise Invalid(
            f"orderRef is a text of 1 to {REF_LIMIT} printable characters.", code="ORDER_REF_INVALID", where="orderRef"
        )
    return cleaned


def _clean_text(text: object, where: str) -> str:
    if not isinstance(text, str) or not text.isprintable():
        raise Invalid(f"{where} is a printable text.", code="WRONG_TYPE", where=where)
    return text.strip()


def _find_account(domain: object, virtual_account: object) -> VirtualAccount:
    domain, name = _clean_text(domain, "domain"), _clean_text(virtual_account, "virtualAccount")
    account = SmartAccount.objects.filter(domain=domain.lower()).first()
    if account is None:
        raise NotFound("There is no Smart Account with this domain.", where="domain")
    found = VirtualAccount.objects.live().filter(smart_account=account).named(name).first()
    if found is None:
        raise NotFound("There is no such Virtual Account.", where="virtualAccount")
    return found


def _check(lines: Sequence[OrderLine], licenses: Mapping[str, License], now: datetime) -> list[LineError]:
    """What needs the catalog and the moment: tags, and dates that fit the type."""
    errors = []
    for number, line in enumerate(lines, start=1):
        if line.tag not in licenses:
            errors.append(LineError(number, "entitlementTag", "UNKNOWN_TAG", f"No license has the tag {line.tag}."))
        elif wrong := check_term(_type_of(line, licenses), line.start or now, line.end):
            errors.append(LineError(number, "endDate", *wrong))
    return errors


def _type_of(line: OrderLine, licenses: Mapping[str, License]) -> LicenseType:
    return line.license_type or LicenseType(licenses[line.tag].default_type)


def _refusal(errors: Sequence[LineError]) -> Invalid:
    first = errors[0]
    return Invalid(
        f"The order was not delivered: {len(errors)} error(s), the first in line {first.line}: {first.message}",
        code="ORDER_INVALID",
        where=f"lines[{first.line - 1}].{first.field}".rstrip(".") if first.line else first.field,
        details={"errors": [error.as_dict() for error in errors]},
    )


def _write_lines(
    order: Order,
    record: OwnershipRecord,
    lines: Sequence[OrderLine],
    licenses: Mapping[str, License],
    now: datetime,
) -> None:
    PurchaseLine.objects.bulk_create(
        PurchaseLine(
            smart_account_id=order.smart_account_id,
            virtual_account_id=order.virtual_account_id,
            license=licenses[line.tag],
            order=order,
            record=record,
            quantity=line.quantity,
            license_type=_type_of(line, licenses).value,
            start=line.start or now,
            end=line.end,
            subscription_id=line.subscription_id,
            source=LineSource.ORDER,
            created_at=now,
        )
        for line in lines
    )


def _fold(pools: Sequence[Pool], now: datetime) -> None:
    for unit_id in sorted({pool.unit_id for pool in pools}):
        fold_unit(unit_id=unit_id, now=now, cause=TransitionCause.ORDER, recompute=True)


def _record(actor: Actor, order: Order, lines: Sequence[OrderLine], now: datetime) -> None:
    record_event(
        actor=actor,
        name="order.delivered",
        smart_account=order.smart_account_id,
        virtual_account=order.virtual_account_id,
        subject_type="order",
        subject_id=order.pk,
        data={
            "order_ref": order.order_ref,
            "quantity": sum(line.quantity for line in lines),
            "line_count": len(lines),
            "lines": [line.as_dict() for line in lines],
        },
        now=now,
    )
