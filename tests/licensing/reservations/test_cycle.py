"""The life of a reservation: reserved, installed, changed, confirmed, returned; and the figures at each step."""

from datetime import timedelta

import pytest

from accounts.models import Event
from cssm.common.errors import Conflict, Invalid
from licensing.models import AuthorizationCode, Hold, ReservationTransition
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.issuing import show_code
from licensing.services.reservations.reserve import preview_reservation, reserve_licenses
from licensing.services.reservations.returns import find_by_return_code, return_reservation
from licensing.services.reservations.updates import cancel_update, preview_update, update_reservation
from licensing.states import AuthorizationState, InstanceState, ReservationState
from tests.licensing.reservations.products import entitled
from tests.licensing.stock import live

pytestmark = pytest.mark.django_db


@pytest.fixture
def reserved_of(engineering, now):
    """Reserved and free of a license, checked against the records."""

    def figures(license, at=now):
        assert check_pools(now=at) == []
        pool = live(license, engineering, at)
        fold_due(now=at)
        folded = live(license, engineering, at)
        assert (pool.now_reserved, pool.now_free) == (folded.now_reserved, folded.now_free)
        assert check_pools(now=at) == []
        return pool.now_reserved, pool.now_free

    return figures


def state_of(reservation):
    reservation.refresh_from_db()
    return ReservationState(reservation.state)


def test_a_reservation_takes_its_licenses_and_gives_a_code(reserve, reserved_of, product, router, switch):
    issued = reserve({router: 3, switch: 2})
    assert entitled(issued.text) == {"ROUTER": 3, "SWITCH": 2}
    assert issued.text.startswith("<specificPLR><authorizationCode><flag>A</flag><version>C</version>")
    assert (issued.is_new, issued.file_name) == (True, "AC_FCW2134L0RN.xml")
    assert (reserved_of(router), reserved_of(switch)) == ((3, 7), (2, 8))
    reservation = issued.reservation
    assert state_of(reservation) is ReservationState.AUTHORIZED
    instance = reservation.instance
    assert (instance.state, instance.udi) == (InstanceState.RESERVED, "C9300-24UX:FCW2134L0RN")
    assert str(instance.piid) == product.piid
    event = Event.objects.get(name="reservation.authorized")
    assert event.message == (
        "Reserved for C9300-24UX:FCW2134L0RN: 3 ROUTER name, 2 SWITCH name. An authorization code was issued."
    )


def test_the_code_is_kept_encrypted(reserve, router):
    issued = reserve({router: 3})
    sealed = bytes(AuthorizationCode.objects.get().sealed)
    assert b"ROUTER" not in sealed
    assert issued.text.encode() not in sealed


def test_the_same_request_code_shows_the_same_authorization(reserve, reserved_of, router, switch, now):
    first = reserve({router: 3})
    again = reserve({switch: 9}, at=now + timedelta(days=1))
    assert (again.text, again.is_new) == (first.text, False)
    assert reserved_of(router) == (3, 7)
    assert reserved_of(switch) == (0, 10)


def test_the_confirmation_code_shows_that_it_is_installed(reserve, admin, product, router, now):
    issued = reserve({router: 3})
    code = product.install(issued.text)
    reservation = confirm_installation(actor=admin, reservation=issued.reservation, confirmation_code=code, now=now)
    assert state_of(reservation) is ReservationState.INSTALLED
    moves = ReservationTransition.objects.count()
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=f" {code}\n", now=now)
    assert ReservationTransition.objects.count() == moves


def update(admin, reservation, licenses, now):
    wanted = [Wanted(license, quantity) for license, quantity in licenses.items()]
    return update_reservation(actor=admin, reservation=reservation, licenses=wanted, now=now)


def test_what_is_added_is_taken_at_once_and_what_is_removed_released_by_the_confirmation(
    reserve, admin, product, reserved_of, router, switch, now
):
    issued = reserve({router: 3, switch: 2})
    reservation = issued.reservation
    later = now + timedelta(hours=1)
    changed = update(admin, reservation, {router: 5, switch: 1}, later)
    assert entitled(changed.text) == {"ROUTER": 5, "SWITCH": 1}
    assert f"<piid>{product.piid}</piid>" in changed.text
    assert changed.code.timestamp > issued.code.timestamp
    assert changed.code.takes_away
    assert state_of(reservation) is ReservationState.UPDATE_PENDING
    assert (reserved_of(router, later), reserved_of(switch, later)) == ((5, 5), (2, 8))
    code = product.install(changed.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=later)
    assert state_of(reservation) is ReservationState.INSTALLED
    assert (reserved_of(router, later), reserved_of(switch, later)) == ((5, 5), (1, 9))
    assert AuthorizationCode.objects.get(pk=issued.code.pk).state == AuthorizationState.SUPERSEDED


def test_only_adding_needs_no_confirmation_and_can_be_followed_by_another_change(
    reserve, admin, product, reserved_of, router, now
):
    reservation = reserve({router: 3}).reservation
    first = update(admin, reservation, {router: 5}, now)
    assert not first.code.takes_away
    second = update(admin, reservation, {router: 4}, now)
    assert second.code.timestamp > first.code.timestamp
    assert reserved_of(router) == (5, 5)
    code = product.install(second.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    assert reserved_of(router) == (4, 6)


def test_the_confirmation_of_an_intermediate_code_leaves_the_newest_pending(
    reserve, admin, product, reserved_of, router, now
):
    reservation = reserve({router: 6}).reservation
    first = update(admin, reservation, {router: 4}, now)
    update(admin, reservation, {router: 2}, now)
    assert reserved_of(router) == (6, 4)
    code = product.install(first.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    assert state_of(reservation) is ReservationState.UPDATE_PENDING
    assert reserved_of(router) == (4, 6)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_change_that_is_withdrawn_gives_back_what_it_added(
    reserve, admin, product, reserved_of, router, switch, now, confirmed
):
    issued = reserve({router: 3})
    reservation = issued.reservation
    if confirmed:
        code = product.install(issued.text)
        confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    changed = update(admin, reservation, {router: 1, switch: 4}, now)
    assert (reserved_of(router), reserved_of(switch)) == ((3, 7), (4, 6))
    cancel_update(actor=admin, reservation=reservation, now=now)
    assert state_of(reservation) is (ReservationState.INSTALLED if confirmed else ReservationState.AUTHORIZED)
    assert (reserved_of(router), reserved_of(switch)) == ((3, 7), (0, 10))
    with pytest.raises(Conflict, match="withdrawn") as refused:
        confirm_installation(
            actor=admin, reservation=reservation, confirmation_code=product.install(changed.text), now=now
        )
    assert refused.value.code == "UPDATE_CANCELLED"
    with pytest.raises(Conflict) as refused:
        cancel_update(actor=admin, reservation=reservation, now=now)
    assert refused.value.code == "NO_UPDATE_PENDING"
    # The next code is newer than the withdrawn one, or a product that has that one would refuse it.
    assert update(admin, reservation, {router: 2}, now).code.timestamp > changed.code.timestamp


def test_the_return_code_frees_everything_and_spends_the_request_code(
    reserve, admin, engineering, product, reserved_of, router, now
):
    reservation = reserve({router: 3}).reservation
    code = product.return_code
    found = find_by_return_code(actor=admin, virtual_account=engineering, return_code=code)
    assert found == reservation
    return_reservation(actor=admin, reservation=found, return_code=code.lower(), now=now)
    assert state_of(reservation) is ReservationState.RETURNED
    assert reserved_of(router) == (0, 10)
    assert not Hold.objects.exists()
    assert reservation.instance.__class__.objects.get().state == InstanceState.REMOVED
    with pytest.raises(Conflict) as refused:
        reserve({router: 3})
    assert refused.value.code == "REQUEST_CODE_SPENT"
    product.sequence = "C"
    again = reserve({router: 3})
    assert again.reservation.instance.piid != reservation.instance.piid


def test_while_a_change_is_pending_the_return_code_of_the_old_and_of_the_new_code_counts(
    reserve, admin, product, reserved_of, router, switch, now
):
    for step, newest in enumerate([False, True]):
        product.sequence = "EF"[step]
        reservation = reserve({router: 3}).reservation
        changed = update(admin, reservation, {switch: 4}, now)
        if newest:
            product.install(changed.text)
        return_reservation(actor=admin, reservation=reservation, return_code=product.return_code, now=now)
        assert (reserved_of(router), reserved_of(switch)) == ((0, 10), (0, 10))


def test_after_the_confirmation_only_the_new_return_code_counts(reserve, admin, product, reserved_of, router, now):
    reservation = reserve({router: 3}).reservation
    old = product.return_code
    changed = update(admin, reservation, {router: 2}, now)
    code = product.install(changed.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    with pytest.raises(Invalid) as refused:
        return_reservation(actor=admin, reservation=reservation, return_code=old, now=now)
    assert refused.value.code == "RETURN_CODE_MISMATCH"
    assert reserved_of(router) == (2, 8)
    return_reservation(actor=admin, reservation=reservation, return_code=product.return_code, now=now)
    assert reserved_of(router) == (0, 10)


def test_a_preview_changes_nothing_and_says_what_would_be_drawn(
    stock, admin, engineering, product, router, now, count_rows
):
    before = count_rows()
    arguments = {"actor": admin, "virtual_account": engineering, "request_code": product.request_code, "now": now}
    plan = preview_reservation(**arguments, licenses=[Wanted(router, 4)])
    assert [(content.license, content.quantity) for content in plan.contents] == [(router, 4)]
    assert plan.request.code.udi.serial == product.serial
    assert count_rows() == before
    with pytest.raises(Conflict, match="only 10 are free"):
        preview_reservation(**arguments, licenses=[Wanted(router, 11)])
    reservation = reserve_licenses(**arguments, licenses=[Wanted(router, 4)]).reservation
    assert preview_reservation(**arguments, licenses=[Wanted(router, 11)]).earlier == reservation
    old, new = preview_update(actor=admin, reservation=reservation, licenses=[Wanted(router, 9)], now=now)
    assert (old[0].quantity, sum(content.quantity for content in new)) == (4, 9)
    assert show_code(actor=admin, reservation=reservation).text.startswith("<specificPLR>")
