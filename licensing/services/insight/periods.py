"""A stretch of the past, cut into hours, days or weeks."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cssm.common.errors import Invalid
from licensing.services.pools.compaction import KEPT_FOR

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(weeks=1)
BY_HOUR_UP_TO: Final = timedelta(days=3)
BY_DAY_UP_TO: Final = timedelta(days=366)
LONGEST: Final = timedelta(days=3 * 366)
USUAL: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Period:
    """`count` buckets of `width` from `start`; a bucket ends just before the next begins.

    `until` is the last moment that counts: the end of the last bucket, or now where that has not come yet.
    """

    start: datetime
    width: timedelta
    count: int
    until: datetime

    def edge(self, number: int) -> datetime:
        """When the bucket of that number begins; `count` gives the end of the last."""
        return self.start + number * self.width

    def closing(self, number: int) -> datetime:
        """The last moment of the bucket that counts."""
        return min(self.edge(number + 1) - timedelta(microseconds=1), self.until)

    def bucket_of(self, moment: datetime) -> int:
        """The bucket that holds the moment; below 0 before the period, `count` or more after it."""
        return (moment - self.start) // self.width

    @property
    def unit(self) -> str:
        return {HOUR: "hour", DAY: "day", WEEK: "week"}[self.width]


def choose_period(
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    kept_for: timedelta | None = KEPT_FOR,
    now: datetime,
) -> Period:
    """The period from `start` to `end` (usual: the 30 days up to now), widened to whole buckets in UTC.

    Hours for up to 3 days, days for up to 366, else weeks: 160 to 370 buckets at most. What would lie in the future is
    cut off. Raises `Invalid` (PERIOD_INVALID) where it would be empty, longer than three years, or begin before what is
    asked of was kept: `kept_for` is for how long it is, None without end.
    """
    last = min(end or now, now)
    first = start or last - USUAL
    if first >= last:
        raise Invalid(
            "The period is empty: it has to begin before it ends, and before now.",
            code="PERIOD_INVALID",
            where="startDate",
        )
    if last - first > LONGEST:
        raise Invalid(
            "The period is longer than three years. Choose a later start.", code="PERIOD_INVALID", where="startDate"
        )
    if kept_for is not None:
        _check_kept(first, kept_for, "startDate", now)
    length = last - first
    width = HOUR if length <= BY_HOUR_UP_TO else DAY if length <= BY_DAY_UP_TO else WEEK
    first = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if width is not HOUR:
        first = first.replace(hour=0)
    count = -((first - last) // width)
    return Period(first, width, count, until=min(now, first + count * width - timedelta(microseconds=1)))


def at_one_moment(moment: datetime, *, now: datetime) -> Period:
    """The period whose only point has the figures of that very moment. Raises `Invalid` (PERIOD_INVALID) for the
    future, and for what is longer ago than the history is kept.
    """
    if moment > now:
        raise Invalid("That moment has not come yet.", code="PERIOD_INVALID", where="asOf")
    _check_kept(moment, KEPT_FOR, "asOf", now)
    return Period(moment - timedelta(seconds=1), HOUR, 1, until=moment)


def _check_kept(moment: datetime, kept_for: timedelta, where: str, now: datetime) -> None:
    """Whole days are dropped: a figure of before the first that is left would be that of its beginning."""
    first = (now - kept_for).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if moment < first:
        raise Invalid(
            f"The history of use is kept for 24 months: it begins on {first:%Y-%m-%d}.",
            code="PERIOD_INVALID",
            where=where,
            details={"from": f"{first:%Y-%m-%d}"},
        )
