"""The fold: takes pending deltas into the figures, and alone writes status transitions.

Every unit is folded in a short transaction of its own, under its lock. Who changes use never waits for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, transaction

from licensing.models import Pool, PoolDelta, PoolTransition, PoolUnit
from licensing.services.pools.catalog_changes import follow_catalog
from licensing.services.pools.deltas import clear_remains, take_deltas
from licensing.services.pools.figures import figures_of, latest, refresh_terms, write_pools
from licensing.services.pools.holds import end_holds
from licensing.services.pools.units import lock_units
from licensing.states import TransitionCause

log = structlog.get_logger(__name__)

MOST_UNITS: Final = 5_000


def fold_unit(
    *, unit_id: int, now: datetime, cause: TransitionCause = TransitionCause.USE, recompute: bool = False
) -> list[PoolTransition]:
    """Bring the unit's pools up to date and return the transitions written; joins the caller's transaction.

    Purchased is read from the lines where the pool's validity has run out, or everywhere with `recompute` (after lines
    were written in this transaction).
    """
    return fold_units(unit_ids=[unit_id], now=now, cause=cause, recompute=recompute)


def fold_units(
    *, unit_ids: Iterable[int], now: datetime, cause: TransitionCause = TransitionCause.USE, recompute: bool = False
) -> list[PoolTransition]:
    """As `fold_unit`, of many at once: a handful of queries, and one for each pool whose figures change."""
    with transaction.atomic():
        return fold_locked(lock_units(unit_ids), now=now, cause=cause, recompute=recompute)


def fold_locked(
    units: Sequence[PoolUnit], *, now: datetime, cause: TransitionCause, recompute: bool
) -> list[PoolTransition]:
    """As `fold_units`, for units whose locks the caller holds."""
    pools: dict[PoolUnit, list[Pool]] = {unit: [] for unit in units}
    of_id = {unit.pk: unit for unit in units}
    for pool in Pool.objects.filter(unit__in=list(of_id)).select_related("license").order_by("pk"):
        pools[of_id[pool.unit_id]].append(pool)
    before = {pool.pk: figures_of(pool) for members in pools.values() for pool in members}
    taken = take_deltas(list(before))
    ended = {unit: _ended(unit, members, now) for unit, members in pools.items()}
    refresh_terms(pools if recompute else ended, now)
    transitions = []
    for unit, members in pools.items():
        transitions += _write(unit, members, before, taken, ended[unit], cause, now)
    return transitions


def _ended(unit: PoolUnit, pools: Sequence[Pool], now: datetime) -> list[Pool]:
    """Those whose figures have run out of validity."""
    moment = latest(now, unit.terms_at)
    return [pool for pool in pools if pool.valid_until is not None and pool.valid_until <= moment]


def _write(
    unit: PoolUnit,
    pools: Sequence[Pool],
    before: dict[int, tuple[object, ...]],
    taken: Mapping[int, tuple[int, int]],
    ended: Sequence[Pool],
    cause: TransitionCause,
    now: datetime,
) -> list[PoolTransition]:
    freed = end_holds(ended, latest(now, unit.terms_at))
    for pool in pools:
        in_use, reserved = taken.get(pool.pk, (0, 0))
        pool.in_use += in_use
        pool.reserved += reserved - freed.get(pool.pk, 0)
    causes = {pool.pk: cause for pool in pools}
    if cause is TransitionCause.USE:
        # The end of a line can make another license of the family short, which had borrowed of it.
        is_quiet = not any(pool.pk in taken for pool in pools)
        concerned = pools if ended and is_quiet else ended
        causes.update({pool.pk: TransitionCause.TERM for pool in concerned if pool.pk not in taken})
    return write_pools(unit, pools, before=before, causes=causes, now=now)


def fold_due(*, now: datetime, limit: int = MOST_UNITS) -> int:
    """Fold every unit that has deltas or whose validity has run out; returns how many were folded.

    A unit that somebody else holds is passed over: whoever holds it, or the next run, takes its deltas. One that fails
    is logged and keeps its deltas; the others go on.
    """
    follow_catalog(now=now)
    folded = 0
    for unit_id in due_units(now, limit):
        try:
            folded += _fold_if_free(unit_id, now)
        except DatabaseError:
            log.exception("fold_failed", unit=unit_id)
    if folded:
        clear_remains()
    return folded


def due_units(now: datetime, limit: int) -> list[int]:
    """Units with work, oldest first where their validity has run out."""
    ended = PoolUnit.objects.filter(valid_until__lte=now).order_by("valid_until").values_list("pk", flat=True)[:limit]
    waiting = PoolDelta.objects.order_by().values_list("pool__unit_id", flat=True).distinct()[:limit]
    return list(dict.fromkeys([*ended, *waiting]))[:limit]


def _fold_if_free(unit_id: int, now: datetime) -> bool:
    with transaction.atomic():
        units = PoolUnit.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
        free = units.select_related("hierarchy").filter(pk=unit_id).first()
        if free is None:
            return False
        fold_locked([free], now=now, cause=TransitionCause.USE, recompute=False)
    return True
