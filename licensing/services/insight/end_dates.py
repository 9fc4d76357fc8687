"""Co-termination: which licenses end together, and what compliance becomes then if nothing is bought."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from django.db.models.functions import TruncDate

from accounts.models import SmartAccount
from cssm.common.actor import Actor
from licensing.models import Pool, PurchaseLine
from licensing.querysets.ownership import PurchaseLineQuerySet
from licensing.services.pools.outlooks import read_outlooks
from licensing.services.pools.timeline import Outlook, Standing
from licensing.states import Compliance

MOST_ROWS: Final = 50
"""What one date shows; the subscriptions of that date show all."""


@dataclass(frozen=True, slots=True)
class EndingPool:
    """What of a pool ends on a day, and how it stands after it; `quantity` 0: it loses what it borrowed."""

    pool: Pool
    quantity: int
    after: Standing

    @property
    def shortage(self) -> int:
        """By how much it runs short then; 0 where it does not."""
        return -self.after.balance if self.after.status is Compliance.OUT_OF_COMPLIANCE else 0


@dataclass(frozen=True, slots=True)
class EndDate:
    """A day (UTC) on which lines end, with the pools concerned, those that run short first."""

    day: date
    days_left: int
    quantity: int
    virtual_account_count: int
    pools: Sequence[EndingPool]

    @property
    def shown(self) -> Sequence[EndingPool]:
        return self.pools[:MOST_ROWS]

    @property
    def short_count(self) -> int:
        return sum(1 for row in self.pools if row.shortage)


def list_end_days(*, actor: Actor, smart_account: SmartAccount, now: datetime) -> list[date]:
    """The days, soonest first, on which something ends that the actor may see and of which anything is left."""
    lines = _ending_lines(actor, smart_account, now).annotate(day=TruncDate("end", tzinfo=UTC))
    return list(lines.order_by("day").values_list("day", flat=True).distinct())


def read_end_dates(*, actor: Actor, smart_account: SmartAccount, days: Sequence[date], now: datetime) -> list[EndDate]:
    """What ends on each of these days, which come ascending from `list_end_days`. Four queries for all of them."""
    if not days:
        return []
    ending = _read_quantities(actor, smart_account, days, now)
    pools = _find_pools({place for quantities in ending.values() for place in quantities})
    outlooks = read_outlooks(unit_ids={pool.unit_id for pool in pools.values()}, now=now)
    return [_make_date(day, ending[day], pools, outlooks, now) for day in days]


def _ending_lines(actor: Actor, smart_account: SmartAccount, now: datetime) -> PurchaseLineQuerySet:
    lines = PurchaseLine.objects.visible_to(actor).filter(smart_account=smart_account, end__gt=now)
    return lines.with_anything_left()


Place = tuple[int, int]
"""Virtual Account and license."""


def _read_quantities(
    actor: Actor, smart_account: SmartAccount, days: Sequence[date], now: datetime
) -> dict[date, dict[Place, int]]:
    until = _midnight(days[-1]) + timedelta(days=1)
    lines = _ending_lines(actor, smart_account, now).filter(end__gte=_midnight(days[0]), end__lt=until)
    ending: dict[date, dict[Place, int]] = {day: defaultdict(int) for day in days}
    for line in lines:
        assert line.end is not None  # noqa: S101  only lines that end were asked for
        day = line.end.astimezone(UTC).date()
        if day in ending:
            ending[day][line.virtual_account_id, line.license_id] += line.remaining
    return ending


def _find_pools(places: set[Place]) -> dict[Place, Pool]:
    """The pools of these places and all others of their families there, which may have borrowed of them."""
    own = Pool.objects.filter(
        virtual_account__in={virtual_account for virtual_account, _ in places},
        license__in={license_id for _, license_id in places},
    )
    units = {unit for unit, *place in own.values_list("unit", "virtual_account", "license") if tuple(place) in places}
    pools = Pool.objects.filter(unit__in=units).select_related("license", "virtual_account")
    return {(pool.virtual_account_id, pool.license_id): pool for pool in pools}


def _make_date(
    day: date,
    quantities: Mapping[Place, int],
    pools: Mapping[Place, Pool],
    outlooks: Mapping[int, Outlook],
    now: datetime,
) -> EndDate:
    units = {pools[place].unit_id for place in quantities}
    before = {unit: _standings_until(outlooks[unit], _midnight(day)) for unit in units}
    after = {unit: _standings_until(outlooks[unit], _midnight(day) + timedelta(days=1)) for unit in units}
    rows = [
        EndingPool(pool, quantities.get(place, 0), after[pool.unit_id][pool.license_id])
        for place, pool in pools.items()
        if pool.unit_id in units
    ]
    concerned = [
        row
        for row in rows
        if row.quantity or row.after.status is not before[row.pool.unit_id][row.pool.license_id].status
    ]
    return EndDate(
        day=day,
        days_left=(day - now.astimezone(UTC).date()).days,
        quantity=sum(quantities.values()),
        virtual_account_count=len({virtual_account for virtual_account, _ in quantities}),
        pools=sorted(concerned, key=_worst_first),
    )


def _standings_until(outlook: Outlook, moment: datetime) -> dict[int, Standing]:
    """How the family stands just before the moment, by license."""
    return outlook.at(max(0, bisect_left(outlook.instants, moment) - 1))


def _worst_first(row: EndingPool) -> tuple[int, str, str, int]:
    return (-row.shortage, row.pool.license.display_name, row.pool.virtual_account.name, row.pool.pk)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
