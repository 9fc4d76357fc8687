"""Pools follow a license to another family, and a billing that changed."""

import pytest

from licensing.models import LicenseChange, Pool, PoolTransition, PoolUnit
from licensing.services.pools.catalog_changes import follow_catalog
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.licensing.stock import deliver, import_rows, line, make_instance, make_license, use

pytestmark = pytest.mark.django_db


def test_pools_of_one_family_come_under_one_lock_unit_in_every_virtual_account(engineering, default_va, now):
    high, low = make_license("HIGH", now), make_license("LOW", now)
    for virtual_account in (engineering, default_va):
        deliver(virtual_account, line(low), line(high), now=now)
    assert Pool.objects.values("unit").distinct().count() == 4
    import_rows(["LOW,entitlement,LOW,,,,,,HIGH,"], now)
    assert follow_catalog(now=now) == 4
    assert Pool.objects.values("unit").distinct().count() == 2
    for pool in Pool.objects.select_related("unit", "license"):
        assert (pool.unit.family_id, pool.unit.virtual_account_id) == (pool.license.family_id, pool.virtual_account_id)
    assert LicenseChange.objects.count() == 0
    assert check_pools(now=now) == []


def test_changes_pending_from_before_the_move_are_not_lost(engineering, now):
    _high, low = make_license("HIGH", now), make_license("LOW", now)
    device = make_instance(engineering, now)
    deliver(engineering, line(low, 5), now=now)
    use(device, low, 7, now)
    import_rows(["LOW,entitlement,LOW,,,,,,HIGH,"], now)
    assert fold_due(now=now) == 1
    assert (Pool.objects.get().in_use, Pool.objects.get().status) == (7, "out_of_compliance")
    assert check_pools(now=now) == []


def test_a_units_validity_moves_with_its_pool(engineering, now):
    _high, low = make_license("HIGH", now), make_license("LOW", now)
    deliver(engineering, line(low, licenseType="TERM", endDate="2026-12-31"), now=now)
    old = PoolUnit.objects.get()
    import_rows(["LOW,entitlement,LOW,,,,,,HIGH,"], now)
    follow_catalog(now=now)
    old.refresh_from_db()
    new = PoolUnit.objects.exclude(pk=old.pk).get()
    assert old.valid_until is None
    assert (new.valid_until, new.terms_at) == (Pool.objects.get().valid_until, now)
    assert check_pools(now=now) == []


def test_a_license_that_becomes_billed_by_usage_is_short_no_longer(engineering, now):
    license = make_license("A", now)
    use(make_instance(engineering, now), license, 3, now)
    fold_due(now=now)
    import_rows(["A,entitlement,A,,,,,,,USAGE"], now)
    assert check_pools(now=now) == []
    fold_due(now=now)
    assert [step.new for step in PoolTransition.objects.order_by("pk")] == ["out_of_compliance", "authorized"]
    assert PoolTransition.objects.latest("pk").cause == "catalog"
    assert check_pools(now=now) == []
