"""What was metered of the licenses that are billed by use: per day, Virtual Account and license."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum

from accounts.models import SmartAccount
from cssm.common.actor import Actor
from licensing.models import MeteredDay
from licensing.querysets.usage_reports import MeteredDayQuerySet

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MeteredTotal:
    """One day of everything together; `reported` is false where there is no measurement at all."""

    day: date
    unit_seconds: int
    peak: int
    reported: bool


def read_metered(*, actor: Actor, smart_account: SmartAccount) -> MeteredDayQuerySet:
    """The days of single products, that the actor may see, of licenses billed by use."""
    rows = MeteredDay.objects.visible_to(actor).filter(smart_account=smart_account).billed_by_use()
    return rows.filter(virtual_account__deleted_at__isnull=True)


def sum_by_day(days: QuerySet[MeteredDay]) -> QuerySet[Any, Any]:
    """A row per day, Virtual Account and license: `units` is count × seconds, `most` the sum of what each product had
    at most, `products` how many there were."""
    return (
        days.order_by()
        .values("day", "virtual_account__name", "meter__license__display_name", "meter__license__tag")
        .annotate(units=Sum("unit_seconds"), most=Sum("peak"), products=Count("meter", distinct=True))
    )


def within(days: MeteredDayQuerySet, *, start: datetime, end: datetime) -> MeteredDayQuerySet:
    """Of the days that the time from `start` to `end` touches."""
    return days.filter(day__gte=start.date(), day__lte=end.date())


def total_by_day(days: QuerySet[MeteredDay], *, start: datetime, end: datetime) -> Sequence[MeteredTotal]:
    """Every day of the period, in order, whether or not anything was reported."""
    rows = days.order_by().values_list("day").annotate(units=Sum("unit_seconds"), most=Sum("peak"))
    found = {day: (units, most) for day, units, most in rows}
    count = (end.date() - start.date()).days + 1
    return [
        MeteredTotal(day, *found.get(day, (0, 0)), reported=day in found)
        for day in (start.date() + n * DAY for n in range(count))
    ]
