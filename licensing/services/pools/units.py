"""Pools and their lock units: made when first needed, locked in one order, moved when a license changes its family."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django.db import connection, transaction

from licensing.models import HierarchyVersion, License, Pool, PoolUnit

# One row for the whole catalog: who makes pools twice in a transaction could else wait for a change of the catalog that
# waits for it, each holding a license the other wants.
SHARE_CATALOG: Final = "SELECT id FROM licensing_cataloghead FOR SHARE"


class _Moved(Exception):
    """A pool went to another unit between reading and locking."""


def ensure_pools(*, smart_account_id: int, virtual_account_id: int, licenses: Iterable[License]) -> dict[int, Pool]:
    """The pools of the licenses in the Virtual Account by license id, made where missing. Safe at any concurrency.

    Ask for all that an operation needs at once: two that make the same pools one by one could wait for each other.
    """
    wanted = {license.pk for license in licenses}
    pools = _find(virtual_account_id, wanted)
    if missing := wanted - pools.keys():
        with transaction.atomic():
            _make(smart_account_id, virtual_account_id, sorted(missing))
        pools = _find(virtual_account_id, wanted)
    return pools


def lock_units(unit_ids: Iterable[int]) -> list[PoolUnit]:
    """Lock the units until the transaction ends, in the order of their ids. Call it once per operation.

    FOR NO KEY UPDATE: rows that merely point to a unit or pool do not wait for it.
    """
    ids = sorted(set(unit_ids))
    units = PoolUnit.objects.select_for_update(no_key=True, of=("self",)).select_related("hierarchy")
    return list(units.filter(pk__in=ids).order_by("pk"))


def lock_pools(pool_ids: Iterable[int]) -> list[Pool]:
    """Lock the units of the pools, and return the pools as they are under the lock, with their licenses."""
    ids = sorted(set(pool_ids))
    while True:
        pools = _read(ids)
        try:
            with transaction.atomic():
                lock_units(pool.unit_id for pool in pools)
                locked = _read(ids)
                if any(before.unit_id != pool.unit_id for before, pool in zip(pools, locked, strict=True)):
                    # The savepoint's rollback also gives the locks back, so that they are taken in order again.
                    raise _Moved
        except _Moved:
            continue
        return locked


def present_hierarchies(family_ids: Iterable[int]) -> dict[int, int]:
    """The id of the newest hierarchy of each family that has one."""
    versions = HierarchyVersion.objects.filter(family__in=list(family_ids)).order_by("family", "number")
    return dict(versions.values_list("family_id", "pk"))


def unit_of(*, smart_account_id: int, virtual_account_id: int, family_id: int) -> int:
    """The id of the unit of a family in a Virtual Account, made where missing."""
    _make_units({"smart_account_id": smart_account_id, "virtual_account_id": virtual_account_id}, [family_id])
    return PoolUnit.objects.values_list("pk", flat=True).get(virtual_account=virtual_account_id, family=family_id)


def _read(pool_ids: Sequence[int]) -> list[Pool]:
    return list(Pool.objects.filter(pk__in=pool_ids).select_related("license").order_by("pk"))


def _find(virtual_account_id: int, license_ids: Iterable[int]) -> dict[int, Pool]:
    pools = Pool.objects.filter(virtual_account=virtual_account_id, license__in=license_ids)
    return {pool.license_id: pool for pool in pools.select_related("license")}


def _make(smart_account_id: int, virtual_account_id: int, license_ids: list[int]) -> None:
    """Sorted inserts that leave what is there alone; a change of the catalog waits, or is waited for.

    Without that, a pool could be made under a family that its license has just left, unseen by whoever moves pools.
    """
    keep_catalog()
    family_of = dict(License.objects.filter(pk__in=license_ids).values_list("pk", "family_id"))
    account = {"smart_account_id": smart_account_id, "virtual_account_id": virtual_account_id}
    families = sorted(set(family_of.values()))
    _make_units(account, families)
    units = PoolUnit.objects.filter(virtual_account=virtual_account_id, family__in=families)
    unit_by_family = dict(units.values_list("family_id", "pk"))
    Pool.objects.bulk_create(
        [Pool(license_id=id, unit_id=unit_by_family[family_of[id]], **account) for id in sorted(family_of)],
        ignore_conflicts=True,
    )


def keep_catalog() -> None:
    """Let nobody change the catalog until the caller's transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(SHARE_CATALOG)


def _make_units(account: Mapping[str, int], family_ids: Sequence[int]) -> None:
    hierarchies = present_hierarchies(family_ids)
    units = [PoolUnit(family_id=id, hierarchy_id=hierarchies.get(id), **account) for id in family_ids]
    PoolUnit.objects.bulk_create(units, ignore_conflicts=True)
