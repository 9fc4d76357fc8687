from datetime import timedelta

import pytest

from accounts.models import Event, VirtualAccount
from accounts.services.virtual_accounts import create_virtual_account
from cssm.common.actor import SYSTEM
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from licensing.models import Allocation, License, OwnershipRecord, PoolTransition, PurchaseLine
from licensing.services.ownership.corrections import correct_line, terminate_licenses
from licensing.services.ownership.transfer_preview import preview_transfer
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import Compliance, LicenseType, Precedence
from tests.licensing.stock import deliver, import_rows, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def admin(alice, acme, actor_of):
    return actor_of(alice)


@pytest.fixture
def transfer(admin, engineering, default_va, router, now):
    """From Engineering to DEFAULT."""

    def move(quantity, *, target=default_va, license=router, key="", at=now, actor=admin, source=engineering, **fields):
        lines = [TransferLine(license, quantity, target, **fields)]
        return transfer_licenses(actor=actor, source=source, lines=lines, key=key, now=at)

    return move


def term(license, quantity, end, **fields):
    return line(license, quantity, licenseType="TERM", endDate=end.isoformat(), **fields)


def stock(virtual_account):
    """{(tag, type, end): remaining} of what is left."""
    lines = PurchaseLine.objects.filter(virtual_account=virtual_account).with_remaining()
    return {(it.license.tag, it.license_type, it.end): it.remaining for it in lines if it.remaining}


def test_licenses_keep_type_dates_and_subscription_and_the_order_they_are_from(
    transfer, engineering, default_va, router, now
):
    end = now + timedelta(days=90)
    deliver(engineering, term(router, 10, end, subscriptionId="SUB1"), now=now)
    record = transfer(4)
    assert (stock(engineering), stock(default_va)) == (
        {("ROUTER", "term", end): 6},
        {("ROUTER", "term", end): 4},
    )
    child = PurchaseLine.objects.get(virtual_account=default_va)
    parent = PurchaseLine.objects.get(virtual_account=engineering)
    assert (child.parent, child.subscription_id, child.start, child.order) == (
        parent,
        "SUB1",
        parent.start,
        parent.order,
    )
    assert (child.source, child.record) == ("transfer", record)
    assert Allocation.objects.get().child == child
    assert live(router, engineering, now).now_purchased == 6
    assert live(router, default_va, now).now_purchased == 4
    assert {e.message for e in Event.objects.filter(subject_type="ownership_record")} == {
        "4 ROUTER name were transferred to DEFAULT.",
        "4 ROUTER name were received from Engineering.",
    }
    assert check_pools(now=now) == []


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, {"perpetual": 0, "long": 2, "short": 3}),
        ({"precedence": Precedence.SHORTEST_TERM_FIRST}, {"perpetual": 3, "long": 2, "short": 0}),
        ({"license_type": LicenseType.TERM}, {"perpetual": 3, "long": 0, "short": 2}),
    ],
)
def test_the_longest_term_goes_first_unless_told_otherwise(transfer, engineering, router, now, options, left):
    ends = {"long": now + timedelta(days=300), "short": now + timedelta(days=30)}
    deliver(engineering, line(router, 3), *(term(router, 3, end) for end in ends.values()), now=now)
    transfer(4, **options)
    names = {None: "perpetual", **{end: name for name, end in ends.items()}}
    lines = PurchaseLine.objects.filter(virtual_account=engineering).with_remaining()
    assert {names[it.end]: it.remaining for it in lines} == left


def test_what_is_used_reserved_or_lent_stays(transfer, engineering, now):
    import_rows(
        ["HIGH,entitlement,High,,,,,,,", "LOW,entitlement,Low,,,,,,HIGH,"],
        now,
    )
    high, low = License.objects.get(tag="HIGH"), License.objects.get(tag="LOW")
    device = make_instance(engineering, now)
    deliver(engineering, line(high, 10), now=now)
    use(device, high, 2, now)
    use(device, low, 3, now)
    with pytest.raises(Conflict) as refused:
        transfer(6, license=high)
    assert (refused.value.code, refused.value.details["errors"][0]["free"]) == ("NOT_ENOUGH_FREE", 5)
    assert not OwnershipRecord.objects.filter(kind="transfer").exists()
    transfer(5, license=high)
    assert live(low, engineering, now).now_status == Compliance.AUTHORIZED
    assert check_pools(now=now) == []


def test_a_transfer_that_would_break_the_pool_next_month_is_refused_with_the_date(transfer, engineering, router, now):
    end = now + timedelta(days=30)
    deliver(engineering, line(router, 10), term(router, 5, end), now=now)
    use(make_instance(engineering, now), router, 8, now)
    with pytest.raises(Conflict, match=f"{end:%Y-%m-%d}") as refused:
        transfer(3)
    assert refused.value.code == "NOT_ENOUGH_LATER"
    assert refused.value.details["errors"][0] | {"message": ""} == {
        "line": 1,
        "field": "quantity",
        "code": "NOT_ENOUGH_LATER",
        "message": "",
        "asked": 3,
        "free": 2,
        "date": f"{end:%Y-%m-%d}",
    }
    # The same quantity of what ends by then is missed by nobody.
    transfer(3, license_type=LicenseType.TERM)
    assert live(router, engineering, end).now_balance == 2


def test_what_has_expired_or_not_begun_cannot_be_transferred(transfer, engineering, router, now):
    deliver(engineering, term(router, 5, now + timedelta(days=1)), now=now)
    later = now + timedelta(days=2)
    with pytest.raises(Conflict) as refused:
        transfer(1, at=later)
    assert refused.value.code == "LINES_EXPIRED"
    deliver(engineering, line(router, 5, startDate=(now + timedelta(days=9)).isoformat()), now=later)
    with pytest.raises(Conflict) as refused:
        transfer(1, at=later)
    assert refused.value.code in {"NOT_ENOUGH_FREE", "LINES_EXPIRED"}


@pytest.mark.parametrize("quantity", [0, -1, 10**30, True])
def test_a_quantity_that_is_none_is_invalid_and_changes_nothing(transfer, engineering, router, now, quantity):
    deliver(engineering, line(router, 5), now=now)
    with pytest.raises(Invalid) as refused:
        transfer(quantity)
    assert refused.value.code == "OUT_OF_RANGE"
    assert not Allocation.objects.exists()


def test_to_oneself_to_a_stranger_and_without_the_right(
    transfer, engineering, umbrella, router, default_va, bob, carol, actor_of, now
):
    deliver(engineering, line(router, 5), now=now)
    with pytest.raises(Invalid) as refused:
        transfer(1, target=engineering)
    assert refused.value.code == "SAME_ACCOUNT"
    with pytest.raises(NotFound):
        transfer(1, target=VirtualAccount.objects.get(smart_account=umbrella))
    for person in (bob, carol):
        with pytest.raises(Forbidden):
            transfer(1, actor=actor_of(person), target=default_va)
    assert not Allocation.objects.exists()


def test_of_many_lines_all_or_none(admin, engineering, default_va, router, now):
    switch = make_license("SWITCH", now)
    sales = create_virtual_account(actor=admin, smart_account=engineering.smart_account, name="Sales", now=now)
    deliver(engineering, line(router, 5), line(switch, 1), now=now)

    def attempt(*lines):
        numbered = [
            TransferLine(license, quantity, target, number=number)
            for number, (license, quantity, target) in enumerate(lines, start=1)
        ]
        return transfer_licenses(actor=admin, source=engineering, lines=numbered, now=now)

    with pytest.raises(Conflict) as refused:
        attempt((router, 3, default_va), (switch, 2, sales), (router, 3, sales))
    assert refused.value.code == "TRANSFER_REFUSED"
    assert [(e["line"], e["free"]) for e in refused.value.details["errors"]] == [(2, 1), (3, 2)]
    assert not Allocation.objects.exists()
    attempt((router, 3, default_va), (switch, 1, sales), (router, 2, sales))
    assert live(router, sales, now).now_purchased == 2
    assert stock(engineering) == {}
    assert check_pools(now=now) == []
    with pytest.raises(Invalid) as too_many:
        attempt(*[(router, 1, sales)] * 999)
    assert too_many.value.code == "TOO_MANY_LINES"


def test_the_same_request_sent_twice_is_one_transfer(transfer, engineering, router, now):
    deliver(engineering, line(router, 5), now=now)
    assert transfer(2, key="k1") == transfer(2, key="k1")
    assert stock(engineering)[("ROUTER", "perpetual", None)] == 3
    with pytest.raises(Conflict) as refused:
        transfer(1, key="k1")
    assert refused.value.code == "KEY_REUSED"


def test_every_unit_can_be_followed_to_its_order(transfer, engineering, default_va, router, now):
    deliver(engineering, line(router, 5), now=now, order_ref="PO-1")
    transfer(4)
    transfer(3, source=default_va, target=engineering)
    (last,) = PurchaseLine.objects.filter(quantity=3)
    assert [last.parent.quantity, last.parent.parent.quantity] == [4, 5]
    assert {it.order.order_ref for it in PurchaseLine.objects.all()} == {"PO-1"}
    assert live(router, engineering, now).now_purchased == 4


def test_the_preview_says_what_becomes_of_both_sides_and_changes_nothing(admin, engineering, default_va, router, now):
    end = now + timedelta(days=30)
    deliver(engineering, line(router, 10), now=now)
    deliver(default_va, term(router, 2, end), now=now)
    use(make_instance(default_va, now), router, 4, now)
    fold_due(now=now)
    lines = [TransferLine(router, 3, default_va)]
    source, target = preview_transfer(actor=admin, source=engineering, lines=lines, now=now)
    assert (source.before.balance, source.after.balance, source.shortage_after) == (10, 7, None)
    assert (target.before.status, target.after.status) == (Compliance.OUT_OF_COMPLIANCE, Compliance.AUTHORIZED)
    assert (target.shortage_before, target.shortage_after) == ((now, 2), (end, 1))
    assert not Allocation.objects.exists()
    transfer_licenses(actor=admin, source=engineering, lines=lines, now=now)
    assert live(router, default_va, now).now_balance == target.after.balance == 1
    assert PoolTransition.objects.latest("pk").cause == "transfer"


def test_a_termination_takes_what_is_free_and_a_correction_what_never_was_there(engineering, router, now, admin):
    deliver(engineering, line(router, 5), now=now)
    use(make_instance(engineering, now), router, 3, now)
    terminate = {"virtual_account": engineering, "license": router, "reason": "sent back", "now": now}
    with pytest.raises(Forbidden):
        terminate_licenses(actor=admin, quantity=1, **terminate)
    with pytest.raises(Conflict):
        terminate_licenses(actor=SYSTEM, quantity=3, **terminate)
    terminate_licenses(actor=SYSTEM, quantity=2, **terminate)
    bought = PurchaseLine.objects.get()
    with pytest.raises(Conflict):
        correct_line(actor=SYSTEM, line=bought, quantity=-4, reason="typing error", now=now)
    with pytest.raises(Invalid):
        correct_line(actor=SYSTEM, line=bought, quantity=-1, reason=" ", now=now)
    correct_line(actor=SYSTEM, line=bought, quantity=-1, reason="typing error", now=now)
    assert live(router, engineering, now).now_balance == -1
    assert PoolTransition.objects.latest("pk").cause == "correction"
    correct_line(actor=SYSTEM, line=bought, quantity=4, reason="it was right after all", now=now)
    assert live(router, engineering, now).now_purchased == 6
    assert sorted(OwnershipRecord.objects.values_list("kind", flat=True)) == [
        "correction",
        "correction",
        "delivery",
        "termination",
    ]
    assert check_pools(now=now) == []
