"""What is used in each local Virtual Account, as counters: a message must not cost more the more products there are.

An HA group counts once, as its member that reports most.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

_ALONE = """
    SELECT u.tag, u.quantity FROM usage u JOIN instance i ON i.id = u.instance_id
    WHERE i.id = :instance AND i.is_active AND i.ha_group = '' AND u.quantity > 0"""

_TOGETHER = """
    SELECT u.tag, MAX(u.quantity) AS quantity FROM instance i JOIN usage u ON u.instance_id = i.id
    WHERE i.ha_group = :group AND i.account_id = :account AND i.is_active AND u.quantity > 0 GROUP BY u.tag"""

COUNTED_ANEW = """
    SELECT account_id, tag, SUM(quantity) AS quantity FROM (
        SELECT i.account_id, u.tag, MAX(u.quantity) AS quantity FROM usage u JOIN instance i ON i.id = u.instance_id
        WHERE i.is_active GROUP BY i.account_id, u.tag, CASE i.ha_group WHEN '' THEN i.id ELSE i.ha_group END
    ) GROUP BY account_id, tag HAVING SUM(quantity) > 0"""
"""What the counters must show, from all that there is."""


@contextmanager
def recounted(database: sqlite3.Connection, instance: sqlite3.Row, *, group: str | None = None) -> Iterator[None]:
    """Keep the counters right over a change to one instance's use, group or end; `group` is the one that it joins."""
    groups = {instance["ha_group"], group or ""} - {""}
    before = _count(database, instance, groups)
    yield
    after = _count(database, instance, groups)
    changes = {tag: after.get(tag, 0) - before.get(tag, 0) for tag in before.keys() | after.keys()}
    database.executemany(
        "INSERT INTO account_use (account_id, tag, quantity) VALUES (?, ?, ?)"
        " ON CONFLICT (account_id, tag) DO UPDATE SET quantity = quantity + excluded.quantity",
        [(instance["account_id"], tag, change) for tag, change in changes.items() if change],
    )


def _count(database: sqlite3.Connection, instance: sqlite3.Row, groups: set[str]) -> dict[str, int]:
    total: dict[str, int] = {}
    found = [database.execute(_ALONE, {"instance": instance["id"]}).fetchall()]
    for group in groups:
        members = database.execute(_TOGETHER, {"group": group, "account": instance["account_id"]})
        found.append(members.fetchall())
    for row in (row for rows in found for row in rows):
        total[row["tag"]] = total.get(row["tag"], 0) + row["quantity"]
    return total
