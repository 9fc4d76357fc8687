from datetime import timedelta

import pytest

from accounts.models import Event
from accounts.services.virtual_accounts import delete_virtual_account
from cssm.common.actor import SYSTEM
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from licensing.models import Order, OwnershipRecord, Pool, PurchaseLine
from licensing.services.ownership.orders import deliver_order
from licensing.services.pools.rebuild import check_pools
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


def test_a_delivered_order_is_in_the_pool_at_once(engineering, router, now):
    delivery = deliver(engineering, line(router, 7), line(router, "3"), now=now, order_ref="PO-1")
    assert delivery.delivered
    pool = Pool.objects.get(virtual_account=engineering, license=router)
    assert (pool.purchased, pool.status, pool.valid_until) == (10, "authorized", None)
    assert [it.license_type for it in PurchaseLine.objects.filter(order=delivery.order)] == ["perpetual"] * 2
    assert check_pools(now=now) == []


def test_an_order_is_one_event(engineering, router, now):
    deliver(engineering, line(router, 7), now=now, order_ref="PO-1")
    event = Event.objects.get(name="order.delivered")
    assert (event.virtual_account, event.data["order_ref"], event.data["quantity"]) == (engineering, "PO-1", 7)
    assert event.message == "Order PO-1 was delivered: 7 licenses in 1 lines."


def test_the_same_order_twice_delivers_once(engineering, router, now):
    first = deliver(engineering, line(router, 7), now=now, order_ref="PO-1")
    again = deliver(engineering, line(router, "7"), now=now + timedelta(days=1), order_ref=" PO-1 ")
    assert (again.delivered, again.order) == (False, first.order)
    assert live(router, engineering, now).now_purchased == 7
    assert Event.objects.filter(name="order.delivered").count() == 1


def test_a_repeated_order_is_known_even_after_its_end(engineering, router, now):
    term = line(router, 7, licenseType="TERM", endDate=(now + timedelta(days=1)).isoformat())
    deliver(engineering, term, now=now, order_ref="PO-1")
    assert not deliver(engineering, term, now=now + timedelta(days=9), order_ref="PO-1").delivered


def test_another_content_under_a_used_reference_is_a_conflict(engineering, default_va, router, now):
    deliver(engineering, line(router, 7), now=now, order_ref="PO-1")
    for virtual_account, quantity in ((engineering, 8), (default_va, 7)):
        with pytest.raises(Conflict) as refused:
            deliver(virtual_account, line(router, quantity), now=now, order_ref="PO-1")
        assert refused.value.code == "ORDER_REF_REUSED"
    assert Order.objects.count() == 1


def test_the_orders_type_rules_and_the_catalogs_is_the_default(engineering, router, now):
    end = (now + timedelta(days=30)).date().isoformat()
    deliver(engineering, line(router, licenseType="demo", endDate=end), line(router), now=now)
    assert sorted(PurchaseLine.objects.values_list("license_type", flat=True)) == ["demo", "perpetual"]


def test_every_bad_line_is_told_and_nothing_is_delivered(engineering, router, now):
    lines = [
        line(router),
        line(router) | {"entitlementTag": "NOWHERE"},
        line(router, licenseType="TERM"),
        line(router, licenseType="TERM", endDate=now.isoformat()),
    ]
    with pytest.raises(Invalid) as refused:
        deliver(engineering, *lines, now=now)
    assert refused.value.code == "ORDER_INVALID"
    assert [(it["line"], it["field"], it["code"]) for it in refused.value.details["errors"]] == [
        (2, "entitlementTag", "UNKNOWN_TAG"),
        (4, "endDate", "END_BEFORE_START"),
    ]
    assert refused.value.where == "lines[1].entitlementTag"
    assert (Order.objects.count(), PurchaseLine.objects.count()) == (0, 0)


@pytest.mark.parametrize("ref", ["", "  ", "A\x00", "R" * 101, None, 5, "\ud800"])
def test_a_reference_is_a_printable_text(engineering, router, now, ref):
    with pytest.raises(Invalid) as refused:
        deliver_order(
            actor=SYSTEM,
            domain="acme.example",
            virtual_account="Engineering",
            order_ref=ref,
            lines=[line(router)],
            now=now,
        )
    assert refused.value.code == "ORDER_REF_INVALID"


@pytest.mark.parametrize(
    ("domain", "name", "error"),
    [
        ("nowhere.example", "Engineering", NotFound),
        ("acme.example", "Nowhere", NotFound),
        ("acme\x00", "Engineering", Invalid),
        ("acme.example", "\ud800", Invalid),
        (5, "Engineering", Invalid),
        ("acme.example", None, Invalid),
    ],
)
def test_an_unknown_account_is_told(engineering, router, now, domain, name, error):
    with pytest.raises(error):
        deliver_order(actor=SYSTEM, domain=domain, virtual_account=name, order_ref="PO", lines=[line(router)], now=now)


def test_accounts_are_found_in_any_case(engineering, router, now):
    delivery = deliver_order(
        actor=SYSTEM,
        domain="ACME.example",
        virtual_account="engineering",
        order_ref="PO",
        lines=[line(router)],
        now=now,
    )
    assert delivery.order.virtual_account == engineering


def test_only_the_operator_delivers(alice, olivia, engineering, router, actor_of, now):
    def deliver_as(person):
        return deliver_order(
            actor=actor_of(person),
            domain="acme.example",
            virtual_account="Engineering",
            order_ref="PO",
            lines=[line(router)],
            now=now,
        )

    with pytest.raises(Forbidden):
        deliver_as(alice)
    record = OwnershipRecord.objects.get(lines__order=deliver_as(olivia).order)
    assert (record.actor_kind, record.actor_id, record.actor_label) == ("user", str(olivia.pk), "")


def test_a_virtual_account_with_licenses_cannot_be_deleted(engineering, router, now):
    deliver(engineering, line(router), now=now)
    with pytest.raises(Conflict, match="it owns 1 license"):
        delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=now)


def test_nor_can_one_whose_use_is_still_pending(engineering, router, now):
    use(make_instance(engineering, now), router, 2, now)
    with pytest.raises(Conflict, match="in use or reserved"):
        delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=now)


def test_nothing_is_delivered_to_a_deleted_virtual_account(engineering, router, now):
    delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=now)
    with pytest.raises(NotFound):
        deliver(engineering, line(router), now=now)
