"""When pools were out of compliance, from the transitions that the fold wrote."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from licensing.models import PoolTransition
from licensing.querysets.pools import PoolQuerySet
from licensing.services.insight.periods import Period
from licensing.states import Compliance

OUT = Compliance.OUT_OF_COMPLIANCE


@dataclass(frozen=True, slots=True)
class Shortage:
    """A pool was out of compliance from `since` until just before `until` (None: it still is).

    `began_earlier`: it was so already when the period began, which is what `since` says then.
    """

    pool_id: int
    since: datetime
    until: datetime | None
    began_earlier: bool = False


def read_shortages(pools: PoolQuerySet, period: Period) -> list[Shortage]:
    """The shortages that touch the period, by pool and time."""
    chosen = pools.order_by().values("pk")
    # Also what came after the period: the old status of a later transition is the status at its end.
    moves = (
        PoolTransition.objects.filter(pool__in=chosen, at__gte=period.start)
        .order_by("pool_id", "at", "pk")
        .values_list("pool_id", "at", "old", "new")
    )
    open_since: dict[int, tuple[datetime, bool]] = {}
    moved: set[int] = set()
    found: list[Shortage] = []
    for pool, at, old, new in moves.iterator():
        if pool not in moved and old == OUT:
            open_since[pool] = (period.start, True)
        moved.add(pool)
        if new == OUT:
            open_since.setdefault(pool, (at, False))
        elif began := open_since.pop(pool, None):
            found.append(Shortage(pool, began[0], at, began_earlier=began[1]))
    found += [Shortage(pool, since, None, began_earlier=earlier) for pool, (since, earlier) in open_since.items()]
    still = pools.filter(status=OUT).order_by("pk").values_list("pk", flat=True)
    found += [Shortage(pool, period.start, None, began_earlier=True) for pool in still.iterator() if pool not in moved]
    return sorted((s for s in found if s.since <= period.until), key=lambda s: (s.pool_id, s.since))


def count_shortages(shortages: Iterable[Shortage], period: Period) -> tuple[list[int], list[int]]:
    """Per bucket: how many pools were short at its end, and at any moment of it."""
    short, was_short = [0] * period.count, [0] * period.count
    seen: set[tuple[int, int]] = set()
    for shortage in shortages:
        for number in range(period.bucket_of(shortage.since), period.count):
            if shortage.until is not None and shortage.until <= period.edge(number):
                break
            if (shortage.pool_id, number) not in seen:
                seen.add((shortage.pool_id, number))
                was_short[number] += 1
            if shortage.until is None or shortage.until > period.closing(number):
                short[number] += 1
    return short, was_short
