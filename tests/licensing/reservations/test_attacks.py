"""Return codes that are not those of the reservation release nothing; and what is told of those that are."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from accounts.models import Event, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.states import AlertType
from cssm.common.errors import DomainError, Invalid, NotFound
from licensing.models import DuplicateFinding, ReservationTransition
from licensing.services.insight.duplicates import find_duplicates
from licensing.services.reservations.bulk import Row, reserve_many, return_many, zip_codes
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.returns import find_by_return_code, return_reservation
from licensing.services.reservations.updates import cancel_update, update_reservation
from licensing.states import DuplicateKind
from tests.licensing.device_driver import Device
from tests.licensing.reservations.products import AirGapped
from tests.licensing.stock import deliver, line, live

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(router, engineering, now):
    return lambda: live(router, engineering, now).now_reserved


def give_back(actor, reservation, code, now):
    return return_reservation(actor=actor, reservation=reservation, return_code=code, now=now)


def test_the_return_code_of_an_earlier_reservation_releases_nothing(reserve, admin, product, router, held, now):
    first = reserve({router: 3}).reservation
    old = product.return_code
    give_back(admin, first, old, now)
    product.sequence = "C"
    second = reserve({router: 5}).reservation
    for reservation in (first, second):
        with pytest.raises(DomainError) as refused:
            give_back(admin, reservation, old, now)
        assert refused.value.code in {"RESERVATION_ENDED", "RETURN_CODE_MISMATCH"}
    assert held() == 5


def test_the_return_code_of_another_product_releases_nothing(reserve, admin, product, router, held, now):
    reservation, other = reserve({router: 3}).reservation, AirGapped(serial="OTHER")
    reserve({router: 2}, of=other)
    with pytest.raises(Invalid, match="another product") as refused:
        give_back(admin, reservation, other.return_code, now)
    assert refused.value.code == "RETURN_CODE_MISMATCH"
    assert held() == 5


@pytest.mark.parametrize("part", ["piid", "timestamp", "signature", "version"])
def test_an_edited_return_code_releases_nothing(reserve, admin, product, router, held, now, part):
    reservation = reserve({router: 3}).reservation
    edited = {
        "piid": str(uuid4()),
        "timestamp": product.timestamp + 1,
        "signature": product.signature[:-1] + bytes([product.signature[-1] ^ 1]),
        "version": "D",
    }
    setattr(product, part, edited[part])
    with pytest.raises(Invalid):
        give_back(admin, reservation, product.return_code, now)
    assert held() == 3


def test_a_piid_put_into_another_code_releases_nothing(reserve, admin, product, router, held, now):
    """The MAC of the other reservation does not fit this one's PIID."""
    other = AirGapped(serial="OTHER")
    reservation = reserve({router: 3}).reservation
    reserve({router: 2}, of=other)
    other.piid = str(reservation.instance.piid)
    with pytest.raises(Invalid, match="not the return code of"):
        give_back(admin, reservation, other.return_code, now)
    assert held() == 5


def test_nobody_returns_what_is_of_another_account(
    reserve, mallory, umbrella, product, router, held, now, engineering, default_va, admin
):
    reservation = reserve({router: 3}).reservation
    stranger = actor_for_user(mallory)
    with pytest.raises(NotFound):
        give_back(stranger, reservation, product.return_code, now)
    theirs = VirtualAccount.objects.get(smart_account=umbrella)
    with pytest.raises(NotFound) as refused:
        find_by_return_code(actor=stranger, virtual_account=theirs, return_code=product.return_code)
    assert "Acme" not in refused.value.message
    with pytest.raises(NotFound):
        find_by_return_code(actor=admin, virtual_account=default_va, return_code=product.return_code)
    assert held() == 3


def test_the_code_of_a_withdrawn_change_releases_nothing(reserve, admin, product, router, held, now):
    reservation = reserve({router: 3}).reservation
    changed = update_reservation(actor=admin, reservation=reservation, licenses=[Wanted(router, 4)], now=now)
    cancel_update(actor=admin, reservation=reservation, now=now)
    product.install(changed.text)
    with pytest.raises(Invalid):
        give_back(admin, reservation, product.return_code, now)
    assert held() == 3


def test_no_code_stands_in_events_alerts_or_transitions(reserve, admin, product, router, now):
    issued = reserve({router: 3})
    confirmation, code = product.install(issued.text), product.return_code
    give_back(admin, issued.reservation, code, now)
    dispatch(now=now)
    written = repr([*Event.objects.values(), *Alert.objects.values(), *ReservationTransition.objects.values()])
    for secret in (issued.text, "specificPLR", confirmation, code, product.signature.hex()):
        assert secret not in written


def test_alerts_tell_of_what_is_reserved_and_returned(reserve, admin, product, router, now):
    def standing():
        dispatch(now=now)
        return {alert.type: alert.params["quantity"] for alert in Alert.objects.standing()}

    reservation = reserve({router: 3}).reservation
    assert standing() == {AlertType.LICENSES_RESERVED: 3}
    update_reservation(actor=admin, reservation=reservation, licenses=[Wanted(router, 5)], now=now)
    assert standing() == {AlertType.LICENSES_RESERVED: 5}
    give_back(admin, reservation, product.return_code, now)
    assert standing() == {AlertType.RESERVED_LICENSES_RETURNED: 5}


def test_a_returned_product_that_is_seen_again_is_told_of(reserve, admin, product, router, token, now):
    reservation = reserve({router: 3}).reservation
    give_back(admin, reservation, product.return_code, now)
    later = now + timedelta(hours=1)
    find_duplicates(now=later)
    assert not DuplicateFinding.objects.exists()
    device = Device(later, sudi={"udi_pid": product.pid, "udi_serial_number": product.serial})
    assert device.register(token).code is None
    find_duplicates(now=later)
    finding = DuplicateFinding.objects.get()
    assert (finding.kind, finding.instance.piid) == (DuplicateKind.RETURNED, UUID(device.piid))
    dispatch(now=later)
    assert Alert.objects.standing().filter(type=AlertType.DUPLICATE_LICENSES).count() == 1


def test_many_request_codes_at_once_each_with_its_own_result(
    reserve, stock, admin, engineering, default_va, router, held, now
):
    products = [AirGapped(serial=f"BULK{number}") for number in range(4)]
    rows = [
        Row(products[0].request_code, [Wanted(router, 2)]),
        Row(products[1].request_code[:-1], [Wanted(router, 2)]),
        Row(products[2].request_code, [Wanted(router, 9)]),
        Row(products[3].request_code, [Wanted(router, 3)]),
        Row(products[3].request_code, [Wanted(router, 3)]),
    ]
    outcomes = reserve_many(actor=admin, virtual_account=engineering, rows=rows, now=now)
    assert [outcome.number for outcome in outcomes] == [1, 2, 3, 4, 5]
    assert [outcome.error and outcome.error.code for outcome in outcomes] == [
        None, "REQUEST_CODE_INVALID", "NOT_ENOUGH_FREE", None, None,
    ]  # fmt: skip
    assert outcomes[3].issued.text == outcomes[4].issued.text
    assert held() == 5
    issued = [outcome.issued for outcome in outcomes if outcome.issued]
    archive = zip_codes(issued)
    assert archive == zip_codes(issued)
    for name in (b"AC_BULK0.xml", b"AC_BULK3.xml", b"AC_BULK3_2.xml"):
        assert name in archive
    for product, outcome in ((products[0], outcomes[0]), (products[3], outcomes[3])):
        product.install(outcome.issued.text)
    codes = [products[0].return_code, "nonsense", products[3].return_code, products[3].return_code]
    returned = return_many(actor=admin, virtual_account=engineering, return_codes=codes, now=now)
    assert [outcome.error and outcome.error.code for outcome in returned] == [
        None, "RETURN_CODE_INVALID", None, "RESERVATION_ENDED",
    ]  # fmt: skip
    assert held() == 0


@pytest.mark.parametrize("count", [0, 1001])
def test_so_many_rows_are_refused(stock, admin, engineering, now, count):
    with pytest.raises(Invalid):
        reserve_many(actor=admin, virtual_account=engineering, rows=[Row("x")] * count, now=now)


def test_who_asks_for_more_than_there_is_learns_where_there_is_more(reserve, stock, default_va, router, bob, now):
    deliver(default_va, line(router, 40), now=now)
    with pytest.raises(DomainError, match="40 in DEFAULT"):
        reserve({router: 11})
    with pytest.raises(DomainError) as refused:
        reserve({router: 11}, actor=actor_for_user(bob))
    assert "DEFAULT" not in refused.value.message
