"""Rehosting from failed products: counted once or for both, with a limit; and transfers of reserved products."""

import pytest

from accounts.models import Event, SmartAccount
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.services.texts import describe_alert
from cssm.common.errors import Conflict, Invalid
from licensing.models import ProductInstance, PurchaseLine, Reservation
from licensing.services.devices.moving import transfer_instances
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.rehost import count_open_rehosts, rehost_reservation
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.returns import return_reservation
from licensing.services.reservations.updates import update_reservation
from licensing.states import InstanceState, ReservationState
from tests.licensing.reservations.products import AirGapped, entitled
from tests.licensing.stock import deliver, line, live

pytestmark = pytest.mark.django_db


@pytest.fixture
def spare():
    return AirGapped(serial="SPARE")


@pytest.fixture
def rehost(admin, now):
    def make(failed, replacement):
        issued = rehost_reservation(actor=admin, reservation=failed, request_code=replacement.request_code, now=now)
        replacement.install(issued.text)
        return issued

    return make


def figures(license, place, now):
    assert check_pools(now=now) == []
    pool = live(license, place, now)
    return pool.now_reserved, pool.now_free


def test_where_there_is_surplus_both_products_count(reserve, rehost, spare, product, admin, router, engineering, now):
    failed = reserve({router: 4}).reservation
    issued = rehost(failed, spare)
    assert entitled(issued.text) == {"ROUTER": 4}
    assert figures(router, engineering, now) == (8, 2)
    failed.refresh_from_db()
    assert (failed.state, issued.reservation.is_shared) == (ReservationState.REHOSTED, False)
    assert failed.instance.__class__.objects.get(pk=failed.instance_id).state == InstanceState.REMOVED
    assert count_open_rehosts(engineering) == 0
    return_reservation(actor=admin, reservation=failed, return_code=product.return_code, now=now)
    assert figures(router, engineering, now) == (4, 6)


def test_without_surplus_they_count_once_until_the_failed_one_is_returned(
    reserve, rehost, spare, product, admin, router, engineering, now
):
    failed = reserve({router: 8}).reservation
    issued = rehost(failed, spare)
    assert entitled(issued.text) == {"ROUTER": 8}
    assert issued.reservation.is_shared
    assert figures(router, engineering, now) == (8, 2)
    assert count_open_rehosts(engineering) == 1
    with pytest.raises(Conflict) as refused:
        update_reservation(actor=admin, reservation=issued.reservation, licenses=[Wanted(router, 9)], now=now)
    assert refused.value.code == "REHOST_OPEN"
    return_reservation(actor=admin, reservation=failed, return_code=product.return_code, now=now)
    assert figures(router, engineering, now) == (8, 2)
    assert count_open_rehosts(engineering) == 0
    return_reservation(actor=admin, reservation=issued.reservation, return_code=spare.return_code, now=now)
    assert figures(router, engineering, now) == (0, 10)


def test_alerts_events_and_history_follow_the_licenses_to_the_replacement(
    reserve, rehost, spare, product, admin, router, now
):
    def told():
        dispatch(now=now)
        return {alert.source.split(":")[-1]: describe_alert(alert) for alert in Alert.objects.standing()}

    failed = reserve({router: 8}).reservation
    heir = rehost(failed, spare).reservation
    assert "replaces a failed product, and shares its licenses" in told()["SPARE"]
    return_reservation(actor=admin, reservation=failed, return_code=product.return_code, now=now)
    assert told()["SPARE"].endswith('in the Virtual Account "Engineering": 8.')
    assert [row.quantity for row in heir.transitions.order_by("pk")] == [0, 8]
    event = Event.objects.get(name="reservation.inherited")
    assert event.message.endswith(
        "no longer shares its licenses with the failed product C9300-24UX:FCW2134L0RN: 8 ROUTER name."
    )


def test_a_universal_reservation_is_told_as_such(admin, engineering, stock, now):
    SmartAccount.objects.update(plr_enabled=True)
    product = AirGapped(version="D")
    issued = reserve_licenses(
        actor=admin, virtual_account=engineering, request_code=product.request_code, licenses=[], now=now
    )
    dispatch(now=now)
    assert "has a universal reservation" in describe_alert(Alert.objects.standing().get())
    product.install(issued.text)
    return_reservation(actor=admin, reservation=issued.reservation, return_code=product.return_code, now=now)
    dispatch(now=now)
    assert "gave its universal reservation back" in describe_alert(Alert.objects.standing().get())


def test_a_failed_product_goes_on_counting_although_its_replacement_was_returned(
    reserve, rehost, spare, product, admin, router, engineering, now
):
    failed = reserve({router: 8}).reservation
    issued = rehost(failed, spare)
    return_reservation(actor=admin, reservation=issued.reservation, return_code=spare.return_code, now=now)
    assert figures(router, engineering, now) == (8, 2)
    return_reservation(actor=admin, reservation=failed, return_code=product.return_code, now=now)
    assert figures(router, engineering, now) == (0, 10)


def test_confirming_the_replacement_takes_nothing(reserve, rehost, spare, admin, router, engineering, now):
    failed = reserve({router: 8}).reservation
    issued = rehost(failed, spare)
    code = spare.install(issued.text)
    confirm_installation(actor=admin, reservation=issued.reservation, confirmation_code=code, now=now)
    assert figures(router, engineering, now) == (8, 2)


def test_only_so_many_may_share_at_a_time_and_it_is_explained(reserve, rehost, admin, router, switch, engineering, now):
    reservations = [reserve({router: 3, switch: 3}, of=AirGapped(serial=f"FAILED{n}")).reservation for n in range(3)]
    last = reserve({router: 1}, of=AirGapped(serial="FAILED3")).reservation
    for number, failed in enumerate(reservations):
        rehost(failed, AirGapped(serial=f"SPARE{number}"))
    assert count_open_rehosts(engineering) == 3
    with pytest.raises(Conflict, match="3 failed products") as refused:
        rehost(last, AirGapped(serial="SPARE3"))
    assert refused.value.code == "TOO_MANY_REHOSTS"
    assert Reservation.objects.get(pk=last.pk).state == ReservationState.AUTHORIZED
    # With licenses for both there is nothing to limit.
    deliver(engineering, line(router, 1), now=now)
    assert not rehost(last, AirGapped(serial="SPARE3")).reservation.is_shared


def test_the_request_code_of_the_failed_product_is_spent(reserve, rehost, spare, router):
    failed = reserve({router: 1}).reservation
    rehost(failed, spare)
    with pytest.raises(Conflict) as refused:
        reserve({router: 1})
    assert refused.value.code == "REQUEST_CODE_SPENT"


def test_the_same_request_code_again_gives_the_same_code(reserve, rehost, spare, router):
    failed = reserve({router: 1}).reservation
    first = rehost(failed, spare)
    assert rehost(failed, spare).text == first.text
    assert Reservation.objects.count() == 2


def test_a_product_is_not_rehosted_to_itself_nor_to_another_kind(reserve, rehost, product, router):
    failed = reserve({router: 1}).reservation
    product.sequence = "C"
    for replacement, code in ((product, "SAME_PRODUCT"), (AirGapped(serial="PLR", version="D"), "OTHER_KIND")):
        with pytest.raises(Conflict) as refused:
            rehost(failed, replacement)
        assert refused.value.code == code


def test_the_return_code_of_the_replacement_is_not_that_of_the_failed_product(
    reserve, rehost, spare, admin, router, now
):
    failed = reserve({router: 1}).reservation
    rehost(failed, spare)
    with pytest.raises(Invalid):
        return_reservation(actor=admin, reservation=failed, return_code=spare.return_code, now=now)


def move(admin, reservation, target, now):
    (result,) = transfer_instances(actor=admin, instances=[reservation.instance], target=target, now=now)
    return result


def test_a_reserved_product_is_transferred_with_its_reservation_and_its_licenses(
    reserve, admin, product, router, engineering, default_va, now
):
    reservation = reserve({router: 4}).reservation
    assert move(admin, reservation, default_va, now).error is None
    assert figures(router, engineering, now) == (0, 6)
    assert figures(router, default_va, now) == (4, 0)
    pool = live(router, default_va, now)
    assert (pool.now_purchased, pool.now_status) == (4, "authorized")
    child = PurchaseLine.objects.get(virtual_account=default_va)
    assert (child.quantity, child.parent.virtual_account) == (4, engineering)
    reservation.refresh_from_db()
    assert reservation.virtual_account == default_va
    changed = update_reservation(actor=admin, reservation=reservation, licenses=[Wanted(router, 2)], now=now)
    code = product.install(changed.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    assert figures(router, default_va, now) == (2, 2)
    return_reservation(actor=admin, reservation=reservation, return_code=product.return_code, now=now)
    assert figures(router, default_va, now) == (0, 4)
    fold_due(now=now)
    assert check_pools(now=now) == []


def test_a_change_that_is_pending_is_transferred_too(reserve, admin, product, router, switch, default_va, now):
    reservation = reserve({router: 4}).reservation
    changed = update_reservation(
        actor=admin, reservation=reservation, licenses=[Wanted(router, 2), Wanted(switch, 1)], now=now
    )
    assert move(admin, reservation, default_va, now).error is None
    assert (figures(router, default_va, now), figures(switch, default_va, now)) == ((4, 0), (1, 0))
    code = product.install(changed.text)
    confirm_installation(actor=admin, reservation=reservation, confirmation_code=code, now=now)
    assert (figures(router, default_va, now), figures(switch, default_va, now)) == ((2, 2), (1, 0))


def test_who_shares_licenses_with_a_failed_product_stays(reserve, rehost, spare, admin, router, default_va, now):
    failed = reserve({router: 8}).reservation
    issued = rehost(failed, spare)
    assert move(admin, issued.reservation, default_va, now).error.code == "REHOST_OPEN"
    assert ProductInstance.objects.get(pk=issued.reservation.instance_id).virtual_account != default_va
