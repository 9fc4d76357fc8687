"""Reserving under real concurrency: exactly what there is, and one reservation of one product."""

import pytest

from accounts.services.actors import actor_for_user
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict, Invalid
from licensing.models import Hold, Pool, PoolUnit, Reservation
from licensing.services.pools import fold, units
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations import moves
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.returns import return_reservation
from licensing.services.reservations.updates import cancel_update, update_reservation
from tests.authorities import prepare_authorities
from tests.concurrency.threads import run_at_once
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, line, make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

MANY, LEFT = 64, 10


@pytest.fixture
def admin(alice, acme, now, monkeypatch):
    prepare_authorities(now, monkeypatch)
    know_software()
    return actor_for_user(alice)


@pytest.fixture
def router(engineering, now):
    license = make_license("ROUTER", now)
    deliver(engineering, line(license, LEFT), now=now)
    return license


def reserve(admin, place, license, product, quantity=1):
    issued = reserve_licenses(
        actor=admin,
        virtual_account=place,
        request_code=product.request_code,
        licenses=[Wanted(license, quantity)],
        now=read_clock(),
    )
    product.install(issued.text)
    return issued


@pytest.mark.parametrize("locked", [True, False])
def test_many_reserve_the_last_licenses_at_once(admin, engineering, router, monkeypatch, locked):
    """Exactly as many as there are get one; without the lock of the unit more do, which shows that they do race."""
    if not locked:
        bare = lambda ids: list(  # noqa: E731  one line
            PoolUnit.objects.filter(pk__in=set(ids)).select_related("hierarchy").order_by("pk")
        )
        monkeypatch.setattr(units, "lock_units", bare)
        monkeypatch.setattr(fold, "lock_units", bare)
        # Without the lock two folds would take each other's deltas; what is looked at here is what they find free.
        monkeypatch.setattr(fold, "take_deltas", lambda pools: {})

    def attempt(number):
        try:
            reserve(admin, engineering, router, AirGapped(serial=f"RACE{number:04}"))
        except Conflict as refused:
            return refused.code
        return None

    outcomes = run_at_once(*(lambda n=n: attempt(n) for n in range(MANY)))
    won = outcomes.count(None)
    if not locked:
        assert won > LEFT
        return
    assert won == LEFT
    assert set(outcomes) == {None, "NOT_ENOUGH_FREE"}
    assert Reservation.objects.count() == sum(Hold.objects.values_list("quantity", flat=True)) == LEFT
    fold_due(now=read_clock())
    pool = Pool.objects.with_figures(read_clock()).get(license=router)
    assert (pool.now_reserved, pool.now_free) == (LEFT, 0)
    assert check_pools(now=read_clock()) == []


def test_the_same_request_code_at_once_gives_one_reservation_and_one_code(admin, engineering, router):
    codes = run_at_once(*(lambda: reserve(admin, engineering, router, AirGapped()).text for _ in range(8)))
    assert len(set(codes)) == 1
    assert Reservation.objects.count() == 1


def test_two_request_codes_of_one_product_at_once_give_one_reservation(admin, engineering, router):
    def attempt(letter):
        try:
            return reserve(admin, engineering, router, AirGapped(sequence=letter)).is_new
        except Conflict as refused:
            return refused.code

    outcomes = run_at_once(lambda: attempt("B"), lambda: attempt("C"))
    assert sorted(outcomes, key=str) == [True, "UDI_RESERVED"]


def test_changing_confirming_and_returning_at_once_leaves_figures_that_follow_from_the_records(
    admin, engineering, router
):
    products = [AirGapped(serial=f"MIX{number}") for number in range(4)]
    reservations = [reserve(admin, engineering, router, each, 2).reservation for each in products]

    def change(number, quantity):
        for step in range(6):
            try:
                issued = update_reservation(
                    actor=admin,
                    reservation=reservations[number],
                    licenses=[Wanted(router, 1 + (quantity + step) % 4)],
                    now=read_clock(),
                )
                code = products[number].install(issued.text)
                if step % 2:
                    cancel_update(actor=admin, reservation=reservations[number], now=read_clock())
                else:
                    confirm_installation(
                        actor=admin, reservation=reservations[number], confirmation_code=code, now=read_clock()
                    )
            except (Conflict, Invalid):
                continue

    def give_back(number):
        for code in moves.outstanding_codes(reservations[number]):
            assert code
        try:
            return_reservation(
                actor=admin,
                reservation=reservations[number],
                return_code=products[number].return_code,
                now=read_clock(),
            )
        except (Conflict, Invalid):
            return

    run_at_once(
        *(lambda n=n, q=q: change(n, q) for n in range(4) for q in (0, 2)),
        lambda: give_back(3),
        lambda: [fold_due(now=read_clock()) for _ in range(10)],
    )
    fold_due(now=read_clock())
    assert check_pools(now=read_clock()) == []
    pool = Pool.objects.with_figures(read_clock()).get(license=router)
    assert 0 <= pool.now_balance <= LEFT
