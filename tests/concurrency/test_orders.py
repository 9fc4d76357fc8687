"""Orders that arrive more than once at once."""

import threading

import pytest

from accounts.models import Event
from cssm.common.errors import Conflict
from licensing.models import Order, Pool, PurchaseLine
from licensing.querysets.ownership import OrderQuerySet
from tests.concurrency.threads import run_at_once
from tests.licensing.stock import deliver, line, make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ACTORS = 8


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


def test_one_order_sent_by_many_at_once_is_delivered_once(engineering, router, now):
    work = [lambda: deliver(engineering, line(router, 7), now=now, order_ref="PO").delivered] * ACTORS
    assert sorted(run_at_once(*work)) == [False] * (ACTORS - 1) + [True]
    assert (Order.objects.count(), PurchaseLine.objects.count(), Pool.objects.get().purchased) == (1, 1, 7)
    assert Event.objects.filter(name="order.delivered").count() == 1


def test_it_would_be_delivered_again_if_looking_first_were_all(engineering, router, now, monkeypatch):
    """The control: everyone looks, sees no such order, and then writes one."""
    everyone_looked = threading.Barrier(ACTORS)

    def look_then_write(self, *, order_ref, defaults):
        found = self.filter(order_ref=order_ref).first()
        everyone_looked.wait(timeout=10)
        own_name = f"{order_ref}-{threading.get_ident()}"
        return (found, False) if found else (self.create(order_ref=own_name, **defaults), True)

    monkeypatch.setattr(OrderQuerySet, "get_or_create", look_then_write)
    # The lock on the Virtual Account alone would line them up.
    monkeypatch.setattr(OrderQuerySet.__mro__[1], "select_for_update", lambda self, **_: self.all(), raising=False)
    work = [lambda: deliver(engineering, line(router, 7), now=now, order_ref="PO").delivered] * ACTORS
    assert run_at_once(*work) == [True] * ACTORS
    assert PurchaseLine.objects.count() == ACTORS


def test_of_different_orders_under_one_reference_one_wins(engineering, router, now):
    def order(quantity):
        try:
            return deliver(engineering, line(router, quantity), now=now, order_ref="PO").delivered
        except Conflict as error:
            return error.code

    outcomes = run_at_once(*(lambda n=n: order(n) for n in range(1, ACTORS + 1)))
    assert sorted(outcomes, key=str) == ["ORDER_REF_REUSED"] * (ACTORS - 1) + [True]
    assert Pool.objects.get().purchased == PurchaseLine.objects.get().quantity


def test_different_orders_at_once_all_arrive(engineering, router, now):
    switch = make_license("SWITCH", now)

    def order(number):
        lines = [line(router, 1), line(switch, 2)]
        deliver(engineering, *(lines if number % 2 else reversed(lines)), now=now, order_ref=f"PO-{number}")

    run_at_once(*(lambda n=n: order(n) for n in range(ACTORS)))
    figures = dict(Pool.objects.values_list("license__tag", "purchased"))
    assert figures == {"ROUTER": ACTORS, "SWITCH": 2 * ACTORS}
