"""What can be reserved in a Virtual Account: each license with the most that is free, and of which terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from licensing.models import License, Pool, PurchaseLine, Reservation
from licensing.services.ownership.drawing import draw, find_lines
from licensing.services.pools.timeline import Outlook, read_outlook
from licensing.services.reservations.holding import read_holds
from licensing.services.reservations.requests import require_manage
from licensing.states import LicenseType


@dataclass(frozen=True, slots=True)
class Term:
    """What of a license has one type, start, end and subscription, and is neither reserved nor gone."""

    license_type: LicenseType
    start: datetime
    end: datetime | None
    subscription_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Offer:
    """`most` is what one more code may hold: free now and until it ends; None where there is no limit.

    `held` is what the reservation that is to be changed holds already, on top of `most`. `most_of` is the most of each
    type by itself, where there are several.
    """

    license: License
    pool_id: int
    most: int | None
    terms: Sequence[Term]
    held: int = 0
    most_of: Mapping[LicenseType, int] = field(default_factory=dict)

    @property
    def limit(self) -> int | None:
        """The greatest quantity to ask for."""
        return None if self.most is None else self.most + self.held


def list_offers(
    *, actor: Actor, virtual_account: VirtualAccount, reservation: Reservation | None = None, now: datetime
) -> list[Offer]:
    """By name; only what can be reserved or is held. With `reservation` for changing that one.

    Raises `NotFound`, `Forbidden` unless the actor manages the Virtual Account.
    """
    require_manage(actor, virtual_account)
    held: dict[int, int] = {}
    for hold in read_holds(reservation) if reservation else ():
        held[hold.license_id] = held.get(hold.license_id, 0) + hold.quantity
    pools = list(
        Pool.objects.filter(virtual_account=virtual_account)
        .with_own_figures(now)
        .select_related("license")
        .order_by("license__display_name", "pk")
    )
    lines = find_lines(pools)
    outlooks: dict[int, Outlook] = {}
    offers = []
    for pool in pools:
        license, held_here = pool.license, held.get(pool.license_id, 0)
        if license.export_restricted and virtual_account.smart_account.is_export_restricted:
            continue
        if license.is_unlimited:
            offers.append(Offer(license, pool.pk, None, (), held_here))
            continue
        if pool.now_purchased <= 0 and not held_here:
            continue
        if pool.unit_id not in outlooks:
            outlooks[pool.unit_id] = read_outlook(unit_id=pool.unit_id, now=now)
        owned = [line for line in lines[license.pk] if _runs(line, now)]
        most = find_most(pool=pool, outlook=outlooks[pool.unit_id], owned=owned, now=now)
        most_of = _most_by_type(pool, outlooks[pool.unit_id], owned, now)
        if most or held_here or any(most_of.values()):
            offers.append(Offer(license, pool.pk, most, _terms(owned), held_here, most_of))
    return offers


def find_most(*, pool: Pool, outlook: Outlook, owned: Sequence[PurchaseLine], now: datetime) -> int:
    """The greatest quantity that `draw` would give now, longest terms first."""
    low, high = 0, min(sum(line.spare for line in owned), outlook.at(0)[pool.license_id].free)
    while low < high:
        middle = (low + high + 1) // 2
        try:
            draw(pool=pool, outlook=outlook, quantity=middle, owned=owned, now=now)
        except Conflict:
            high = middle - 1
        else:
            low = middle
    return low


def _most_by_type(pool: Pool, outlook: Outlook, owned: Sequence[PurchaseLine], now: datetime) -> dict[LicenseType, int]:
    """Longest terms first may leave terms over that end too soon to stand in for others; asked for, they can be had."""
    kinds = {LicenseType(line.license_type) for line in owned if line.spare}
    if len(kinds) < 2:
        return {}
    return {
        kind: find_most(
            pool=pool, outlook=outlook, owned=[line for line in owned if line.license_type == kind], now=now
        )
        for kind in sorted(kinds)
    }


def _terms(owned: Sequence[PurchaseLine]) -> list[Term]:
    sums: dict[tuple[LicenseType, datetime, datetime | None, str], int] = {}
    for line in owned:
        if line.spare:
            key = (LicenseType(line.license_type), line.start, line.end, line.subscription_id)
            sums[key] = sums.get(key, 0) + line.spare
    terms = [Term(*key, quantity) for key, quantity in sums.items()]
    return sorted(terms, key=lambda term: (term.end is not None, -(term.end.timestamp() if term.end else 0)))


def _runs(line: PurchaseLine, now: datetime) -> bool:
    return line.start <= now and (line.end is None or now < line.end)
