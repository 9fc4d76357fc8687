"""Pools follow a license that changed its family, hierarchy or billing, one Virtual Account at a time."""

from datetime import datetime
from typing import Final

from django.db import transaction

from cssm.common.leases import lease
from licensing.models import HierarchyVersion, LicenseChange, Pool, PoolUnit
from licensing.services.pools.figures import figures_of, write_pools
from licensing.services.pools.units import lock_units, present_hierarchies, unit_of
from licensing.states import TransitionCause

LEASE_SECONDS: Final = 600


def follow_catalog(*, now: datetime) -> int:
    """Apply what is pending of catalog changes; returns how many pools were looked at. Stopped midway, it begins again.

    Until its turn a pool stays under its old unit, and whoever locks it locks that one: `unit` of the pool decides.
    """
    if not LicenseChange.objects.exists():
        return 0
    seen = 0
    with lease("licensing.follow_catalog", now=now, seconds=LEASE_SECONDS) as obtained:
        if not obtained:
            return 0
        for change in LicenseChange.objects.order_by("pk").select_related("license"):
            pools = Pool.objects.filter(license=change.license_id).order_by("virtual_account", "pk")
            for pool_id in pools.values_list("pk", flat=True):
                _follow(pool_id, now)
                seen += 1
            with transaction.atomic():
                change.delete()
    return seen


def _follow(pool_id: int, now: datetime) -> None:
    with transaction.atomic():
        pool = Pool.objects.select_related("license").get(pk=pool_id)
        account = {"smart_account_id": pool.smart_account_id, "virtual_account_id": pool.virtual_account_id}
        wanted = unit_of(family_id=pool.license.family_id, **account)
        units = lock_units({pool.unit_id, wanted})
        moved = Pool.objects.filter(pk=pool_id, unit=pool.unit_id).update(unit=wanted)
        if not moved:
            return
        read_at = max((unit.terms_at for unit in units if unit.terms_at), default=None)
        newest = present_hierarchies(unit.family_id for unit in units)
        for unit in units:
            _follow_hierarchy(unit, newest.get(unit.family_id))
            _settle(unit, read_at, now)


def _follow_hierarchy(unit: PoolUnit, newest: int | None) -> None:
    if unit.hierarchy_id != newest:
        unit.hierarchy = None if newest is None else HierarchyVersion.objects.get(pk=newest)
        unit.save(update_fields=["hierarchy"])


def _settle(unit: PoolUnit, read_at: datetime | None, now: datetime) -> None:
    """Status and validity of a unit whose pools or their billing changed; pending deltas are left to the fold.

    `read_at` is the latest moment for which a pool of either unit has its lines read.
    """
    if unit.terms_at != read_at:
        unit.terms_at = read_at
        unit.save(update_fields=["terms_at"])
    pools = list(Pool.objects.filter(unit=unit).select_related("license").order_by("pk"))
    before = {pool.pk: figures_of(pool) for pool in pools}
    causes = {pool.pk: TransitionCause.CATALOG for pool in pools}
    write_pools(unit, pools, before=before, causes=causes, now=now)
