"""Changes of use and reservations: rows that the fold adds to the figures, so that no pool is a hot row.

The fold moves them to the history (`UsageChange`), where they stay for good.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

from django.db import connection

from cssm.common.jobs import nudge
from cssm.common.statements import change

FOLD_TASK: Final = "licensing.fold_pools"
FOLD_INTERVAL: Final = 0.5
"""Seconds. The schedule folds every second in any case, and figures count what is not folded yet."""
# By hand, for every device message that changes a use comes through here: the model takes three times as long.
ADD: Final = (
    "INSERT INTO licensing_pooldelta (pool_id, virtual_account_id, instance_id, in_use, reserved, at) VALUES {}"
)
_KEEP: Final = """
INSERT INTO licensing_usagechange (smart_account_id, virtual_account_id, pool_id, instance_id, in_use, reserved, at)
SELECT p.smart_account_id, p.virtual_account_id, d.pool_id, d.instance_id, d.in_use, d.reserved, d.at
  FROM {deltas} d JOIN licensing_pool p ON p.id = d.pool_id ORDER BY d.id
"""
_DELETE: Final = "DELETE FROM licensing_pooldelta WHERE pool_id"
_SUMS: Final = "SELECT pool_id, SUM(in_use)::bigint, SUM(reserved)::bigint FROM taken GROUP BY pool_id"
# PostgreSQL moves and adds up in one statement; SQLite has one writer, so nothing comes in between its two.
MOVE: Final = {
    "postgresql": [
        f"WITH taken AS ({_DELETE} = ANY(%s) RETURNING *), kept AS ({_KEEP.format(deltas='taken')}) {_SUMS}",
    ],
    "sqlite": [
        _KEEP.format(deltas="(SELECT * FROM licensing_pooldelta WHERE pool_id IN (SELECT value FROM json_each(%s)))"),
        "DELETE FROM licensing_pooldelta WHERE pool_id IN (SELECT value FROM json_each(%s))"
        " RETURNING pool_id, in_use, reserved",
    ],
}

MOST_DEAD: Final = 1_000
# Who reads deltas goes past what is left of those that were taken. They come and go by hundreds a second, and
# PostgreSQL's own round comes once a minute at best.
_IS_LITTERED: Final = """
SELECT 1 FROM pg_stat_user_tables WHERE relid = 'licensing_pooldelta'::regclass AND n_dead_tup > %s
   AND (last_vacuum IS NULL OR last_vacuum < clock_timestamp() - interval '2 seconds')
"""
_VACUUM: Final = "VACUUM (SKIP_LOCKED, TRUNCATE FALSE, INDEX_CLEANUP ON) licensing_pooldelta"


@dataclass(frozen=True, slots=True)
class PoolChange:
    """How much the use or the reservations of one pool grow (negative: shrink), and through which instance."""

    pool_id: int
    instance_id: int | None = None
    in_use: int = 0
    reserved: int = 0


def record_change(*, virtual_account_id: int, changes: Iterable[PoolChange], now: datetime) -> int:
    """Insert the changes of pools of one Virtual Account and ask for a fold; returns how many there were.

    Call it in the transaction of the records they follow from. Locks nothing.
    """
    at = connection.ops.adapt_datetimefield_value(now)
    rows = [
        (each.pool_id, virtual_account_id, each.instance_id, each.in_use, each.reserved, at)
        for each in changes
        if each.in_use or each.reserved
    ]
    if rows:
        change(ADD.format(", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(rows))), list(chain(*rows)))
        nudge(FOLD_TASK, interval=FOLD_INTERVAL)
    return len(rows)


def take_deltas(pool_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Move what is pending for the pools to the history and return its sums, (in_use, reserved) by pool id.

    Under the lock of their unit. Exactly the rows that this statement saw and removed are counted: a watermark would
    lose those that commit late with a low id.
    """
    sums: dict[int, tuple[int, int]] = {}
    with connection.cursor() as cursor:
        for statement in MOVE[connection.vendor]:
            cursor.execute(statement, [id_list(pool_ids)])
        for pool_id, in_use, reserved in cursor.fetchall():
            before = sums.get(pool_id, (0, 0))
            sums[pool_id] = (before[0] + in_use, before[1] + reserved)
    return sums


def clear_remains() -> bool:
    """Let PostgreSQL reclaim what is left of taken deltas, where that is much; whether it did. Not in a transaction."""
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_IS_LITTERED, [MOST_DEAD])
        if cursor.fetchone() is None:
            return False
        cursor.execute(_VACUUM)
    return True


def id_list(ids: Sequence[int]) -> Any:
    """A list of ids as one SQL parameter: an array, or JSON for SQLite's `json_each`."""
    return list(ids) if connection.vendor == "postgresql" else json.dumps(list(ids))
