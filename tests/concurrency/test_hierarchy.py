"""Two operators change the hierarchy at once: what would be a cycle together is refused to the second."""

import threading
from contextlib import suppress

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts.services.actors import actor_for_user
from cssm.common.errors import Invalid
from licensing.models import CatalogHead, License, Pool
from licensing.services.catalog import hierarchy_editing
from licensing.services.catalog.families import find_cycle
from licensing.services.catalog.hierarchy_editing import set_higher
from licensing.services.pools import units
from licensing.services.pools.units import ensure_pools
from tests.concurrency.threads import run_at_once
from tests.licensing.stock import make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def unlocked(*, now):
    """The catalog as it is, for the control."""
    return CatalogHead.objects.get(), {each.tag: each for each in License.objects.select_related("higher")}


@pytest.mark.parametrize("locked", [True, False])
def test_two_halves_of_a_cycle_at_once(olivia, now, monkeypatch, locked):
    """Without the lock both look at a catalog that has neither half, and only a constraint is left."""
    for tag in ("A", "B"):
        make_license(tag, now)
    operator = actor_for_user(olivia)
    both_checked = threading.Barrier(2)
    write = hierarchy_editing.write_licenses

    def wait_and_write(*arguments, **options):
        with suppress(threading.BrokenBarrierError):
            both_checked.wait(timeout=1)
        return write(*arguments, **options)

    monkeypatch.setattr(hierarchy_editing, "write_licenses", wait_and_write)
    if not locked:
        monkeypatch.setattr(hierarchy_editing, "lock_catalog", unlocked)

    def attempt(tag, higher):
        try:
            return set_higher(actor=operator, tag=tag, higher=higher, now=now)
        except Invalid as refused:
            return refused.code
        except IntegrityError:
            return "no answer"

    outcomes = run_at_once(lambda: attempt("A", "B"), lambda: attempt("B", "A"))
    assert ("CYCLE" in outcomes) is locked
    if locked:
        higher = {each.tag: each.higher.tag if each.higher else None for each in License.objects.all()}
        assert sorted(outcomes, key=str) == ["CYCLE", True]
        assert find_cycle(higher) == []


@pytest.mark.parametrize("row_by_row", [False, True])
def test_who_makes_pools_twice_and_who_changes_the_catalog(olivia, engineering, now, monkeypatch, row_by_row):
    """With a lock of each license, in the order each needs them, they would wait for each other."""
    first, second = (make_license(tag, now) for tag in ("A", "B"))
    lock = "SELECT id FROM licensing_license WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
    has_second, catalog_waits = threading.Event(), threading.Event()

    def lock_rows(*ids):
        with connection.cursor() as cursor:
            cursor.execute(lock, [list(ids)])

    def make_pools():
        with transaction.atomic():
            for license in (second, first):
                if row_by_row:
                    lock_rows(license.pk)
                ensure_pools(
                    smart_account_id=engineering.smart_account_id,
                    virtual_account_id=engineering.pk,
                    licenses=[license],
                )
                has_second.set()
                catalog_waits.wait(timeout=1)  # it cannot tell once it waits

    def change_catalog():
        assert has_second.wait(timeout=5)
        with transaction.atomic():
            if row_by_row:
                lock_rows(first.pk)
                catalog_waits.set()
                lock_rows(second.pk)
            set_higher(actor=actor_for_user(olivia), tag="A", higher="B", now=now)

    if row_by_row:
        monkeypatch.setattr(units, "keep_catalog", lambda: None)
        with pytest.raises(OperationalError, match="deadlock"):
            run_at_once(make_pools, change_catalog)
        return
    run_at_once(make_pools, change_catalog)
    assert License.objects.get(tag="A").higher == second
    assert {pool.license_id for pool in Pool.objects.all()} == {first.pk, second.pk}


@pytest.mark.parametrize("kept", [True, False])
def test_no_pool_is_made_under_a_family_that_its_license_leaves_meanwhile(olivia, engineering, now, monkeypatch, kept):
    """Without the lock the pool is made in the old family, unseen by whoever moves pools."""
    license, _ = (make_license(tag, now) for tag in ("A", "B"))
    read, changed = threading.Event(), threading.Event()
    make_units = units._make_units

    def wait_and_make(*arguments):
        read.set()
        changed.wait(timeout=1)
        make_units(*arguments)

    def make_pool():
        ensure_pools(
            smart_account_id=engineering.smart_account_id, virtual_account_id=engineering.pk, licenses=[license]
        )

    def join_families():
        assert read.wait(timeout=5)
        set_higher(actor=actor_for_user(olivia), tag="A", higher="B", now=now)
        had_pool = Pool.objects.exists()
        changed.set()
        return had_pool

    monkeypatch.setattr(units, "_make_units", wait_and_make)
    if not kept:
        monkeypatch.setattr(units, "keep_catalog", lambda: None)
    _, seen = run_at_once(make_pool, join_families)
    assert seen is kept
