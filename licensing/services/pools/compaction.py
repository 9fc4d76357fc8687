"""The history of use is kept change by change for 90 days, by day after that, and for 24 months in all.

Of each pool and day stay its use when most was in use and at the end of the day: charts and reports by days or weeks
say the same before and after.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Max, Min

from cssm.common.leases import lease
from licensing.models import HistoryCompaction, UsageChange
from licensing.states import CompactionKind

WHOLE_FOR: Final = timedelta(days=90)
KEPT_FOR: Final = timedelta(days=731)
DAY: Final = timedelta(days=1)
MOST_DAYS: Final = 30
LEASE_SECONDS: Final = 3600

# All of an instance up to the moment of the peak becomes one row at that moment, the rest of the day one at the day's
# last change: no moment in between shows a sum that there never was.
_COMPACT: Final = """
INSERT INTO licensing_usagechange (smart_account_id, virtual_account_id, pool_id, instance_id, in_use, reserved, at)
WITH of_day AS (
  SELECT * FROM licensing_usagechange WHERE at >= %s AND at < %s AND id <= %s
), running AS (
  SELECT pool_id, at, SUM(in_use) OVER (PARTITION BY pool_id ORDER BY at) AS used FROM of_day
), ends AS (
  SELECT pool_id, MAX(at) AS last, MAX(used) AS most FROM running GROUP BY pool_id
), peaks AS (
  SELECT e.pool_id, e.last, MIN(CASE WHEN r.used = e.most AND e.most > 0 THEN r.at END) AS peak
    FROM ends e JOIN running r ON r.pool_id = e.pool_id GROUP BY e.pool_id, e.last
), placed AS (
  SELECT d.smart_account_id, d.virtual_account_id, d.pool_id, d.instance_id, d.in_use, d.reserved,
         CASE WHEN d.at <= p.peak THEN p.peak ELSE p.last END AS moment
    FROM of_day d JOIN peaks p ON p.pool_id = d.pool_id
)
SELECT smart_account_id, virtual_account_id, pool_id, instance_id, SUM(in_use), SUM(reserved), moment
  FROM placed GROUP BY smart_account_id, virtual_account_id, pool_id, instance_id, moment
HAVING SUM(in_use) <> 0 OR SUM(reserved) <> 0
"""


def compact_history(*, now: datetime, limit: int = MOST_DAYS) -> int:
    """Drop and compact the days whose time has come, oldest first; returns how many days were worked on."""
    with lease("licensing.compact_history", now=now, seconds=LEASE_SECONDS) as obtained:
        if not obtained:
            return 0
        done = 0
        for kind, age in ((CompactionKind.DROPPED, KEPT_FOR), (CompactionKind.COMPACTED, WHOLE_FOR)):
            before = _midnight(now - age)
            while done < limit and (day := _find_day(kind, before)) is not None:
                _work_on(kind, day, now)
                done += 1
        return done


def _find_day(kind: CompactionKind, before: datetime) -> datetime | None:
    """The first day, beginning at midnight UTC, that has changes and was not worked on."""
    changes = UsageChange.objects.filter(at__lt=before)
    last = HistoryCompaction.objects.filter(kind=kind).aggregate(until=Max("until"))["until"]
    if last is not None:
        changes = changes.filter(at__gte=last)
    first = changes.aggregate(at=Min("at"))["at"]
    return None if first is None else _midnight(first)


def _work_on(kind: CompactionKind, day: datetime, now: datetime) -> None:
    """One day in one transaction: whoever reads sees all of it as it was, or as it is then."""
    with transaction.atomic():
        opened = HistoryCompaction.objects.create(kind=kind, start=day, until=day + DAY, at=now)
        highest = UsageChange.objects.aggregate(pk=Max("pk"))["pk"]
        if kind is CompactionKind.COMPACTED:
            bounds = [connection.ops.adapt_datetimefield_value(moment) for moment in (day, day + DAY)]
            with connection.cursor() as cursor:
                cursor.execute(_COMPACT, [*bounds, highest])
        UsageChange.objects.filter(at__gte=day, at__lt=day + DAY, pk__lte=highest).delete()
        opened.is_open = False
        opened.save(update_fields=["is_open"])


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
