"""What pools owned and had in use at past moments, added up by the database, bucket by bucket.

Use is known backwards: what is in use now without the changes since (`UsageChange`, and what the fold has not taken
yet). Ownership is known forwards: a line counts from its start or, if that is later, from when it was written, until
its end; what left it, from the allocation's moment. One statement reads everything, so that no change is counted twice
or missed while a fold commits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection

from licensing.querysets.pools import PoolQuerySet
from licensing.services.insight.periods import Period

# The running sum is taken over moments and not over rows: what happens at the same instant is seen together, so that
# licenses that move from one pool to another are never in both.
_STATEMENT: Final = """
WITH chosen AS (
  SELECT id, virtual_account_id, license_id, in_use, reserved FROM licensing_pool WHERE id IN ({pools})
), held AS (
  SELECT c.id AS pool, l.id AS line, l.quantity, l."end" AS until, {greatest}(l.start, l.created_at) AS since
    FROM chosen c JOIN licensing_purchaseline l
      ON l.virtual_account_id = c.virtual_account_id AND l.license_id = c.license_id
   WHERE l."end" IS NULL OR l."end" > {greatest}(l.start, l.created_at)
), gone AS (
  SELECT h.pool, a.quantity, h.until, {greatest}(a.at, h.since) AS since
    FROM held h JOIN licensing_allocation a ON a.line_id = h.line WHERE h.until IS NULL OR a.at < h.until
), changes AS (
  SELECT u.pool_id AS pool, u.at, u.in_use, u.reserved
    FROM chosen c JOIN licensing_usagechange u ON u.pool_id = c.id WHERE u.at >= %s
  UNION ALL
  SELECT d.pool_id, d.at, d.in_use, d.reserved
    FROM chosen c JOIN licensing_pooldelta d ON d.pool_id = c.id WHERE d.at >= %s
), events AS (
  SELECT pool, at, 0 AS purchased, in_use, reserved FROM changes
  UNION ALL SELECT pool, since, quantity, 0, 0 FROM held WHERE since <= %s
  UNION ALL SELECT pool, until, -quantity, 0, 0 FROM held WHERE until <= %s
  UNION ALL SELECT pool, since, -quantity, 0, 0 FROM gone WHERE since <= %s
  UNION ALL SELECT pool, until, quantity, 0, 0 FROM gone WHERE until <= %s
), present AS (
  SELECT id AS pool, in_use, reserved FROM chosen
  UNION ALL
  SELECT d.pool_id, d.in_use, d.reserved FROM chosen c JOIN licensing_pooldelta d ON d.pool_id = c.id
), running AS (
  SELECT {key} AS pool, purchased, in_use, reserved,
         CASE WHEN at < %s THEN -1 WHEN at > %s THEN {count} ELSE {bucket} END AS bucket,
         SUM(in_use) OVER ({partition} ORDER BY at) AS used
    FROM events
)
SELECT pool, bucket, SUM(purchased), SUM(in_use), SUM(reserved), MAX(used) FROM running GROUP BY pool, bucket
UNION ALL
SELECT pool, NULL, 0, SUM(in_use), SUM(reserved), 0
  FROM (SELECT {key} AS pool, in_use, reserved FROM present) AS figures GROUP BY pool
"""
_DIALECT: Final = {
    "postgresql": {
        "greatest": "GREATEST",
        "bucket": "FLOOR(EXTRACT(EPOCH FROM at - %s) / {width})::integer",
    },
    "sqlite": {
        "greatest": "MAX",
        "bucket": "(CAST(strftime('%%s', at) AS integer) - CAST(strftime('%%s', %s) AS integer)) / {width}",
    },
}
ALL_TOGETHER: Final = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """At the end of a bucket; `peak` is the most in use at any moment of it."""

    purchased: int
    in_use: int
    reserved: int
    peak: int


@dataclass(slots=True)
class Course:
    """The changes in each bucket that has any: (purchased, in use, reserved, most in use since the start)."""

    in_use_now: int = 0
    reserved_now: int = 0
    changes: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)

    def figures(self, count: int) -> Iterator[Figures]:
        """The figures of every bucket of the period, in order."""
        purchased = self.changes.get(-1, (0, 0, 0, 0))[0]
        at_start = in_use = self.in_use_now - sum(change[1] for change in self.changes.values())
        reserved = self.reserved_now - sum(change[2] for change in self.changes.values())
        for number in range(count):
            peak = in_use
            if change := self.changes.get(number):
                purchased, in_use, reserved = purchased + change[0], in_use + change[1], reserved + change[2]
                peak = max(peak, at_start + change[3])
            yield Figures(purchased, in_use, reserved, peak)


def read_courses(pools: PoolQuerySet, period: Period, *, together: bool = False) -> dict[int, Course]:
    """The course of each of the pools by id, or of their sum under `ALL_TOGETHER`."""
    dialect = _DIALECT[connection.vendor]
    try:
        chosen, parameters = pools.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:  # a filter that nothing can meet, such as one of an empty list of keys
        return {}
    statement = _STATEMENT.format(
        pools=chosen,
        key=ALL_TOGETHER if together else "pool",
        partition="" if together else "PARTITION BY pool",
        greatest=dialect["greatest"],
        bucket=dialect["bucket"].format(width=int(period.width.total_seconds())),
        count=period.count,
    )
    start, until = _stored(period.start), _stored(period.until)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, start, start, *[until] * 4, start, until, start])
        return _collect(cursor)


def _collect(rows: Any) -> dict[int, Course]:
    courses: dict[int, Course] = {}
    for pool, bucket, purchased, in_use, reserved, used in rows:
        course = courses.setdefault(pool, Course())
        if bucket is None:
            course.in_use_now, course.reserved_now = int(in_use), int(reserved)
        else:
            course.changes[bucket] = (int(purchased), int(in_use), int(reserved), int(used))
    return courses


def _stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
