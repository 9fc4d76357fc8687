"""What was owned, in use and short in the past, of one pool or of many together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cssm.common.actor import Actor
from licensing.models import HierarchyVersion, Pool
from licensing.querysets.loans import add_up, read_higher, settle_loans
from licensing.querysets.pools import PoolQuerySet
from licensing.services.insight.periods import Period, choose_period
from licensing.services.insight.shortages import Shortage, count_shortages, read_shortages
from licensing.services.insight.timeline import ALL_TOGETHER, Course, read_courses
from licensing.states import Billing, Compliance

Loans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket, from `start` until just before `end`, with the figures at its end.

    `peak` is the most that was in use at any moment of it. `short` says how many of the pools were out of compliance
    at its end, `was_short` at any moment of it.
    """

    start: datetime
    end: datetime
    purchased: int
    in_use: int
    peak: int
    reserved: int
    borrowed: int
    lent: int
    short: int
    was_short: int

    @property
    def balance(self) -> int:
        return self.purchased + self.borrowed - self.lent - self.in_use - self.reserved

    @property
    def status(self) -> Compliance:
        """At the end of the bucket."""
        return Compliance.OUT_OF_COMPLIANCE if self.short else Compliance.AUTHORIZED


@dataclass(frozen=True, slots=True)
class History:
    period: Period
    points: list[Point]
    shortages: list[Shortage]


def usage_history(
    *, actor: Actor, pools: PoolQuerySet, start: datetime | None = None, end: datetime | None = None, now: datetime
) -> History:
    """The pools that the actor may see, added together, in hours, days or weeks (`choose_period`, which may refuse)."""
    return read_history(actor=actor, pools=pools, period=choose_period(start=start, end=end, now=now))


def read_history(*, actor: Actor, pools: PoolQuerySet, period: Period) -> History:
    """The pools that the actor may see, added together.

    Exact for use, reservations and ownership; loans are those that the hierarchy of the time gives at the end of each
    bucket. Costs one pass over the changes in the period.
    """
    seen = pools.visible_to(actor)
    course = read_courses(seen, period, together=True).get(ALL_TOGETHER, Course())
    loans = _sum_loans(_read_loans(seen, period).values(), period.count)
    shortages = read_shortages(seen, period)
    return History(period, _draw(course, loans, shortages, period), shortages)


def read_histories(*, actor: Actor, pools: Sequence[Pool], period: Period) -> dict[int, list[Point]]:
    """The points of each of these pools by its id, those that the actor may see; two to five queries in all."""
    seen = Pool.objects.visible_to(actor).filter(pk__in=[pool.pk for pool in pools])
    courses = read_courses(seen, period)
    loans = _read_loans(seen, period)
    shortages: dict[int, list[Shortage]] = {}
    for shortage in read_shortages(seen, period):
        shortages.setdefault(shortage.pool_id, []).append(shortage)
    none: Loans = [(0, 0)] * period.count
    return {
        pk: _draw(course, loans.get(pk, none), shortages.get(pk, []), period) for pk, course in sorted(courses.items())
    }


def _draw(course: Course, loans: Loans, shortages: Iterable[Shortage], period: Period) -> list[Point]:
    short, was_short = count_shortages(shortages, period)
    return [
        Point(
            start=period.edge(number),
            end=period.edge(number + 1),
            purchased=figures.purchased,
            in_use=figures.in_use,
            peak=figures.peak,
            reserved=figures.reserved,
            borrowed=loans[number][0],
            lent=loans[number][1],
            short=short[number],
            was_short=was_short[number],
        )
        for number, figures in enumerate(course.figures(period.count))
    ]


def _sum_loans(loans: Iterable[Loans], count: int) -> Loans:
    sums = [(0, 0)] * count
    for of_pool in loans:
        sums = [(a + c, b + d) for (a, b), (c, d) in zip(sums, of_pool, strict=True)]
    return sums


def _read_loans(pools: PoolQuerySet, period: Period) -> dict[int, Loans]:
    """(borrowed, lent) at the end of every bucket, by pool id, of those among the pools that have a hierarchy."""
    families = HierarchyVersion.objects.order_by().values("family")
    wanted = dict(pools.filter(unit__family__in=families).order_by().values_list("pk", "unit").iterator())
    if not wanted:
        return {}
    # The other pools of the families too, seen by the actor or not: what they lend is part of what is seen.
    whole = Pool.objects.filter(unit__in=set(wanted.values()))
    rows = whole.order_by("pk").values_list("pk", "unit", "license", "unit__family", "license__billing")
    members: dict[int, list[tuple[int, int, int, bool]]] = {}
    for pk, unit, license_id, family, billing in rows:
        members.setdefault(unit, []).append((pk, license_id, family, billing == Billing.USAGE))
    courses = read_courses(whole, period)
    versions = _read_versions({row[2] for unit in members.values() for row in unit}, period)
    found: dict[int, Loans] = {}
    for family_members in members.values():
        found.update(_settle_unit(family_members, courses, versions.get(family_members[0][2], []), period))
    return {pk: loans for pk, loans in found.items() if pk in wanted}


def _read_versions(families: Iterable[int], period: Period) -> dict[int, list[tuple[datetime, dict[int, int]]]]:
    """The hierarchies of each family with the moment from which each held, oldest first."""
    found: dict[int, list[tuple[datetime, dict[int, int]]]] = {}
    versions = HierarchyVersion.objects.filter(family__in=families, at__lte=period.until).order_by("at", "number")
    for version in versions:
        found.setdefault(version.family_id, []).append((version.at, read_higher(version.higher)))
    return found


def _settle_unit(
    members: list[tuple[int, int, int, bool]],
    courses: dict[int, Course],
    versions: list[tuple[datetime, dict[int, int]]],
    period: Period,
) -> dict[int, Loans]:
    """The loans within one family in one Virtual Account; settled anew only where something changed."""
    rows: dict[int, Iterator[int]] = {
        license_id: _positions(courses.get(pk, Course()), period.count)
        for pk, license_id, _, unlimited in members
        if not unlimited
    }
    loans: dict[int, Loans] = {pk: [] for pk, *_ in members}
    before: object = None
    borrowed: dict[int, int] = {}
    lent: dict[int, int] = {}
    for number in range(period.count):
        positions = {license_id: next(row) for license_id, row in rows.items()}
        closing = period.closing(number)
        higher = next((stored for at, stored in reversed(versions) if at <= closing), {})
        if (positions, higher) != before:
            borrowed, lent = add_up(settle_loans(positions, higher))
            before = (positions, higher)
        for pk, license_id, *_ in members:
            loans[pk].append((borrowed.get(license_id, 0), lent.get(license_id, 0)))
    return loans


def _positions(course: Course, count: int) -> Iterator[int]:
    return (figures.purchased - figures.in_use - figures.reserved for figures in course.figures(count))
