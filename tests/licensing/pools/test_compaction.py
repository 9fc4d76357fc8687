"""The history is whole for 90 days, by day for two years, and says the same by day before and after."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cssm.common.actor import SYSTEM
from licensing.models import HistoryCompaction, Pool, UsageChange
from licensing.services.insight.history import read_histories
from licensing.services.insight.periods import at_one_moment, choose_period
from licensing.services.pools.compaction import compact_history
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.licensing.stock import deliver, line, make_instance, make_license, use

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = datetime(2026, 2, 2, tzinfo=UTC)


@pytest.fixture
def pool(engineering, now):
    deliver(engineering, line(make_license("ROUTER", now), 10), now=START - DAY)
    return Pool.objects.get()


def change(pool, at, *, in_use=0, reserved=0, instance=1):
    changes = [PoolChange(pool.pk, instance_id=instance, in_use=in_use, reserved=reserved)]
    record_change(virtual_account_id=pool.virtual_account_id, changes=changes, now=at)
    fold_due(now=at)


def by_day(pool, now):
    """Use at the end, peak, reservations and balance of each of the first five days."""
    period = choose_period(start=START, end=START + 5 * DAY, now=now)
    points = read_histories(actor=SYSTEM, pools=[pool], period=period)[pool.pk]
    return [(point.in_use, point.peak, point.reserved, point.balance, point.status) for point in points]


steps = st.lists(
    st.tuples(st.integers(0, 5 * 24 * 60 - 1), st.integers(1, 4), st.integers(-3, 5), st.integers(-1, 1)), max_size=30
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_every_day_says_the_same_before_and_after(pool, steps):
    with transaction.atomic():
        levels: dict[int, list[int]] = {}
        for minute, instance, in_use, reserved in sorted(steps):
            level = levels.setdefault(instance, [0, 0])
            steps_of_use = (max(-level[0], in_use), max(-level[1], reserved))
            levels[instance] = [level[0] + steps_of_use[0], level[1] + steps_of_use[1]]
            at = START + timedelta(minutes=minute)
            change(pool, at, in_use=steps_of_use[0], reserved=steps_of_use[1], instance=instance)
        later = START + 100 * DAY
        before, rows = by_day(pool, later), UsageChange.objects.count()
        compact_history(now=later)
        assert by_day(pool, later) == before
        assert UsageChange.objects.count() <= min(rows, 5 * 4 * 2)
        after = list(UsageChange.objects.order_by("pk").values())
        assert compact_history(now=later) == 0
        assert list(UsageChange.objects.order_by("pk").values()) == after
        transaction.set_rollback(True)


def test_what_is_not_90_days_old_stays_change_by_change(pool):
    for hour in range(6):
        change(pool, START + timedelta(hours=hour), in_use=1)
        change(pool, START + DAY + timedelta(hours=hour), in_use=1)
    assert compact_history(now=START + 90 * DAY + timedelta(hours=23)) == 0
    assert compact_history(now=START + 91 * DAY) == 1
    assert [row.in_use for row in UsageChange.objects.order_by("at")] == [6, 1, 1, 1, 1, 1, 1]


def test_after_24_months_the_day_is_gone_and_what_is_in_use_is_not(pool, engineering):
    use(make_instance(engineering, START), pool.license, 7, START)
    fold_due(now=START)
    use(make_instance(engineering, START), pool.license, 2, START + 400 * DAY)
    fold_due(now=START + 400 * DAY)
    now = START + 733 * DAY
    compact_history(now=now)
    assert [row.in_use for row in UsageChange.objects.all()] == [2]
    assert check_pools(now=now) == []
    (point,) = read_histories(actor=SYSTEM, pools=[pool], period=at_one_moment(START + 399 * DAY, now=now))[pool.pk]
    assert point.in_use == 7


def test_a_run_does_so_many_days_and_the_next_goes_on(pool):
    for day in range(5):
        change(pool, START + day * DAY, in_use=1)
    later = START + 200 * DAY
    assert [compact_history(now=later, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert HistoryCompaction.objects.filter(is_open=False).count() == 5


def test_nothing_else_takes_a_row_of_the_history_not_even_an_old_one(pool):
    change(pool, START, in_use=1)
    change(pool, START + 5 * DAY, in_use=1)
    compact_history(now=START + 93 * DAY)
    for rows in (UsageChange.objects.all(), UsageChange.objects.filter(at__lt=START + DAY)):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.delete()
    # A day that is open lets its own rows go, and no others.
    opened = HistoryCompaction.objects.create(kind="dropped", start=START, until=START + DAY, at=START)
    with pytest.raises(IntegrityError), transaction.atomic():
        UsageChange.objects.all().delete()
    assert UsageChange.objects.filter(at__lt=opened.until).delete()[0] == 1
