"""Every figure explains itself, and a shortage comes with what would end it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import VirtualAccount
from cssm.common.actor import SYSTEM
from cssm.common.errors import Conflict, NotFound
from licensing.models import HaGroup, InstanceContact, License, Origin, Pool, ProductInstance, PurchaseLine, Usage
from licensing.services.insight import explain as explain_module
from licensing.services.insight.explain import Explanation, explain_pool
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.fold import fold_due
from tests.licensing.families import import_cuwl, reserve
from tests.licensing.stock import deliver, line, make_instance, make_license, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def cuwl(now: datetime) -> dict[str, License]:
    return import_cuwl(now)


def explain(license: License, virtual_account: VirtualAccount, now: datetime, actor: Any = SYSTEM) -> Explanation:
    pool = Pool.objects.get(license=license, virtual_account=virtual_account)
    return explain_pool(pool=pool, actor=actor, now=now)


def ends(moment: datetime) -> dict[str, str]:
    return {"licenseType": "TERM", "endDate": moment.isoformat()}


def contact(instance: ProductInstance, at: datetime) -> ProductInstance:
    InstanceContact.objects.create(instance=instance, last_contact_at=at)
    return instance


# --- figures ---

TAGS = ("CUWL", "EPLUS", "ENH")
quantities = st.integers(1, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.sampled_from(TAGS), quantities, st.sampled_from([None, 1, 40, -3])),
        st.tuples(st.just("use"), st.sampled_from(TAGS), quantities, st.integers(0, 3)),
        st.tuples(st.just("reserve"), st.sampled_from(TAGS), quantities, st.none()),
        st.tuples(st.just("transfer"), st.sampled_from(TAGS), quantities, st.booleans()),
        st.tuples(st.just("fold"), st.just(""), st.none(), st.none()),
    ),
    max_size=12,
)


def perform(step: tuple[Any, ...], accounts: list[VirtualAccount], devices: list[ProductInstance], now: datetime):
    kind, tag, quantity, extra = step
    if kind == "fold":
        fold_due(now=now)
        return
    license = License.objects.get(tag=tag)
    if kind == "deliver":
        term = {} if extra is None else ends(now + timedelta(days=abs(extra)))
        start = {} if extra != -3 else {"startDate": (now + timedelta(days=1)).isoformat()}
        deliver(accounts[0], line(license, quantity, **term, **start), now=now)
    elif kind == "use":
        use(devices[extra], license, quantity, now)
    elif kind == "reserve":
        reserve(accounts[0], license, quantity, now)
    else:
        source, target = accounts if extra else accounts[::-1]
        try:
            transfer_licenses(actor=SYSTEM, source=source, lines=[TransferLine(license, quantity, target)], now=now)
        except Conflict:
            return


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, limit=st.sampled_from([1, 3, 50]), later=st.sampled_from([0, 2, 60]))
def test_the_parts_of_every_figure_add_up_to_it(engineering, default_va, now, monkeypatch, steps, limit, later):
    """Whatever happened, folded or not, also past the end of lines, and however few parts are listed."""
    monkeypatch.setattr(explain_module, "LISTED", limit)
    make_license(f"UNRELATED-{License.objects.count()}", now)
    import_cuwl(now)
    accounts = [
        VirtualAccount.objects.create(smart_account=engineering.smart_account, name=f"{name} {now}", created_at=now)
        for name in (VirtualAccount.objects.count(), VirtualAccount.objects.count() + 1000)
    ]
    devices = [make_instance(accounts[number % 2], now) for number in range(4)]
    for step in steps:
        perform(step, accounts, devices, now)
    moment = now + timedelta(days=later)
    for pool in Pool.objects.filter(virtual_account__in=accounts).with_figures(moment):
        found = explain_pool(pool=pool, actor=SYSTEM, now=moment)
        assert set(found.unexplained.values()) == {0}, found.unexplained
        assert sum(p.quantity for p in found.lines) + found.more_lines.quantity == pool.now_purchased
        assert sum(p.quantity for p in found.instances) + found.more_instances.quantity == pool.now_in_use
        assert sum(p.quantity for p in found.loans if p.is_borrowed) == pool.now_borrowed
        assert sum(p.quantity for p in found.loans if not p.is_borrowed) == pool.now_lent
        assert len(found.lines) <= limit
        assert len(found.instances) <= limit
        assert found.is_short == (pool.now_balance < 0)
        if found.is_short:
            assert found.shortage is not None
            assert (found.shortage.at, found.shortage.quantity) == (moment, -pool.now_balance)


@pytest.mark.parametrize("reserved", [0, 20])
@pytest.mark.parametrize("folded", [True, False])
def test_50_are_lent_and_40_left(cuwl, engineering, now, reserved, folded):
    device = make_instance(engineering, now)
    deliver(engineering, line(cuwl["CUWL"], 100), now=now)
    use(device, cuwl["CUWL"], 10, now)
    use(device, cuwl["EPLUS"], 50 - reserved, now)
    reserve(engineering, cuwl["EPLUS"], reserved, now)
    if folded:
        fold_due(now=now)
    high, low = explain(cuwl["CUWL"], engineering, now), explain(cuwl["EPLUS"], engineering, now)
    assert (high.pool.now_lent, high.pool.now_balance, low.pool.now_balance) == (50, 40, 0)
    assert [(p.license.tag, p.quantity, p.is_borrowed) for p in high.loans] == [("EPLUS", 50, False)]
    assert [(p.license.tag, p.quantity, p.is_borrowed) for p in low.loans] == [("CUWL", 50, True)]
    assert low.pool.now_reserved == reserved
    assert high.verdict == "It covers its use, with 40 to spare. Nothing of it comes to an end."
    assert high.cures is None


def test_a_wrong_figure_is_not_explained_away(cuwl, engineering, now):
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    use(make_instance(engineering, now), cuwl["CUWL"], 2, now)
    fold_due(now=now)
    Pool.objects.update(in_use=5)
    assert explain(cuwl["CUWL"], engineering, now).unexplained == {
        "purchased": 0, "in_use": 3, "reserved": 0, "borrowed": 0, "lent": 0,
    }  # fmt: skip


def test_a_line_says_from_where_it_was_transferred(cuwl, engineering, default_va, alice, bob, actor_of, now):
    deliver(default_va, line(cuwl["CUWL"], 10), now=now, order_ref="SO-1")
    transfer_licenses(
        actor=actor_of(alice), source=default_va, lines=[TransferLine(cuwl["CUWL"], 4, engineering)], now=now
    )
    (part,) = explain(cuwl["CUWL"], engineering, now, actor_of(alice)).lines
    assert (part.quantity, part.line.order.order_ref, part.came_from) == (4, "SO-1", default_va)
    (part,) = explain(cuwl["CUWL"], engineering, now, actor_of(bob)).lines
    assert (part.quantity, part.came_from) == (4, None)
    (part,) = explain(cuwl["CUWL"], default_va, now, actor_of(alice)).lines
    assert (part.quantity, part.came_from) == (6, None)


# --- shortages and cures ---


def test_a_shortage_says_exactly_what_to_buy_and_buying_it_ends_the_shortage(cuwl, engineering, now):
    deliver(engineering, line(cuwl["EPLUS"], 10), line(cuwl["CUWL"], 40), now=now)
    use(make_instance(engineering, now), cuwl["EPLUS"], 60, now)
    found = explain(cuwl["EPLUS"], engineering, now)
    assert found.verdict == "It is short by 10: 60 are needed, 10 owned and 40 borrowed."
    buy = found.cures.purchase
    assert (buy.license.tag, buy.quantity, buy.most) == ("EPLUS", 10, 10)
    deliver(engineering, line(cuwl["EPLUS"], buy.quantity - 1), now=now)
    assert explain(cuwl["EPLUS"], engineering, now).cures.purchase.quantity == 1
    deliver(engineering, line(cuwl["EPLUS"], 1), now=now)
    assert explain(cuwl["EPLUS"], engineering, now).cures is None


def test_a_shortage_to_come_is_told_with_its_date_and_cures(cuwl, engineering, default_va, now):
    first, second = now + timedelta(days=30), now + timedelta(days=60)
    deliver(engineering, line(cuwl["ENH"], 6, **ends(first)), line(cuwl["CUWL"], 10, **ends(second)), now=now)
    use(make_instance(engineering, now), cuwl["ENH"], 12, now)
    deliver(default_va, line(cuwl["ENH"], 3, **ends(first)), line(cuwl["CUWL"], 100), now=now)
    found = explain(cuwl["ENH"], engineering, now)
    assert not found.is_short
    assert (found.shortage.at, found.shortage.quantity) == (first, 2)
    assert found.verdict == "It covers its use, with 0 to spare, until 2026-04-01: from then on it is short by 2."
    assert [(e.at, e.license.tag, e.quantity, e.balance) for e in found.endings] == [
        (first, "ENH", 6, -2),
        (second, "CUWL", 10, -12),
    ]
    # What ends by then anyway is no cure.
    assert [(s.license.tag, s.quantity) for s in found.cures.surplus] == [("CUWL", 2)]
    buy = found.cures.purchase
    assert (buy.quantity, buy.most, buy.most_at) == (2, 12, second)


def test_every_surplus_that_is_offered_ends_the_shortage_when_transferred(cuwl, engineering, default_va, now):
    sales = VirtualAccount.objects.create(smart_account=engineering.smart_account, name="Sales", created_at=now)
    device = make_instance(engineering, now)
    use(device, cuwl["ENH"], 7, now)
    use(device, cuwl["EPLUS"], 5, now)
    deliver(default_va, line(cuwl["ENH"], 30), now=now)
    deliver(sales, line(cuwl["EPLUS"], 30), now=now)
    found = explain(cuwl["ENH"], engineering, now)
    offers = [(s.virtual_account.name, s.license.tag, s.available, s.needed) for s in found.cures.surplus]
    # Of the higher license 5 are needed by itself first.
    assert offers == [("DEFAULT", "ENH", 30, 7), ("Sales", "EPLUS", 30, 12)]
    for surplus in found.cures.surplus[::-1]:
        source = surplus.virtual_account
        for quantity in (surplus.quantity - 1, 1):
            assert explain(cuwl["ENH"], engineering, now).is_short
            transfer_licenses(
                actor=SYSTEM, source=source, lines=[TransferLine(surplus.license, quantity, engineering)], now=now
            )
        assert not explain(cuwl["ENH"], engineering, now).is_short
        back = [TransferLine(surplus.license, surplus.quantity, source)]
        use(device, cuwl["ENH"], 0, now)
        use(device, cuwl["EPLUS"], 0, now)
        transfer_licenses(actor=SYSTEM, source=engineering, lines=back, now=now)
        use(device, cuwl["ENH"], 7, now)
        use(device, cuwl["EPLUS"], 5, now)


def test_what_lasts_is_offered_before_what_ends(cuwl, engineering, default_va, now):
    sales = VirtualAccount.objects.create(smart_account=engineering.smart_account, name="Sales", created_at=now)
    use(make_instance(engineering, now), cuwl["ENH"], 7, now)
    end = now + timedelta(days=10)
    deliver(default_va, line(cuwl["ENH"], 30, **ends(end)), now=now)
    deliver(sales, line(cuwl["ENH"], 9), line(cuwl["ENH"], 5, **ends(end)), now=now)
    offers = explain(cuwl["ENH"], engineering, now).cures.surplus
    assert [(s.virtual_account.name, s.quantity, s.until) for s in offers] == [("Sales", 7, None), ("DEFAULT", 7, end)]


def test_no_more_is_offered_than_may_be_transferred(cuwl, engineering, default_va, now):
    use(make_instance(engineering, now), cuwl["CUWL"], 50, now)
    end = now + timedelta(days=10)
    deliver(default_va, line(cuwl["CUWL"], 20), line(cuwl["CUWL"], 15, **ends(end)), now=now)
    use(make_instance(default_va, now), cuwl["EPLUS"], 12, now)
    (surplus,) = explain(cuwl["CUWL"], engineering, now).cures.surplus
    assert (surplus.available, surplus.needed, surplus.quantity) == (8, 50, 8)

    def transfer(quantity: int) -> None:
        lines = [TransferLine(cuwl["CUWL"], quantity, engineering)]
        transfer_licenses(actor=SYSTEM, source=default_va, lines=lines, now=now)

    with pytest.raises(Conflict):
        transfer(9)
    transfer(8)


@pytest.mark.parametrize("held_is_long", [True, False])
def test_what_a_reservation_holds_of_a_line_is_not_offered_and_all_else_is(
    cuwl, engineering, default_va, now, held_is_long
):
    use(make_instance(engineering, now), cuwl["CUWL"], 50, now)
    end = now + timedelta(days=10)
    deliver(default_va, line(cuwl["CUWL"], 10), line(cuwl["CUWL"], 5, **ends(end)), now=now)
    held = PurchaseLine.objects.get(virtual_account=default_va, end=None if held_is_long else end)
    reserve(default_va, cuwl["CUWL"], held.quantity, now, line=held)
    left = 15 - held.quantity
    (surplus,) = explain(cuwl["CUWL"], engineering, now).cures.surplus
    assert (surplus.available, surplus.quantity) == (left, left)
    assert surplus.until == (end if held_is_long else None)

    def transfer(quantity: int) -> None:
        lines = [TransferLine(cuwl["CUWL"], quantity, engineering)]
        transfer_licenses(actor=SYSTEM, source=default_va, lines=lines, now=now)

    with pytest.raises(Conflict):
        transfer(left + 1)
    transfer(left)


def test_those_who_lend_all_they_have_do_not_hide_one_that_can_spare(cuwl, engineering, now):
    use(make_instance(engineering, now), cuwl["CUWL"], 2, now)
    for number in range(11):
        place = VirtualAccount.objects.create(
            smart_account=engineering.smart_account, name=f"Site {number}", created_at=now
        )
        deliver(place, line(cuwl["CUWL"], 20 if number else 3), now=now)
        if number:
            use(make_instance(place, now), cuwl["EPLUS"], 20, now)
    fold_due(now=now)
    assert [s.virtual_account.name for s in explain(cuwl["CUWL"], engineering, now).cures.surplus] == ["Site 0"]


def test_what_a_stranger_to_a_virtual_account_may_not_see_is_not_offered(
    cuwl, engineering, default_va, umbrella, alice, bob, carol, actor_of, now
):
    use(make_instance(engineering, now), cuwl["CUWL"], 5, now)
    deliver(default_va, line(cuwl["CUWL"], 20), now=now)
    foreign = VirtualAccount.objects.get(smart_account=umbrella)
    deliver(foreign, line(cuwl["CUWL"], 20), now=now)

    def offered(person: Any) -> list[tuple[str, bool]]:
        cures = explain(cuwl["CUWL"], engineering, now, actor_of(person)).cures
        return [(surplus.virtual_account.name, surplus.may_transfer) for surplus in cures.surplus]

    assert offered(alice) == [("DEFAULT", True)]
    assert offered(bob) == offered(carol) == []
    with pytest.raises(NotFound):
        explain(cuwl["CUWL"], default_va, now, actor_of(bob))
    with pytest.raises(NotFound):
        explain(cuwl["CUWL"], foreign, now, actor_of(alice))


def test_silent_instances_are_told_with_what_they_hold(cuwl, engineering, now):
    onprem = Origin.objects.create(name="3f0c", smart_account=engineering.smart_account)
    long_ago = now - timedelta(days=30, seconds=1)
    silent, lively, through_server = (make_instance(engineering, long_ago) for _ in range(3))
    contact(silent, long_ago)
    contact(lively, now - timedelta(days=30))
    ProductInstance.objects.filter(pk=through_server.pk).update(origin=onprem)
    for quantity, instance in enumerate((silent, lively, through_server), start=3):
        use(instance, cuwl["CUWL"], quantity, long_ago)
    found = explain(cuwl["CUWL"], engineering, now)
    assert (found.silence.count, found.silence.quantity) == (1, 3)
    assert [(part.instance, part.quantity) for part in found.silence.instances] == [(silent, 3)]
    assert [(part.instance.pk, part.is_silent) for part in found.instances] == [
        (through_server.pk, False),
        (lively.pk, False),
        (silent.pk, True),
    ]


def test_the_fewest_instances_that_use_what_is_missing_are_named(cuwl, engineering, now):
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    quantities = (1, 7, 3, 6)
    devices = {quantity: make_instance(engineering, now) for quantity in quantities}
    for quantity, device in devices.items():
        use(device, cuwl["CUWL"], quantity, now)
    found = explain(cuwl["CUWL"], engineering, now)
    assert found.shortage.quantity == 7
    assert [part.quantity for part in found.reduction] == [7]
    use(devices[7], cuwl["CUWL"], 20, now)
    found = explain(cuwl["CUWL"], engineering, now)
    assert [part.quantity for part in found.reduction] == [20]
    use(devices[7], cuwl["CUWL"], 7, now)
    use(devices[6], cuwl["CUWL"], 8, now)
    assert [part.quantity for part in explain(cuwl["CUWL"], engineering, now).reduction] == [8, 7]
    for quantity, device in devices.items():
        use(device, cuwl["CUWL"], min(quantity, 2), now)
    assert explain(cuwl["CUWL"], engineering, now).reduction == []


def test_what_is_billed_by_usage_is_never_short(engineering, now):
    license = make_license("METERED", now, billing="USAGE")
    use(make_instance(engineering, now), license, 5, now)
    found = explain(license, engineering, now)
    assert (found.is_short, found.shortage, found.cures) == (False, None, None)
    assert "without limit" in found.verdict


def test_it_costs_no_more_queries_with_many_instances_lines_and_virtual_accounts(
    cuwl, engineering, now, django_assert_max_num_queries
):
    account = {"smart_account_id": engineering.smart_account_id, "virtual_account_id": engineering.pk}
    origin, _ = Origin.objects.get_or_create(name="direct")
    group = HaGroup.objects.create(created_at=now, **account)
    template = make_instance(engineering, now)
    use(template, cuwl["ENH"], 300, now)
    made = ProductInstance.objects.bulk_create(
        ProductInstance(
            **account, origin=origin, external_id=f"many-{number}", piid=f"{number:032x}", udi=f"U:{number}",
            software_tag="s", ha_group=group, state="registered", registered_at=now - timedelta(days=90),
        )
        for number in range(1, 200)
    )  # fmt: skip
    Usage.objects.bulk_create(
        Usage(
            **account, instance=instance, ha_group=group, tag="ENH", license=cuwl["ENH"], kind="counted", quantity=2,
            since=now,
        )
        for instance in made
    )  # fmt: skip
    for number in range(12):
        place = VirtualAccount.objects.create(
            smart_account=engineering.smart_account, name=f"Site {number}", created_at=now
        )
        deliver(place, line(cuwl["EPLUS"], 5, **ends(now + timedelta(days=9))), line(cuwl["ENH"], 1), now=now)
        use(make_instance(place, now), cuwl["ENH"], 1, now)
    with django_assert_max_num_queries(21):
        found = explain(cuwl["ENH"], engineering, now)
    assert (found.more_instances.count, found.silence.count) == (150, 199)
    assert len(found.cures.surplus) == 10
