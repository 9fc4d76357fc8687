"""A stretch of the past, cut into hours, days or weeks."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cssm.common.errors import Invalid

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


def choose_period(*, start: datetime | None = None, end: datetime | None = None, now: datetime) -> Period:
    """The period from `start` to `end` (usual: the 30 days up to now), widened to whole buckets in UTC.

    Hours for up to 3 days, days for up to 366, else weeks: 160 to 370 buckets at most. What would lie in the future is
    cut off. Raises `Invalid` (PERIOD_INVALID) where it would be empty or longer than three years.
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
    length = last - first
    width = HOUR if length <= BY_HOUR_UP_TO else DAY if length <= BY_DAY_UP_TO else WEEK
    first = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if width is not HOUR:
        first = first.replace(hour=0)
    count = -((first - last) // width)
    return Period(first, width, count, until=min(now, first + count * width - timedelta(microseconds=1)))


def at_one_moment(moment: datetime, *, now: datetime) -> Period:
    """The period whose only point has the figures of that very moment. Raises `Invalid` (PERIOD_INVALID) for the
    future, and for what is longer ago than three years.
    """
    if moment > now:
        raise Invalid("That moment has not come yet.", code="PERIOD_INVALID", where="asOf")
    if now - moment > LONGEST:
        raise Invalid("That is longer ago than three years.", code="PERIOD_INVALID", where="asOf")
    return Period(moment - timedelta(seconds=1), HOUR, 1, until=moment)
