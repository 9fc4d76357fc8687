"""Reserved products that are transferred take their reservation along, and the licenses that it holds."""

from collections.abc import Sequence
from datetime import datetime

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from licensing.models import AuthorizationCode, AuthorizedLicense, Hold, OwnershipRecord, PurchaseLine, Reservation
from licensing.services.devices.moving import register_follower
from licensing.services.ownership.drawing import Draw
from licensing.services.ownership.records import write_record
from licensing.services.ownership.transfers import allocate
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.fold import fold_units
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.services.reservations import moves
from licensing.services.reservations.contents import summarise
from licensing.services.reservations.holding import read_holds
from licensing.states import AuthorizationState, LineSource, RecordKind, TransitionCause


def register_reserved_products() -> None:
    """Called once, when the app is ready."""
    register_follower(move_reservations)


def move_reservations(
    actor: Actor, instance_ids: Sequence[int], source: VirtualAccount, target: VirtualAccount, now: datetime
) -> None:
    """Move the active reservations of the instances, in the transaction that moves these.

    What is held leaves its lines as a transfer does, so neither Virtual Account is the poorer for it. Raises `Conflict`
    (REHOST_OPEN) where the licenses are shared with a failed product that stays behind.
    """
    found = Reservation.objects.active().filter(instance__in=instance_ids).order_by("pk")
    reservations = [moves.lock_reservation(each) for each in found]
    if not reservations:
        return
    for reservation in reservations:
        if reservation.is_shared:
            raise Conflict(
                f"{reservation.udi} shares its licenses with the failed product that it replaces. Enter the return code"
                " of that one first.",
                code="REHOST_OPEN",
            )
    holds = {reservation.pk: read_holds(reservation) for reservation in reservations}
    licenses = {hold.license_id: hold.license for held in holds.values() for hold in held}
    pools = {
        place.pk: ensure_pools(
            smart_account_id=place.smart_account_id, virtual_account_id=place.pk, licenses=licenses.values()
        )
        for place in (source, target)
    }
    locked = lock_pools(pool.pk for of_place in pools.values() for pool in of_place.values())
    units = sorted({pool.unit_id for pool in locked})
    fold_units(unit_ids=units, now=now)
    for reservation in reservations:
        held = read_holds(reservation)  # what ended meanwhile has left with the fold
        _move_lines(actor, reservation, held, target, now)
        for place, sign in ((source, -1), (target, 1)):
            changes = [
                PoolChange(pools[place.pk][hold.license_id].pk, reservation.instance_id, reserved=sign * hold.quantity)
                for hold in held
            ]
            record_change(virtual_account_id=place.pk, changes=changes, now=now)
        _move_rows(reservation, target)
        for place in (source, target):
            reservation.virtual_account = place
            data = {"summary": summarise(held), "source": source.name, "target": target.name}
            moves.record(actor, "reservation.moved", reservation, data, now)
    fold_units(unit_ids=units, now=now, cause=TransitionCause.TRANSFER, recompute=True)


def _move_lines(
    actor: Actor, reservation: Reservation, held: Sequence[Hold], target: VirtualAccount, now: datetime
) -> None:
    """Child lines in the target for what is held, and the holds and outstanding codes on these."""
    drawn = [(hold, hold.line) for hold in held if hold.line is not None]
    if not drawn:
        return
    left = PurchaseLine.objects.with_remaining().in_bulk([line.pk for _, line in drawn])
    record = write_record(
        actor=actor,
        kind=RecordKind.TRANSFER,
        smart_account_id=reservation.smart_account_id,
        virtual_account_id=reservation.virtual_account_id,
        reason=f"{reservation.udi} was transferred with its reservation",
        now=now,
    )
    for hold, line in drawn:
        if left[line.pk].remaining < hold.quantity:
            raise Conflict(
                f"{hold.license.display_name}: {hold.quantity} are reserved, but the line has only"
                f" {left[line.pk].remaining} left. Change the reservation first.",
                code="LINE_HOLDS_LESS",
            )
        child = _make_child(record, line, hold.quantity, target, now)
        allocate(record, [(Draw(line, hold.quantity), child)], now)
        Hold.objects.filter(pk=hold.pk).update(line=child)
        outstanding = AuthorizedLicense.objects.filter(
            code__reservation=reservation.pk, code__state=AuthorizationState.OUTSTANDING, line=line
        )
        outstanding.update(line=child)


def _make_child(
    record: OwnershipRecord, line: PurchaseLine, quantity: int, target: VirtualAccount, now: datetime
) -> PurchaseLine:
    return PurchaseLine.objects.create(
        smart_account_id=line.smart_account_id,
        virtual_account=target,
        license_id=line.license_id,
        order_id=line.order_id,
        record=record,
        parent=line,
        quantity=quantity,
        license_type=line.license_type,
        start=line.start,
        end=line.end,
        subscription_id=line.subscription_id,
        source=LineSource.TRANSFER,
        created_at=now,
    )


def _move_rows(reservation: Reservation, target: VirtualAccount) -> None:
    Reservation.objects.filter(pk=reservation.pk).update(virtual_account=target)
    Hold.objects.counting().filter(reservation=reservation).update(virtual_account=target)
    AuthorizationCode.objects.filter(reservation=reservation).update(virtual_account=target)
