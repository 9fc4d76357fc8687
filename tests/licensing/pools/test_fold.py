from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from licensing.models import Pool, PoolDelta, PoolTransition, PoolUnit
from licensing.services.pools import deltas
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.fold import fold_due, fold_unit
from licensing.services.pools.rebuild import check_pools
from licensing.services.pools.units import ensure_pools, lock_pools
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def device(engineering, now):
    return make_instance(engineering, now)


def stored(license):
    return Pool.objects.get(license=license)


def steps():
    return [(it.old, it.new, it.cause, it.balance) for it in PoolTransition.objects.order_by("pk")]


def test_use_is_in_every_read_before_it_is_folded(engineering, router, device, now):
    deliver(engineering, line(router, 10), now=now)
    use(device, router, 4, now)
    pool = live(router, engineering, now)
    assert (pool.in_use, pool.now_in_use, pool.now_balance, pool.now_free) == (0, 4, 6, 6)
    assert PoolDelta.objects.count() == 1


def test_the_fold_takes_deltas_into_the_figures_and_changes_no_read(engineering, router, device, now):
    deliver(engineering, line(router, 10), now=now)
    use(device, router, 4, now)
    use(device, router, 3, now)
    assert fold_due(now=now) == 1
    pool = live(router, engineering, now)
    assert (pool.in_use, pool.now_in_use, pool.now_balance) == (3, 3, 7)
    assert PoolDelta.objects.count() == 0
    assert fold_due(now=now) == 0


def test_a_shortage_and_its_cure_are_one_transition_each(engineering, router, device, now):
    deliver(engineering, line(router, 10), now=now)
    use(device, router, 12, now)
    fold_due(now=now)
    use(device, router, 13, now)
    fold_due(now=now + timedelta(seconds=1))
    pool = stored(router)
    assert (pool.status, pool.status_since) == ("out_of_compliance", now)
    deliver(engineering, line(router, 5), now=now + timedelta(seconds=2))
    assert steps() == [
        ("authorized", "out_of_compliance", "use", -2),
        ("out_of_compliance", "authorized", "order", 2),
    ]
    assert check_pools(now=now + timedelta(seconds=2)) == []


def test_a_transition_carries_the_figures_of_its_moment(engineering, router, device, now):
    deliver(engineering, line(router, 10), now=now)
    use(device, router, 12, now)
    fold_due(now=now)
    step = PoolTransition.objects.get()
    assert (step.purchased, step.in_use, step.reserved, step.balance, step.at) == (10, 12, 0, -2, now)
    assert (step.smart_account, step.virtual_account) == (engineering.smart_account, engineering)
    assert list(PoolTransition.objects.undispatched()) == [step]


def test_use_without_any_purchase_is_a_shortage(engineering, router, device, now):
    use(device, router, 1, now)
    fold_due(now=now)
    assert stored(router).status == "out_of_compliance"


def test_what_is_billed_by_usage_is_never_short(engineering, device, now):
    metered = make_license("METERED", now, billing="USAGE")
    use(device, metered, 10**9, now)
    assert live(metered, engineering, now).now_status == "authorized"
    fold_due(now=now)
    assert stored(metered).status == "authorized"
    assert steps() == []


def test_reservations_count_as_used(engineering, router, now):
    deliver(engineering, line(router, 3), now=now)
    change = PoolChange(stored(router).pk, reserved=5)
    record_change(virtual_account_id=engineering.pk, changes=[change], now=now)
    assert live(router, engineering, now).now_balance == -2
    fold_due(now=now)
    assert (stored(router).reserved, stored(router).status) == (5, "out_of_compliance")


def test_no_change_leaves_no_row(engineering, router, now):
    deliver(engineering, line(router, 3), now=now)
    assert record_change(virtual_account_id=engineering.pk, changes=[PoolChange(stored(router).pk)], now=now) == 0


def test_a_line_counts_from_its_start_until_just_before_its_end(engineering, router, device, now):
    start, end = now + timedelta(days=1), now + timedelta(days=2)
    term = {"licenseType": "TERM", "startDate": start.isoformat(), "endDate": end.isoformat()}
    deliver(engineering, line(router, 10, **term), now=now)
    expected = [(now, 0), (start - timedelta(microseconds=1), 0), (start, 10), (end, 0)]
    assert [live(router, engineering, moment).now_purchased for moment, _ in expected] == [n for _, n in expected]
    assert live(router, engineering, end - timedelta(microseconds=1)).now_purchased == 10


def test_the_sweep_turns_a_lines_start_and_end_into_transitions(engineering, router, device, now):
    start, end = now + timedelta(days=1), now + timedelta(days=2)
    term = {"licenseType": "TERM", "startDate": start.isoformat(), "endDate": end.isoformat()}
    deliver(engineering, line(router, 10, **term), now=now)
    use(device, router, 4, now)
    for moment in (now, start - timedelta(seconds=1), start, start + timedelta(seconds=1), end):
        fold_due(now=moment)
        assert check_pools(now=moment) == []
    assert steps() == [
        ("authorized", "out_of_compliance", "use", -4),
        ("out_of_compliance", "authorized", "term", 6),
        ("authorized", "out_of_compliance", "term", -4),
    ]
    assert PoolUnit.objects.get().valid_until is None


def test_figures_read_for_a_later_moment_are_not_undone_by_one_who_waited_with_an_earlier_clock(
    engineering, router, device, now
):
    use(device, router, 4, now)
    later = now + timedelta(seconds=1)
    deliver(engineering, line(router, 4), now=later)
    unit = PoolUnit.objects.get()
    fold_unit(unit_id=unit.pk, now=now, recompute=True)
    assert (stored(router).purchased, stored(router).status) == (4, "authorized")
    assert check_pools(now=now) == []
    assert steps() == []


def test_a_unit_that_fails_is_passed_over_and_keeps_its_deltas(engineering, default_va, router, now, monkeypatch):
    use(make_instance(engineering, now), router, 1, now)
    use(make_instance(default_va, now), router, 1, now)
    broken = Pool.objects.get(virtual_account=engineering)
    PoolDelta.objects.filter(pool=broken).update(in_use=-1)
    assert fold_due(now=now) == 1
    assert Pool.objects.get(virtual_account=default_va).in_use == 1
    assert list(PoolDelta.objects.values_list("pool", flat=True)) == [broken.pk]


def test_asking_for_pools_twice_makes_them_once(engineering, router, now):
    account = {"smart_account_id": engineering.smart_account_id, "virtual_account_id": engineering.pk}
    first = ensure_pools(licenses=[router], **account)
    assert ensure_pools(licenses=[router], **account) == first
    assert (Pool.objects.count(), PoolUnit.objects.count()) == (1, 1)
    assert [pool.license for pool in lock_pools([first[router.pk].pk])] == [router]


def test_figures_never_become_negative(engineering, router, now):
    use(make_instance(engineering, now), router, 1, now)
    with pytest.raises(IntegrityError):
        Pool.objects.update(in_use=-1)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_left_of_taken_deltas_is_cleared_away_once_it_is_much(engineering, router, device, now, monkeypatch):
    """Nobody else does it: the server's own rounds are too seldom, or switched off."""
    deliver(engineering, line(router, 100), now=now)

    def count_after(most_dead: int) -> int:
        monkeypatch.setattr(deltas, "MOST_DEAD", most_dead)
        for _ in range(20):
            use(device, router, 1, now)
            use(device, router, 0, now)
        fold_due(now=now)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            use(device, router, 1, now)
            fold_due(now=now)
            cursor.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'licensing_pooldelta'")
            return int(cursor.fetchone()[0])

    before = count_after(1_000_000)
    assert count_after(30) == before + 1
    assert check_pools(now=now) == []


def test_within_a_transaction_nothing_is_cleared_away(engineering, router, device, now, monkeypatch):
    monkeypatch.setattr(deltas, "MOST_DEAD", -1)
    use(device, router, 1, now)
    assert fold_due(now=now) == 1
    assert not deltas.clear_remains()
