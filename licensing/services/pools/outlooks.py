"""The outlooks of many families in many Virtual Accounts at once, in three queries whatever their number."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from licensing.models import HierarchyVersion, Hold, Pool, PoolUnit, PurchaseLine
from licensing.querysets.loans import read_higher
from licensing.services.pools.timeline import Outlook, TermRow


def read_outlooks(*, unit_ids: Collection[int], now: datetime) -> dict[int, Outlook]:
    """What `timeline.read_outlook` reads of one unit, of each of these, by unit."""
    pools: dict[int, list[Pool]] = defaultdict(list)
    chosen = Pool.objects.filter(unit__in=unit_ids).with_own_figures(now)
    for pool in chosen.select_related("license", "unit__hierarchy").order_by("pk"):
        pools[pool.unit_id].append(pool)
    units = {(pool.virtual_account_id, pool.license_id): pool.unit_id for found in pools.values() for pool in found}
    rows, reliefs = _read_rows(units, now), _read_reliefs(units, now)
    return {unit: _make(members, rows[unit], reliefs[unit], now) for unit, members in pools.items()}


def read_family_outlooks(
    *, virtual_account_ids: Collection[int], family_ids: Collection[int], now: datetime
) -> dict[tuple[int, int], Outlook]:
    """By Virtual Account and family, also where nothing of the family is there yet. Five queries."""
    units = PoolUnit.objects.filter(virtual_account__in=virtual_account_ids, family__in=family_ids)
    place_of = {pk: (account, family) for pk, account, family in units.values_list("pk", "virtual_account", "family")}
    found = {place_of[unit]: outlook for unit, outlook in read_outlooks(unit_ids=place_of, now=now).items()}
    versions = HierarchyVersion.objects.filter(family__in=family_ids).order_by("family", "number")
    newest = dict(versions.values_list("family_id", "higher"))
    for place in ((account, family) for account in virtual_account_ids for family in family_ids):
        if place not in found:
            higher = read_higher(newest.get(place[1]))
            found[place] = Outlook(instants=[now], needs={}, unlimited=frozenset(), higher=higher, rows=[])
    return found


def _make(pools: list[Pool], rows: list[TermRow], reliefs: list[TermRow], now: datetime) -> Outlook:
    moments = {moment for row in rows for moment in (row.start, row.end) if moment is not None and moment > now}
    hierarchy = pools[0].unit.hierarchy
    return Outlook(
        instants=[now, *sorted(moments)],
        needs={pool.license_id: pool.now_in_use + pool.now_reserved for pool in pools},
        unlimited=frozenset(pool.license_id for pool in pools if pool.license.is_unlimited),
        higher=read_higher(hierarchy.higher if hierarchy else None),
        rows=rows,
        reliefs=reliefs,
    )


def _read_reliefs(units: Mapping[tuple[int, int], int], now: datetime) -> dict[int, list[TermRow]]:
    """By unit: what of the reservations ends with its line (`timeline.read_reliefs`)."""
    holds = Hold.objects.counting().filter(
        virtual_account__in={virtual_account for virtual_account, _ in units},
        license__in={license_id for _, license_id in units},
        line__end__gt=now,
    )
    rows: dict[int, list[TermRow]] = defaultdict(list)
    for hold in holds.select_related("line"):
        unit = units.get((hold.virtual_account_id, hold.license_id))
        if unit is not None and hold.line is not None and hold.line.end is not None:
            rows[unit].append(TermRow(hold.license_id, hold.quantity, hold.line.end, None))
    return rows


def _read_rows(units: Mapping[tuple[int, int], int], now: datetime) -> dict[int, list[TermRow]]:
    """By unit: what is left of the lines that run or will run."""
    lines = PurchaseLine.objects.filter(
        virtual_account__in={virtual_account for virtual_account, _ in units},
        license__in={license_id for _, license_id in units},
    )
    rows: dict[int, list[TermRow]] = defaultdict(list)
    for line in lines.not_ended_at(now).with_anything_left():
        unit = units.get((line.virtual_account_id, line.license_id))
        if unit is not None:
            rows[unit].append(TermRow(line.license_id, line.remaining, line.start, line.end))
    return rows
