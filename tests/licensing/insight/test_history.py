"""The past is what the records say it was, at every moment."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.services.actors import actor_for_user
from cssm.common.actor import SYSTEM
from cssm.common.errors import Invalid
from licensing.models import Allocation, License, OwnershipRecord, Pool, PurchaseLine, UsageChange
from licensing.services.insight.history import read_histories, usage_history
from licensing.services.insight.periods import at_one_moment, choose_period
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.fold import fold_due
from licensing.services.pools.units import ensure_pools
from licensing.states import Compliance, RecordKind
from tests.licensing.stock import deliver, import_rows, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db

START = datetime(2026, 2, 2, tzinfo=UTC)
SPAN = 5 * 24 * 60
MINUTE = timedelta(minutes=1)


def history(actor=SYSTEM, pools=None, **period):
    return usage_history(actor=actor, pools=Pool.objects.all() if pools is None else pools, **period)


@dataclass
class Naive:
    """Everything that happened to one pool, added up anew for every question."""

    uses: list[tuple[datetime, int]] = field(default_factory=list)
    reservations: list[tuple[datetime, int]] = field(default_factory=list)
    lines: list[tuple[datetime, datetime | None, int]] = field(default_factory=list)
    taken: list[tuple[datetime, datetime | None, int]] = field(default_factory=list)

    def in_use(self, moment):
        return sum(quantity for at, quantity in self.uses if at <= moment)

    def reserved(self, moment):
        return sum(quantity for at, quantity in self.reservations if at <= moment)

    def purchased(self, moment):
        rows = [*self.lines, *((at, end, -quantity) for at, end, quantity in self.taken)]
        return sum(q for since, end, q in rows if since <= moment and (end is None or moment < end))

    def moments(self, first, last):
        return [first, *(at for at, _ in self.uses if first <= at <= last)]


minutes = st.one_of(st.integers(0, SPAN), st.integers(0, SPAN // 60).map(lambda hour: 60 * hour))
steps = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "use", "give back", "reserve", "buy", "take", "fold"]),
        minutes,
        st.integers(1, 9),
        st.integers(0, 1),
        st.integers(-SPAN // 2, SPAN),
        st.one_of(st.none(), st.integers(1, SPAN)),
    ),
    max_size=25,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=steps, window=st.tuples(st.integers(0, SPAN), st.integers(60, SPAN)))
def test_every_bucket_says_what_the_records_say(engineering, default_va, steps, window):
    license = make_license(f"HISTORY-{License.objects.count()}", START)
    pools, naive = {}, {}
    for number, account in enumerate((engineering, default_va)):
        pools[number] = ensure_pools(
            smart_account_id=account.smart_account_id, virtual_account_id=account.pk, licenses=[license]
        )[license.pk]
        naive[number] = Naive()
    for kind, at, quantity, which, begin, length in sorted(steps, key=lambda step: step[1]):
        moment = START + at * MINUTE
        play(kind, pools[which], naive[which], moment, quantity, moment + begin * MINUTE, length)
    now = START + (SPAN + 1) * MINUTE
    first = START + window[0] * MINUTE
    period = choose_period(start=first, end=first + window[1] * MINUTE, now=now)
    chosen = Pool.objects.filter(pk__in=[pool.pk for pool in pools.values()])
    each = read_histories(actor=SYSTEM, pools=list(chosen), period=period)
    for number, pool in pools.items():
        assert_same(each[pool.pk], [naive[number]], period)
    together = history(pools=chosen, start=first, end=first + window[1] * MINUTE, now=now)
    assert together.period == period
    assert_same(together.points, list(naive.values()), period)


def play(kind, pool, naive, moment, quantity, start, length):
    if kind in ("use", "give back", "reserve"):
        if kind == "give back":
            quantity = -min(quantity, naive.in_use(moment))
        name = "reserved" if kind == "reserve" else "in_use"
        (naive.reservations if kind == "reserve" else naive.uses).append((moment, quantity))
        change = PoolChange(pool.pk, **{name: quantity})
        record_change(virtual_account_id=pool.virtual_account_id, changes=[change], now=moment)
    elif kind == "buy":
        end = None if length is None else max(start, moment) + length * MINUTE
        account = pool.virtual_account
        term = {} if end is None else {"licenseType": "TERM", "endDate": end.isoformat()}
        deliver(account, line(pool.license, quantity, startDate=start.isoformat(), **term), now=moment)
        naive.lines.append((max(start, moment), end, quantity))
    elif kind == "take":
        take(pool, naive, moment, quantity)
    else:
        fold_due(now=moment)


def take(pool, naive, moment, quantity):
    """Units leave a line that has not ended, as a transfer or a termination takes them."""
    held = PurchaseLine.objects.filter(virtual_account=pool.virtual_account_id, license=pool.license_id)
    for bought in held.with_remaining():
        if bought.remaining >= quantity and (bought.end is None or moment < bought.end):
            account = {"smart_account_id": pool.smart_account_id, "virtual_account_id": pool.virtual_account_id}
            record = OwnershipRecord.objects.create(
                **account, kind=RecordKind.TERMINATION, key=f"take-{Allocation.objects.count()}-{moment}", at=moment
            )
            Allocation.objects.create(
                record=record, **account, license_id=pool.license_id, line=bought, quantity=quantity, at=moment
            )
            naive.taken.append((max(moment, bought.start, bought.created_at), bought.end, quantity))
            return


def assert_same(points, naives, period):
    assert len(points) == period.count
    for number, point in enumerate(points):
        closing = period.closing(number)
        said = (point.purchased, point.in_use, point.reserved)
        assert said == tuple(
            sum(getattr(n, name)(closing) for n in naives) for name in ("purchased", "in_use", "reserved")
        )
        moments = {moment for n in naives for moment in n.moments(period.edge(number), closing)}
        before = period.edge(number) - timedelta(microseconds=1)
        assert point.peak == max(sum(n.in_use(m) for n in naives) for m in {*moments, before})


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


def test_a_shortage_at_noon_is_not_hidden_by_the_evening(engineering, router, now):
    deliver(engineering, line(router, 10), now=now)
    device = make_instance(engineering, now)
    noon, evening = now + timedelta(days=1, hours=3), now + timedelta(days=1, hours=10)
    use(device, router, 14, noon)
    fold_due(now=noon)
    use(device, router, 2, evening)
    fold_due(now=evening)
    past = history(start=now, now=now + timedelta(days=6))
    day = past.points[1]
    assert (day.in_use, day.peak, day.short, day.was_short) == (2, 14, 0, 1)
    assert [(s.since, s.until) for s in past.shortages] == [(noon, evening)]
    assert [point.was_short for point in past.points] == [0, 1, 0, 0, 0, 0, 0]


def test_the_last_point_is_what_every_other_screen_shows(engineering, router, now):
    deliver(engineering, line(router, 10), now=now - timedelta(days=3))
    use(make_instance(engineering, now), router, 3, now - timedelta(days=2))
    fold_due(now=now - timedelta(days=1))
    use(make_instance(engineering, now), router, 9, now)
    last, pool = history(now=now).points[-1], live(router, engineering, now)
    assert (last.purchased, last.in_use, last.balance) == (pool.now_purchased, pool.now_in_use, pool.now_balance)
    assert last.in_use == 12


def test_licenses_that_move_at_one_instant_are_never_counted_twice(engineering, default_va, router, now):
    devices = [make_instance(engineering, now), make_instance(default_va, now)]
    use(devices[0], router, 5, now)
    for hours in (1, 2, 3):
        later = now + timedelta(hours=hours)
        use(devices[hours % 2], router, 5, later)
        use(devices[1 - hours % 2], router, 0, later)
    past = history(start=now, now=now + timedelta(hours=5))
    assert {point.peak for point in past.points} == {5}


def test_what_is_lent_is_in_the_balance_of_the_past_too(engineering, now):
    """domain.md: 100 CUWL owned, 10 CUWL and 50 Enhanced Plus used: 50 lent, 40 left."""
    rows = ["CUWL,entitlement,CUWL,,perpetual,,,,,", "ENH,entitlement,Enhanced Plus,,perpetual,,,,CUWL,"]
    import_rows(rows, now)
    cuwl, enhanced = License.objects.get(tag="CUWL"), License.objects.get(tag="ENH")
    deliver(engineering, line(cuwl, 100), now=now)
    device = make_instance(engineering, now)
    use(device, cuwl, 10, now + timedelta(hours=2))
    use(device, enhanced, 50, now + timedelta(days=1))
    fold_due(now=now + timedelta(days=1))
    later = now + timedelta(days=5)
    of_cuwl = history(pools=Pool.objects.filter(license=cuwl), start=now, now=later).points
    of_enhanced = history(pools=Pool.objects.filter(license=enhanced), start=now, now=later).points
    assert [(p.lent, p.balance) for p in of_cuwl[:3]] == [(0, 90), (50, 40), (50, 40)]
    assert [(p.borrowed, p.balance, p.short) for p in of_enhanced[:3]] == [(0, 0, 0), (50, 0, 0), (50, 0, 0)]
    both = history(start=now, now=later).points[-1]
    assert (both.borrowed, both.lent, both.balance) == (50, 50, 40)


def test_a_shortage_that_began_before_the_period_is_in_it(engineering, router, now):
    use(make_instance(engineering, now), router, 1, now)
    fold_due(now=now)
    past = history(start=now + timedelta(days=2), now=now + timedelta(days=9))
    assert [(s.until, s.began_earlier) for s in past.shortages] == [(None, True)]
    assert {(point.status, point.was_short) for point in past.points} == {(Compliance.OUT_OF_COMPLIANCE, 1)}
    before = history(start=now - timedelta(days=9), end=now - timedelta(days=1), now=now + timedelta(days=9))
    assert {(point.status, point.was_short, point.in_use) for point in before.points} == {(Compliance.AUTHORIZED, 0, 0)}


@pytest.mark.parametrize(
    ("days", "unit", "most"),
    [(1, "hour", 25), (3, "hour", 73), (4, "day", 5), (366, "day", 367), (367, "week", 53)],
)
def test_a_longer_period_has_wider_buckets(now, days, unit, most):
    period = choose_period(start=now - timedelta(days=days), now=now)
    assert (period.unit, period.count) == (unit, most)
    assert period.bucket_of(now) == period.count - 1


@pytest.mark.parametrize(("start", "end"), [(0, None), (1, None), (-5, -5), (-5, -6), (-1099, None)])
def test_a_period_that_cannot_be_shown_is_refused(now, start, end):
    with pytest.raises(Invalid) as refused:
        choose_period(
            start=now + timedelta(days=start), end=None if end is None else now + timedelta(days=end), now=now
        )
    assert (refused.value.code, refused.value.where) == ("PERIOD_INVALID", "startDate")


def test_only_pools_that_one_may_see_are_added_up(engineering, default_va, router, bob, mallory, umbrella, now):
    use(make_instance(engineering, now), router, 3, now)
    use(make_instance(default_va, now), router, 40, now)
    assert history(now=now).points[-1].in_use == 43
    assert history(actor_for_user(bob), now=now).points[-1].in_use == 3
    of_nobody = history(actor_for_user(mallory), now=now)
    assert {(point.in_use, point.purchased, point.was_short) for point in of_nobody.points} == {(0, 0, 0)}


def test_the_fold_changes_no_history(engineering, router, now):
    device = make_instance(engineering, now)
    for hours in range(10):
        use(device, router, hours % 4, now + timedelta(hours=hours))
    later = now + timedelta(hours=12)
    pending = history(start=now, now=later).points
    fold_due(now=now + timedelta(hours=10))
    assert UsageChange.objects.exists()
    folded = history(start=now, now=later).points
    assert [(p.in_use, p.peak) for p in folded] == [(p.in_use, p.peak) for p in pending]


def test_what_is_not_kept_any_more_is_refused_and_not_shown_as_it_was_when_the_history_begins(now):
    first = (now - timedelta(days=731)).replace(hour=0, minute=0)
    assert choose_period(start=first, now=now).start == first
    assert at_one_moment(first, now=now).until == first
    before = first - timedelta(seconds=1)
    for ask in (lambda: choose_period(start=before, now=now), lambda: at_one_moment(before, now=now)):
        with pytest.raises(Invalid, match="kept for 24 months: it begins on 2024-03-01") as refused:
            ask()
        assert refused.value.code == "PERIOD_INVALID"
    assert choose_period(start=before, kept_for=None, now=now).start <= before
