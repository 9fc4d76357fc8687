"""Taking reserved quantities into the pools, and out of them: holds, and the deltas that follow from them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from accounts.models import VirtualAccount
from licensing.models import Hold, License, Pool, Reservation
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.fold import fold_units
from licensing.services.pools.timeline import Outlook, read_outlook
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.services.reservations.contents import Content
from licensing.states import TransitionCause

Quantities = Mapping[tuple[int, int | None], Content]


class LockedPools:
    """The pools of some licenses in one Virtual Account, locked and folded, by license id."""

    def __init__(
        self, *, smart_account_id: int, virtual_account_id: int, licenses: Iterable[License], now: datetime
    ) -> None:
        self.virtual_account_id = virtual_account_id
        made = ensure_pools(smart_account_id=smart_account_id, virtual_account_id=virtual_account_id, licenses=licenses)
        locked = lock_pools(pool.pk for pool in made.values())
        self.units = sorted({pool.unit_id for pool in locked})
        fold_units(unit_ids=self.units, now=now)
        self.pools: dict[int, Pool] = {pool.license_id: pool for pool in locked}

    def outlooks(self, now: datetime) -> dict[int, Outlook]:
        return {unit_id: read_outlook(unit_id=unit_id, now=now) for unit_id in self.units}

    def settle(self, now: datetime) -> None:
        """Take what was recorded since into the figures, with a transition where a status changes."""
        fold_units(unit_ids=self.units, now=now, cause=TransitionCause.RESERVATION)


def read_pools(
    virtual_account: VirtualAccount, licenses: Iterable[License], now: datetime
) -> tuple[dict[int, Pool], dict[int, Outlook]]:
    """The pools there are, by license, and their outlooks by unit: for telling, without any lock."""
    pools = Pool.objects.filter(virtual_account=virtual_account, license__in=[each.pk for each in licenses])
    found = {pool.license_id: pool for pool in pools.select_related("license")}
    return found, {unit: read_outlook(unit_id=unit, now=now) for unit in {pool.unit_id for pool in found.values()}}


def read_holds(reservation: Reservation) -> list[Hold]:
    """What of the reservation counts in the pools, with licenses and lines."""
    holds = Hold.objects.counting().filter(reservation=reservation)
    return list(holds.select_related("license", "line").order_by("pk"))


def write_holds(*, reservation: Reservation, locked: LockedPools, wanted: Sequence[Content], now: datetime) -> int:
    """Make the reservation hold exactly this; returns how much was released. Under the lock of the pools.

    What has ended with its line stays as a record.
    """
    current = {(hold.license_id, hold.line_id): hold for hold in read_holds(reservation)}
    target = {content.key: content for content in wanted if not _has_ended(content, now)}
    growth: dict[int, int] = {}
    released = 0
    for key, hold in current.items():
        new = target.get(key)
        change = (new.quantity if new else 0) - hold.quantity
        growth[key[0]] = growth.get(key[0], 0) + change
        released += max(0, -change)
        if new is None:
            hold.delete()
        elif change:
            Hold.objects.filter(pk=hold.pk).update(quantity=new.quantity)
    fresh = [content for key, content in target.items() if key not in current]
    for content in fresh:
        growth[content.license.pk] = growth.get(content.license.pk, 0) + content.quantity
    Hold.objects.bulk_create(
        Hold(
            smart_account_id=reservation.smart_account_id,
            virtual_account_id=reservation.virtual_account_id,
            reservation=reservation,
            license=content.license,
            line=content.line,
            quantity=content.quantity,
            since=now,
        )
        for content in fresh
    )
    changes = [
        PoolChange(locked.pools[license_id].pk, reservation.instance_id, reserved=change)
        for license_id, change in growth.items()
    ]
    record_change(virtual_account_id=reservation.virtual_account_id, changes=changes, now=now)
    return released


def most_of(*many: Sequence[Content]) -> list[Content]:
    """For each line the most that any of the contents has: any of them may be in the product."""
    most: dict[tuple[int, int | None], Content] = {}
    for contents in many:
        for content in contents:
            before = most.get(content.key)
            if before is None or before.quantity < content.quantity:
                most[content.key] = content
    return list(most.values())


def _has_ended(content: Content, now: datetime) -> bool:
    return content.line is not None and content.line.end is not None and content.line.end <= now
