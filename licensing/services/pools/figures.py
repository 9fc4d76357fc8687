"""Writing the figures of pools under the lock of their unit, with a transition for each status that changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Min, Q, Sum

from cssm.common.jobs import nudge
from licensing.models import Allocation, Pool, PoolTransition, PoolUnit, PurchaseLine
from licensing.querysets.loans import add_up, read_higher, settle_loans
from licensing.states import Compliance, TransitionCause

FIGURES: Final = ("purchased", "in_use", "reserved", "borrowed", "lent", "status", "valid_until")
WRITTEN_FIELDS: Final = (*FIGURES, "status_since")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the purchase lines of a license give at a moment, and the next instant at which that changes by itself."""

    purchased: int = 0
    valid_until: datetime | None = None


def read_terms(*, virtual_account_id: int, license_ids: Iterable[int], now: datetime) -> dict[int, Terms]:
    """The terms of the licenses in the Virtual Account at `now`, by license id; absent where there are no lines."""
    running = Q(start__lte=now) & (Q(end__isnull=True) | Q(end__gt=now))
    lefts = (
        Allocation.objects.filter(virtual_account=virtual_account_id, license__in=list(license_ids))
        .running_at(now)
        .order_by()
        .values("license")
        .annotate(quantity=Sum("quantity"))
    )
    left = {row["license"]: row["quantity"] for row in lefts}
    sums = (
        PurchaseLine.objects.filter(virtual_account=virtual_account_id, license__in=list(license_ids))
        .order_by()
        .values("license")
        .annotate(
            purchased=Sum("quantity", filter=running, default=0),
            next_start=Min("start", filter=Q(start__gt=now)),
            next_end=Min("end", filter=Q(end__gt=now)),
        )
    )
    return {
        row["license"]: Terms(
            purchased=row["purchased"] - left.get(row["license"], 0),
            valid_until=min((moment for moment in (row["next_start"], row["next_end"]) if moment), default=None),
        )
        for row in sums
    }


def refresh_terms(pools: Mapping[PoolUnit, Sequence[Pool]], now: datetime) -> None:
    """Set `purchased` and `valid_until` of the pools, by unit, from the lines; `write_pools` writes them.

    Three queries for all units of a Virtual Account whose lines are read for the same moment.
    """
    at_once: dict[tuple[int, datetime], list[PoolUnit]] = defaultdict(list)
    for unit, members in pools.items():
        if members:
            unit.terms_at = latest(now, unit.terms_at)
            at_once[unit.virtual_account_id, unit.terms_at].append(unit)
    for (virtual_account_id, moment), units in at_once.items():
        PoolUnit.objects.filter(pk__in=[unit.pk for unit in units]).update(terms_at=moment)
        chosen = [pool for unit in units for pool in pools[unit]]
        terms = read_terms(
            virtual_account_id=virtual_account_id, license_ids=[pool.license_id for pool in chosen], now=moment
        )
        for pool in chosen:
            found = terms.get(pool.license_id, Terms())
            pool.purchased, pool.valid_until = found.purchased, found.valid_until


def latest(now: datetime, before: datetime | None) -> datetime:
    """Who waited for a lock may carry an earlier `now` than the one who held it; time does not run backwards."""
    return now if before is None else max(now, before)


def balance_of(pool: Pool) -> int:
    return pool.purchased + pool.borrowed - pool.lent - pool.in_use - pool.reserved


def figures_of(pool: Pool) -> tuple[object, ...]:
    """Everything of a pool that a fold may change, for telling whether it did."""
    return tuple(getattr(pool, name) for name in FIGURES)


def settle_unit(unit: PoolUnit, pools: Sequence[Pool]) -> None:
    """Set `borrowed` and `lent` of the pools, all of the unit, from their other figures."""
    higher = read_higher(unit.hierarchy.higher) if unit.hierarchy else {}
    positions = {
        pool.license_id: pool.purchased - pool.in_use - pool.reserved for pool in pools if not pool.license.is_unlimited
    }
    borrowed, lent = add_up(settle_loans(positions, higher) if higher else [])
    for pool in pools:
        pool.borrowed, pool.lent = borrowed.get(pool.license_id, 0), lent.get(pool.license_id, 0)


def write_pools(
    unit: PoolUnit,
    pools: Sequence[Pool],
    *,
    before: dict[int, tuple[object, ...]],
    causes: dict[int, TransitionCause],
    now: datetime,
) -> list[PoolTransition]:
    """Write the pools whose figures are no longer as `before`, the transitions, and the unit's own validity.

    `pools` are all pools of the unit, with their licenses; loans are settled here. The caller has locked the unit.
    """
    settle_unit(unit, pools)
    transitions = []
    for pool in pools:
        status = Compliance.of(balance_of(pool), unlimited=pool.license.is_unlimited)
        if status != pool.status:
            transitions.append(_move(pool, status, causes[pool.pk], now))
        if figures_of(pool) != before[pool.pk]:
            pool.save(update_fields=WRITTEN_FIELDS)
    valid_until = min((pool.valid_until for pool in pools if pool.valid_until), default=None)
    if valid_until != unit.valid_until:
        unit.valid_until = valid_until
        unit.save(update_fields=["valid_until"])
    if transitions:
        PoolTransition.objects.bulk_create(transitions)
        nudge("alerts.dispatch")
    return transitions


def _move(pool: Pool, status: Compliance, cause: TransitionCause, now: datetime) -> PoolTransition:
    at = latest(now, pool.status_since)
    transition = PoolTransition(
        smart_account_id=pool.smart_account_id,
        virtual_account_id=pool.virtual_account_id,
        pool=pool,
        old=pool.status,
        new=status.value,
        cause=cause.value,
        purchased=pool.purchased,
        in_use=pool.in_use,
        reserved=pool.reserved,
        borrowed=pool.borrowed,
        lent=pool.lent,
        balance=balance_of(pool),
        at=at,
    )
    pool.status, pool.status_since = status.value, at
    return transition
