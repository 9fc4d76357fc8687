"""The raw records of one moment, as plain rows: what the auditor judges by. Nothing here adds anything up."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Sum

from accounts.models import VirtualAccount
from licensing.models import (
    Allocation,
    HierarchyVersion,
    License,
    LicenseChange,
    OwnershipRecord,
    Pool,
    PoolDelta,
    PoolTransition,
    PoolUnit,
    ProductInstance,
    PurchaseLine,
    Usage,
    UsageChange,
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Books:
    """Rows by id. `taken` is what has left each line; `noted` is the use by (pool, instance) that the history and what
    waits for the fold come to; `changing` are licenses whose pools have yet to follow the catalog."""

    accounts: dict[int, Row]
    licenses: dict[int, Row]
    higher: dict[int, dict[int, int]]
    newest: dict[int, int]
    units: dict[int, Row]
    pools: dict[int, Row]
    lines: dict[int, Row]
    allocations: dict[int, Row]
    records: dict[int, Row]
    instances: dict[int, Row]
    uses: dict[int, Row]
    transitions: list[Row]
    taken: Counter[int]
    noted: Counter[tuple[int, int | None]]
    waiting: set[int]
    changing: set[int]

    def pool_ids(self) -> dict[tuple[int, int], int]:
        """By (Virtual Account, license)."""
        return {(pool["virtual_account_id"], pool["license_id"]): pk for pk, pool in self.pools.items()}

    def remaining(self, line_id: int) -> int:
        return int(self.lines[line_id]["quantity"]) - self.taken[line_id]

    def runs(self, line_id: int, moment: datetime) -> bool:
        line = self.lines[line_id]
        return line["start"] <= moment and not (line["end"] is not None and line["end"] <= moment)

    def name(self, virtual_account_id: int, license_id: int) -> str:
        return f"{self.accounts[virtual_account_id]['name']}/{self.licenses[license_id]['tag']}"


def read_books() -> Books:
    """As the database has them; in one snapshot, if the caller's transaction is one."""
    noted: Counter[tuple[int, int | None]] = Counter()
    deltas = _rows(PoolDelta)
    # The history is long: the one sum that is left to the database.
    sums = UsageChange.objects.order_by().values_list("pool", "instance_id").annotate(n=Sum("in_use"))
    for pool_id, instance_id, total in sums:
        noted[pool_id, instance_id] += total
    for delta in deltas:
        noted[delta["pool_id"], delta["instance_id"]] += delta["in_use"]
    taken: Counter[int] = Counter()
    allocations = _by_id(_rows(Allocation))
    for allocation in allocations.values():
        taken[allocation["line_id"]] += allocation["quantity"]
    versions = _rows(HierarchyVersion)
    newest: dict[int, int] = {}
    for version in sorted(versions, key=lambda row: row["number"]):
        newest[version["family_id"]] = version["id"]
    return Books(
        accounts=_by_id(_rows(VirtualAccount)),
        licenses=_by_id(_rows(License)),
        higher={row["id"]: {int(lower): above for lower, above in row["higher"].items()} for row in versions},
        newest=newest,
        units=_by_id(_rows(PoolUnit)),
        pools=_by_id(_rows(Pool)),
        lines=_by_id(_rows(PurchaseLine)),
        allocations=allocations,
        records=_by_id(_rows(OwnershipRecord)),
        instances=_by_id(_rows(ProductInstance)),
        uses=_by_id(_rows(Usage)),
        transitions=_rows(PoolTransition),
        taken=taken,
        noted=noted,
        waiting={delta["pool_id"] for delta in deltas},
        changing={row["license_id"] for row in _rows(LicenseChange)},
    )


def _rows(model: Any) -> list[Row]:
    """Every row of the table. The statement is made once: an audit reads all tables after every single step."""
    sql, names, compiler, converters = _statement(model)
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetchall()
    return [dict(zip(names, row, strict=True)) for row in compiler.apply_converters(found, converters)]


@cache
def _statement(model: Any) -> tuple[str, list[str], Any, Any]:
    compiler = model._base_manager.order_by("pk").query.get_compiler("default")
    sql, _ = compiler.as_sql()
    columns = [expression for expression, *_ in compiler.select]
    return sql, [column.target.attname for column in columns], compiler, compiler.get_converters(columns)


def _by_id(rows: Iterable[Row]) -> dict[int, Row]:
    return {row["id"]: row for row in rows}


def group(rows: Iterable[Row], *columns: str) -> dict[Any, list[Row]]:
    """Rows by the values of the columns, in their order."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[column] for column in columns) if len(columns) > 1 else row[columns[0]]].append(row)
    return found
