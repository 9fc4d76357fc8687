"""What a product is told: the status of its licenses and of its Virtual Account, with its own change counted.

One hand-written statement, for it runs for every authorization request: the same figures as
`PoolQuerySet.with_figures`, which a test holds it to. Only where licenses that stand in for each other have changed
since the last fold, a second query reads their family whole and settles the loans.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from django.db import connection

from cssm.common.statements import prepared_cursor
from licensing.models import License, Pool, PoolUnit
from licensing.querysets.loans import add_up, read_higher, settle_loans
from licensing.services.pools.deltas import id_list
from licensing.states import Billing, Compliance

# Pools that are not asked for matter only if they may be short: short at the last fold, changed or outdated since.
_FIGURES: Final = """
SELECT p.license_id, p.id, l.billing,
       {purchased} + p.borrowed - p.lent - p.in_use - p.reserved - COALESCE(d.used, 0) AS balance,
       p.unit_id, u.hierarchy_id IS NOT NULL AS may_borrow, {stale}
  FROM licensing_pool p
  JOIN licensing_license l ON l.id = p.license_id
  JOIN licensing_poolunit u ON u.id = p.unit_id
  LEFT JOIN (SELECT pool_id, SUM(in_use + reserved) AS used FROM licensing_pooldelta
              WHERE virtual_account_id = {va} GROUP BY pool_id) d ON d.pool_id = p.id
 WHERE p.virtual_account_id = {va}
   AND (p.license_id {among} OR p.status = 'out_of_compliance' OR d.pool_id IS NOT NULL OR p.valid_until <= {now})
"""
_PURCHASED: Final = """
       CASE WHEN p.valid_until <= {now} THEN (
              SELECT COALESCE(SUM(n.quantity), 0) FROM licensing_purchaseline n
               WHERE n.virtual_account_id = p.virtual_account_id AND n.license_id = p.license_id
                 AND n.start <= {now} AND (n."end" IS NULL OR n."end" > {now})) - (
              SELECT COALESCE(SUM(a.quantity), 0) FROM licensing_allocation a
                JOIN licensing_purchaseline n ON n.id = a.line_id
               WHERE a.virtual_account_id = p.virtual_account_id AND a.license_id = p.license_id
                 AND n.start <= {now} AND (n."end" IS NULL OR n."end" > {now})) + (
              SELECT COALESCE(SUM(h.quantity), 0) FROM licensing_hold h
                JOIN licensing_purchaseline n ON n.id = h.line_id
               WHERE h.virtual_account_id = p.virtual_account_id AND h.license_id = p.license_id
                 AND h.ended_at IS NULL AND n."end" <= {now})
            ELSE p.purchased END"""
_ENDED: Final = "COALESCE(p.valid_until <= {now}, FALSE)"
_NOW: Final = "%(now)s"


def _figures(among: str) -> str:
    stale = f"d.pool_id IS NOT NULL OR {_ENDED.format(now=_NOW)} AS is_stale"
    return _FIGURES.format(
        purchased=_PURCHASED.format(now=_NOW), stale=stale, va="%(va)s", now=_NOW, among=among.format("%(licenses)s")
    )


STATEMENTS: Final = {
    "postgresql": _figures("= ANY({})"),
    "sqlite": _figures("IN (SELECT value FROM json_each({}))"),
}
# The same as one value beside the row of a product: the figures of its Virtual Account, for what it used so far. What
# is purchased is not counted there, for that takes PostgreSQL half as long again, and is needed once a line has ended.
_BESIDE: Final = _FIGURES.format(
    purchased="p.purchased",
    stale=f"d.pool_id IS NOT NULL AS is_stale, {_ENDED.format(now='%s')} AS is_ended",
    va="licensing_productinstance.virtual_account_id",
    now="%s",
    among="IN (SELECT g.license_id FROM licensing_usage g"
    " WHERE g.instance_id = licensing_productinstance.id AND g.source = 'report')",
)
_COLUMNS: Final = "f.license_id, f.id, f.billing, f.balance, f.unit_id, f.may_borrow, f.is_stale, f.is_ended"
FIGURES_BESIDE_PRODUCT: Final = {
    "postgresql": f"(SELECT json_agg(json_build_array({_COLUMNS}))::text FROM ({_BESIDE}) f)",  # noqa: S608  our own names
    "sqlite": f"(SELECT json_group_array(json_array({_COLUMNS})) FROM ({_BESIDE}) f)",  # noqa: S608  our own names
}
MOMENTS_BESIDE_PRODUCT: Final = _BESIDE.count("%s")
"""How many times `now` is given to it, and nothing else."""


class Figures(NamedTuple):
    """One pool as it is without the change that is judged; `is_stale` where it is newer than the last fold."""

    license_id: int
    pool_id: int
    billing: str
    balance: int
    unit_id: int
    may_borrow: bool
    is_stale: bool


def figures_beside(text: str | None) -> list[Figures] | None:
    """What `FIGURES_BESIDE_PRODUCT` gave; nothing where a line has ended, so that they must be read anew."""
    rows = msgspec.json.decode(text) if text else []
    if any(is_ended for *_, is_ended in rows):
        return None
    return [Figures(*row[:-1]) for row in rows]


@dataclass(frozen=True, slots=True)
class VaAssessment:
    """`statuses` by id of every license asked for; `pools` are the ids of their pools, of those that have one."""

    va_compliant: bool
    statuses: dict[int, Compliance]
    pools: dict[int, int] = field(default_factory=dict)


def assess(
    *,
    virtual_account_id: int,
    license_ids: Collection[int],
    now: datetime,
    own_changes: Mapping[int, int] | None = None,
    figures: Sequence[Figures] | None = None,
) -> VaAssessment:
    """Live figures at `now`, pending deltas included, in one statement, unless `figures` tell all that is asked for.

    `own_changes` is by how much the asker's use of a license grows (negative: shrinks), where that is not written yet.
    """
    changes = own_changes or {}
    asked = set(license_ids) | changes.keys()
    if figures is None or not asked <= {each.license_id for each in figures}:
        figures = _read(virtual_account_id, asked, now)
    statuses: dict[int, Compliance] = {}
    pools: dict[int, int] = {}
    unsettled: set[int] = set()
    short_units: set[int] = set()
    for license_id, pool_id, billing, balance, unit_id, may_borrow, is_stale in figures:
        growth = changes.get(license_id, 0)
        if may_borrow and (is_stale or growth):
            unsettled.add(unit_id)
        status = Compliance.of(balance - growth, unlimited=billing == Billing.USAGE)
        if status is not Compliance.AUTHORIZED:
            short_units.add(unit_id)
        if license_id in asked:
            statuses[license_id], pools[license_id] = status, pool_id
    va_compliant = True
    if bare := asked - statuses.keys():
        without_pools = _read_bare(bare)
        statuses.update(
            {row.pk: Compliance.of(-changes.get(row.pk, 0), unlimited=row.is_unlimited) for row in without_pools}
        )
        va_compliant = all(statuses[id] is Compliance.AUTHORIZED for id in bare)
        if any(row.higher_id is not None for row in without_pools):
            families = [row.family_id for row in without_pools]
            units = PoolUnit.objects.filter(virtual_account=virtual_account_id, family__in=families)
            unsettled.update(units.exclude(hierarchy=None).values_list("pk", flat=True))
    if unsettled:
        settled = _settle(unsettled, changes, now)
        statuses.update({id: status for id, status in settled.items() if id in asked})
        bare_statuses = [statuses[id] for id in bare]
        va_compliant = all(each is Compliance.AUTHORIZED for each in [*bare_statuses, *settled.values()])
    va_compliant = va_compliant and short_units <= unsettled
    return VaAssessment(va_compliant=va_compliant, statuses=statuses, pools=pools)


def _read(virtual_account_id: int, license_ids: Collection[int], now: datetime) -> list[Figures]:
    parameters: dict[str, Any] = {
        "va": virtual_account_id,
        "now": connection.ops.adapt_datetimefield_value(now),
        "licenses": id_list(sorted(license_ids)),
    }
    with prepared_cursor() as cursor:
        cursor.execute(STATEMENTS[connection.vendor], parameters)
        return [Figures(*row) for row in cursor.fetchall()]


def _settle(unit_ids: Collection[int], changes: Mapping[int, int], now: datetime) -> dict[int, Compliance]:
    """The statuses of all licenses of the units, and of those about to be used first, with loans as of `now`."""
    rows = Pool.objects.filter(unit__in=unit_ids).positions(now)
    by_unit: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_unit.setdefault(row["unit"], []).append(row)
    statuses: dict[int, Compliance] = {}
    for members in by_unit.values():
        higher = read_higher(members[0]["higher"])
        own = {row["license"]: row["position"] for row in members if not row["unlimited"]}
        unlimited = {row["license"] for row in members if row["unlimited"]}
        family = own.keys() | higher.keys()
        for license_id in (changes.keys() & family) - unlimited:
            own[license_id] = own.get(license_id, 0) - changes[license_id]
        borrowed, _ = add_up(settle_loans(own, higher))
        statuses.update(dict.fromkeys(unlimited, Compliance.AUTHORIZED))
        # What a license lends is its surplus: only what stays uncovered makes it short.
        for license_id, position in own.items():
            statuses[license_id] = Compliance.of(position + borrowed.get(license_id, 0), unlimited=False)
    return statuses


def _read_bare(license_ids: Collection[int]) -> list[License]:
    """Licenses that this Virtual Account never had nor used: of their own nothing covers what the asker takes."""
    return list(License.objects.filter(pk__in=license_ids).only("pk", "billing", "higher", "family"))
