"""The chart of a history, for every page that shows one, and the filter that says which period it covers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, Final

import django_filters as filters
from django import forms
from django.db.models import QuerySet

from cssm.common.charts import Chart, Series, draw_chart
from cssm.common.table_views import ChoiceFilter, TableFilter
from cssm.common.templatetags.portal import number
from licensing.services.insight.consumption import MeteredTotal
from licensing.services.insight.history import History
from licensing.services.insight.periods import HOUR, Period, choose_period
from licensing.services.pools.compaction import KEPT_FOR

USUAL_DAYS: Final = "30"
LENGTHS: Final = [
    ("1", "Last 24 hours"),
    ("3", "Last 3 days"),
    ("7", "Last 7 days"),
    ("90", "Last 90 days"),
    ("365", "Last 12 months"),
    ("730", "Last 24 months"),
]


def day_filter(label: str) -> filters.DateFilter:
    return filters.DateFilter(method="keep", label=label, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))


class PeriodFilter(TableFilter):
    """Which stretch of time: one that ends now, or from one day to another."""

    length = ChoiceFilter(method="keep", label="Period", choices=LENGTHS, empty_label="Last 30 days")
    # For how long there is something to show; None: for ever.
    kept_for: ClassVar[timedelta | None] = KEPT_FOR
    start = day_filter("From day")
    end = day_filter("To day")

    def keep(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """The period says what of the rows is shown, not which rows."""
        return queryset

    def period_at(self, now: datetime) -> Period:
        """Both days count whole, in UTC. Raises `Invalid` for a period that cannot be shown."""
        chosen: dict[str, Any] = self.form.cleaned_data if self.form.is_valid() else {}
        start, end = chosen.get("start"), chosen.get("end")
        last = midnight(end) + timedelta(days=1) if end else now
        if start is None:
            first = last - timedelta(days=int(chosen.get("length") or USUAL_DAYS))
        return choose_period(start=midnight(start) if start else first, end=last, kept_for=self.kept_for, now=now)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def label_bucket(moment: datetime, period: Period) -> str:
    return f"{moment:%d %b %H:%M}" if period.width == HOUR else f"{moment:%d %b %Y}"


def draw_history(history: History, *, key: str, title: str) -> Chart:
    """What was owned, in use and reserved, with the stretches in which anything was short."""
    points, period = history.points, history.period
    series = [Series("used", "In use", [point.in_use for point in points], filled=True)]
    if any(point.peak > point.in_use for point in points):
        series.append(Series("peak", f"Most in use within the {period.unit}", [point.peak for point in points]))
    if any(point.reserved for point in points):
        series.append(Series("reserved", "Reserved", [point.reserved for point in points]))
    series.append(Series("owned", "Purchased", [point.purchased for point in points]))
    last = points[-1]
    return draw_chart(
        key=key,
        title=title,
        description=(
            f"{label_bucket(points[0].start, period)} to {label_bucket(last.start, period)}, by {period.unit}. "
            f"At the end {number(last.in_use)} in use of {number(last.purchased)} purchased; "
            f"at most {number(max(point.peak for point in points))} in use. "
            f"Something was out of compliance in {sum(point.was_short > 0 for point in points)} of {len(points)}."
        ),
        series=series,
        labels=[label_bucket(point.start, period) for point in points],
        marked=[point.was_short > 0 for point in points],
        band_label="Out of compliance",
    )


def draw_metered(totals: Sequence[MeteredTotal]) -> Chart:
    """Unit-hours of each day, with the days of which nobody has told."""
    hours = [round(total.unit_seconds / 3600) for total in totals]
    silent = [not total.reported for total in totals]
    return draw_chart(
        key="metered",
        title="Unit-hours of each day, all of these licenses together",
        description=(
            f"{totals[0].day:%d %b %Y} to {totals[-1].day:%d %b %Y}: {number(sum(hours))} unit-hours in all, at most"
            f" {number(max(hours))} on one day. Nothing was reported of {sum(silent)} of {len(totals)} days."
        ),
        series=[Series("used", "Unit-hours", hours, filled=True)],
        labels=[f"{total.day:%d %b %Y}" for total in totals],
        marked=silent,
        band_label="Nothing reported",
    )


def list_points(history: History) -> list[dict[str, Any]]:
    """The chart's numbers as rows, newest first."""
    return [{"label": label_bucket(point.start, history.period), "point": point} for point in reversed(history.points)]
