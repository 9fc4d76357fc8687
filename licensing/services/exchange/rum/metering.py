"""What was used on each day: the measurements of all present reports of a meter laid over each other.

Reports may come late, twice, or over each other, so a day is never added to: it is made anew from what there is.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.db.models import OuterRef, Subquery

from licensing.models import License, Meter, MeteredDay, RumMeasurement
from licensing.services.catalog.lookup import licenses_by_tag

DAY: Final = timedelta(days=1)
MeterKey = tuple[int, str, str]


class Stretch(NamedTuple):
    """How many were in use over a time, and where that counts. `order` decides between equals: the earlier report."""

    start: datetime
    end: datetime
    quantity: int
    virtual_account_id: int
    order: int


@dataclass(slots=True)
class DayTotal:
    unit_seconds: int = 0
    peak: int = 0
    covered_seconds: int = 0


def lock_meters(keys: Iterable[MeterKey]) -> dict[MeterKey, Meter]:
    """The meters, made where they are missing, and locked in one order by everybody. In the caller's transaction."""
    wanted = sorted(set(keys))
    licenses = licenses_by_tag({tag for _, _, tag in wanted})
    rows = [
        Meter(smart_account_id=account, udi=udi, tag=tag, license=licenses.get(tag)) for account, udi, tag in wanted
    ]
    Meter.objects.bulk_create(rows, ignore_conflicts=True)
    found = {
        (row.smart_account_id, row.udi, row.tag): row.pk
        for row in Meter.objects.filter(
            smart_account__in={key[0] for key in wanted},
            udi__in={key[1] for key in wanted},
            tag__in={key[2] for key in wanted},
        )
    }
    locked = _lock([found[key] for key in wanted])
    meters = {key: locked[found[key]] for key in wanted}
    for meter in meters.values():
        _know_license(meter, licenses.get(meter.tag))
    return meters


def name_meters(*, now: datetime) -> int:
    """Give the meters their licenses whose tags the catalog has learnt of since; returns how many.

    Reports of what the catalog did not know yet must not wait for the next one, which may never come.
    """
    known = License.objects.filter(tag=OuterRef("tag")).values("pk")[:1]
    nameless = Meter.objects.filter(license__isnull=True, tag__in=License.objects.values("tag"))
    with transaction.atomic():
        return nameless.update(license=Subquery(known))


def meter_days(meter: Meter, *, start: datetime, end: datetime) -> None:
    """Make the days anew that the time from `start` to `end` touches, while the meter is locked."""
    first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    opens, closes = _midnight(first), _midnight(last) + DAY
    totals = add_up(cover(_read_stretches(meter, opens, closes)), opens, closes)
    MeteredDay.objects.filter(meter=meter, day__gte=first, day__lte=last).delete()
    MeteredDay.objects.bulk_create(
        MeteredDay(
            smart_account_id=meter.smart_account_id,
            virtual_account_id=virtual_account_id,
            meter=meter,
            day=day,
            unit_seconds=total.unit_seconds,
            peak=total.peak,
            covered_seconds=total.covered_seconds,
        )
        for (virtual_account_id, day), total in totals.items()
    )


def cover(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """The same times without overlaps: where several lie over each other, the highest."""
    waiting = sorted(one for one in stretches if one.start < one.end)
    edges = sorted({edge for one in waiting for edge in (one.start, one.end)})
    active: list[tuple[int, int, int, Stretch]] = []
    number = 0
    for start, end in pairwise(edges):
        while number < len(waiting) and waiting[number].start <= start:
            one = waiting[number]
            heapq.heappush(active, (-one.quantity, one.order, number, one))
            number += 1
        while active and active[0][3].end <= start:
            heapq.heappop(active)
        if active:
            yield active[0][3]._replace(start=start, end=end)


def add_up(stretches: Iterable[Stretch], opens: datetime, closes: datetime) -> dict[tuple[int, date], DayTotal]:
    """Per Virtual Account and day between the two midnights."""
    totals: dict[tuple[int, date], DayTotal] = {}
    for one in stretches:
        moment, end = max(one.start, opens), min(one.end, closes)
        while moment < end:
            until = min(end, _midnight(moment.date()) + DAY)
            seconds = int((until - moment).total_seconds())
            total = totals.setdefault((one.virtual_account_id, moment.date()), DayTotal())
            total.unit_seconds += one.quantity * seconds
            total.covered_seconds += seconds
            total.peak = max(total.peak, one.quantity)
            moment = until
    return totals


def measured_seconds(spans: Iterable[tuple[int, int]]) -> int:
    """How long the union of some times is, in whole seconds."""
    seconds = reached = 0
    for start, end in sorted(spans):
        seconds += max(0, end - max(start, reached))
        reached = max(reached, end)
    return seconds


def _lock(pks: Sequence[int]) -> dict[int, Meter]:
    rows = Meter.objects.filter(pk__in=pks).order_by("pk")
    if connection.features.has_select_for_update:
        rows = rows.select_for_update()
    return {row.pk: row for row in rows}


def _know_license(meter: Meter, license: License | None) -> None:
    """The catalog may have learnt of the tag since the last report."""
    if license is not None and meter.license_id != license.pk:
        meter.license = license
        meter.save(update_fields=["license"])


def _read_stretches(meter: Meter, opens: datetime, closes: datetime) -> list[Stretch]:
    rows = RumMeasurement.objects.filter(
        meter=meter,
        quantity__isnull=False,
        report__superseded_at__isnull=True,
        report__is_counted=True,
        start__lt=closes,
        end__gt=opens,
    )
    values = rows.order_by("pk").values_list("start", "end", "quantity", "report__virtual_account_id", "report_id")
    return [Stretch(start, end, quantity or 0, place, report) for start, end, quantity, place, report in values]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
