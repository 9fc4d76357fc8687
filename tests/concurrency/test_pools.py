"""Pools under real concurrency: figures and transitions equal the records, whoever changes and folds at once."""

import os
import random
import threading
from contextlib import suppress

import pytest
from django.db import OperationalError, transaction

from accounts.models import VirtualAccount
from cssm.common.clock import read_clock
from licensing.models import Pool, PoolDelta, PoolTransition, PoolUnit, Usage
from licensing.services.pools import fold
from licensing.services.pools.deltas import take_deltas
from licensing.services.pools.fold import fold_due, fold_unit
from licensing.services.pools.rebuild import check_pools
from licensing.services.pools.units import ensure_pools, lock_pools, lock_units
from tests.concurrency.threads import Crew, run_at_once
from tests.licensing.stock import deliver, import_rows, line, make_instance, make_license, use

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

CHANGES = 10_000 if os.environ.get("SOAK") else 1_000
SEED = int(os.environ.get("SEED", "20260302"))


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.mark.soak
def test_two_actors_change_one_pool_all_the_time_and_figures_and_transitions_equal_the_records(
    engineering, router, now
):
    devices = [make_instance(engineering, now) for _ in range(2)]
    deliver(engineering, line(router, 10), now=now)
    over = threading.Event()

    def report(device, chance):
        for _ in range(CHANGES // 2):
            use(device, router, chance.randint(0, 12), read_clock())

    def buy():
        while not over.wait(0.2):
            deliver(engineering, line(router, 1), now=read_clock())

    def keep_folding():
        while not over.wait(0.02):
            fold_due(now=read_clock())

    def keep_checking():
        while not over.wait(0.5):
            assert check_pools(now=read_clock()) == []

    background = Crew(keep_folding, keep_folding, keep_checking, buy)
    try:
        run_at_once(*(lambda d=d, n=n: report(d, random.Random(SEED + n)) for n, d in enumerate(devices)))
    finally:
        over.set()
        background.join()
    fold_due(now=read_clock())
    pool = Pool.objects.get()
    assert PoolDelta.objects.count() == 0
    assert pool.in_use == sum(Usage.objects.values_list("quantity", flat=True))
    assert check_pools(now=read_clock()) == []
    assert_alternating(pool)


def assert_alternating(pool):
    """From authorized on, each transition begins where the one before ended, and its figures say why."""
    status, at = "authorized", None
    for step in PoolTransition.objects.filter(pool=pool).order_by("pk"):
        assert (step.old, step.new) in {(status, "out_of_compliance"), (status, "authorized")}
        assert step.old != step.new
        assert step.balance == step.purchased + step.borrowed - step.lent - step.in_use - step.reserved
        assert (step.new == "authorized") == (step.balance >= 0)
        assert at is None or step.at >= at
        status, at = step.new, step.at
    assert pool.status == status


@pytest.mark.parametrize("locked", [True, False])
def test_two_folds_at_once_lose_nothing_but_would_without_the_lock(engineering, router, now, monkeypatch, locked):
    """The second fold has read the figures (or waits for the lock) while the first one takes and writes."""
    devices = [make_instance(engineering, now) for _ in range(2)]
    use(devices[0], router, 1, now)
    unit = PoolUnit.objects.get()
    first_reads, second_reads, first_is_over = threading.Event(), threading.Barrier(2), threading.Event()

    def take_when_both_have_read(pool_ids):
        is_first = not first_reads.is_set()
        first_reads.set()
        # With the lock the second cannot come here before the first is over.
        with suppress(threading.BrokenBarrierError):
            second_reads.wait(timeout=1)
        if not is_first:
            assert first_is_over.wait(timeout=10)
        return take_deltas(pool_ids)

    monkeypatch.setattr(fold, "take_deltas", take_when_both_have_read)
    if not locked:
        monkeypatch.setattr(fold, "lock_units", lambda ids: list(PoolUnit.objects.filter(pk__in=ids)))
    first = Crew(lambda: fold_unit(unit_id=unit.pk, now=now))
    assert first_reads.wait(timeout=10)
    second = Crew(lambda: fold_unit(unit_id=unit.pk, now=now))
    first.join()
    use(devices[1], router, 2, now)
    first_is_over.set()
    second.join()
    assert (Pool.objects.get().in_use == 3) is locked
    assert (check_pools(now=now) == []) is locked


@pytest.mark.parametrize("by_removal", [True, False])
def test_a_delta_that_commits_late_is_counted_but_would_not_be_by_a_watermark(
    engineering, router, now, monkeypatch, by_removal
):
    """A change with a lower id commits after the fold of a higher one."""
    devices = [make_instance(engineering, now) for _ in range(2)]
    for device in devices:
        use(device, router, 0, now)
    written, commit = threading.Event(), threading.Event()
    mark = {"watermark": 0}

    def change_slowly():
        with transaction.atomic():
            use(devices[0], router, 1, now)
            written.set()
            assert commit.wait(timeout=10)

    slow = Crew(change_slowly)
    assert written.wait(timeout=10)
    use(devices[1], router, 2, now)
    highest = PoolDelta.objects.latest("pk").pk
    if not by_removal:
        monkeypatch.setattr(fold, "take_deltas", lambda ids: sum_above(ids, mark, highest))
    fold_due(now=now)
    commit.set()
    slow.join()
    fold_due(now=now)
    assert (Pool.objects.get().in_use == 3) is by_removal


def sum_above(pool_ids, state, highest):
    rows = PoolDelta.objects.filter(pool__in=pool_ids, pk__gt=state["watermark"])
    taken = {pool_id: (sum(row.in_use for row in rows), 0) for pool_id in pool_ids}
    state["watermark"] = highest
    return taken


def test_pools_asked_for_by_many_at_once_are_made_once(acme, now):
    """In whatever order each names the licenses; inserts in that order would lock each other out."""
    licenses = [make_license(f"L{n}", now) for n in range(12)]
    places = [VirtualAccount.objects.create(smart_account=acme, name=f"VA {n}", created_at=now) for n in range(10)]

    def ask(number):
        chance = random.Random(SEED + number)
        return [
            ensure_pools(
                smart_account_id=acme.pk, virtual_account_id=place.pk, licenses=chance.sample(licenses, 12)
            ).keys()
            for place in places
        ]

    answers = run_at_once(*(lambda n=n: ask(n) for n in range(6)))
    assert all(keys == {license.pk for license in licenses} for answer in answers for keys in answer)
    assert (Pool.objects.count(), PoolUnit.objects.count()) == (120, 120)


def test_whoever_waited_for_a_pool_that_moved_locks_where_it_moved_to(engineering, now):
    high, low = make_license("HIGH", now), make_license("LOW", now)
    deliver(engineering, line(low, 1), line(high, 1), now=now)
    pool, new = Pool.objects.get(license=low), Pool.objects.get(license=high).unit
    is_locked, may_end = threading.Event(), threading.Event()

    def lock_and_hold():
        with transaction.atomic():
            (locked,) = lock_pools([pool.pk])
            is_locked.set()
            assert may_end.wait(timeout=10)
            return locked.unit_id

    with transaction.atomic():
        lock_units([pool.unit_id, new.pk])
        waiting = Crew(lock_and_hold)
        assert not is_locked.wait(timeout=0.5)
        Pool.objects.filter(pk=pool.pk).update(unit=new)
    assert is_locked.wait(timeout=10)
    with pytest.raises(OperationalError), transaction.atomic():
        PoolUnit.objects.select_for_update(nowait=True).get(pk=new.pk)
    may_end.set()
    assert waiting.join() == [new.pk]


def test_a_pool_made_while_its_license_changes_family_is_made_in_the_new_one(engineering, now):
    make_license("HIGH", now)
    low = make_license("LOW", now)
    account = {"smart_account_id": engineering.smart_account_id, "virtual_account_id": engineering.pk}
    with transaction.atomic():
        import_rows(["LOW,entitlement,LOW,,,,,,HIGH,"], now)
        maker = Crew(lambda: ensure_pools(licenses=[low], **account))
        maker.threads[0].join(timeout=0.5)
    maker.join()
    pool = Pool.objects.select_related("unit", "license").get()
    assert pool.unit.family_id == pool.license.family_id != low.family_id


def test_families_change_while_products_report_and_orders_arrive(engineering, default_va, now):
    high, low = make_license("HIGH", now), make_license("LOW", now)
    devices = [make_instance(account, now) for account in (engineering, default_va)]
    over = threading.Event()

    def report(device):
        for count in range(60):
            use(device, (high, low)[count % 2], count % 7, read_clock())

    def buy():
        for account in (engineering, default_va) * 10:
            deliver(account, line(low, 1), line(high, 1), now=read_clock())

    def keep_changing():
        while not over.is_set():
            for above in ("HIGH", ""):
                import_rows([f"LOW,entitlement,LOW,,,,,,{above},"], read_clock())
                fold_due(now=read_clock())

    catalog = Crew(keep_changing)
    try:
        run_at_once(buy, *(lambda d=d: report(d) for d in devices))
    finally:
        over.set()
        catalog.join()
    fold_due(now=read_clock())
    assert check_pools(now=read_clock()) == []
    for pool in Pool.objects.select_related("unit", "license"):
        assert pool.unit.family_id == pool.license.family_id
        assert_alternating(pool)
