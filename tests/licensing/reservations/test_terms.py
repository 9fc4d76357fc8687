"""Reservations on lines that end: they end with them, at the same instant, for every reader."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.states import AlertType
from licensing.models import PoolTransition, ProductInstance, UsageChange
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.compliance import assess
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.expiry import expire_reservations
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.updates import update_reservation
from licensing.states import InstanceState, LicenseType
from tests.licensing.stock import deliver, line, live, make_license

pytestmark = pytest.mark.django_db

END = datetime(2026, 6, 1, tzinfo=UTC)
BEFORE, AFTER = END - timedelta(seconds=1), END + timedelta(seconds=1)


@pytest.fixture
def tunnel(authorities, software, engineering, now):
    """Five for good and five until June."""
    license = make_license("TUNNEL", now)
    deliver(
        engineering,
        line(license, 5),
        line(license, 5, licenseType="TERM", endDate="2026-06-01", subscriptionId="S-1"),
        now=now,
    )
    return license


@pytest.fixture
def term(admin, engineering, tunnel, product, now):
    """All five of those until June, reserved."""
    issued = reserve_licenses(
        actor=admin,
        virtual_account=engineering,
        request_code=product.request_code,
        licenses=[Wanted(tunnel, 5, LicenseType.TERM)],
        now=now,
    )
    product.install(issued.text)
    return issued


def test_each_line_is_an_entitlement_with_its_type_and_dates(reserve, tunnel):
    text = reserve({tunnel: 8}).text
    assert "<count>5</count><startDate></startDate><endDate></endDate><licenseType>PERPETUAL</licenseType>" in text
    assert (
        "<count>3</count><startDate>2026-03-02</startDate><endDate>2026-06-01</endDate><licenseType>TERM</licenseType>"
        in text
    )
    assert text.count("<subscriptionID>S-1</subscriptionID>") == 1


def test_lines_of_the_same_terms_make_one_entitlement(reserve, tunnel, engineering, now):
    deliver(engineering, line(tunnel, 5), now=now)
    text = reserve({tunnel: 8}).text
    assert text.count("<entitlement>") == 1
    assert "<count>8</count>" in text


def test_what_is_reserved_of_a_line_ends_with_it_for_every_reader(term, tunnel, engineering):
    before = live(tunnel, engineering, BEFORE)
    assert (before.now_purchased, before.now_reserved, before.now_balance) == (10, 5, 5)
    after = live(tunnel, engineering, AFTER)
    assert (after.now_purchased, after.now_reserved, after.now_balance, after.now_free) == (5, 0, 5, 5)
    assert assess(virtual_account_id=engineering.pk, license_ids=[tunnel.pk], now=AFTER).va_compliant
    assert check_pools(now=AFTER) == []
    fold_due(now=AFTER)
    folded = live(tunnel, engineering, AFTER)
    assert (folded.now_purchased, folded.now_reserved) == (5, 0)
    assert check_pools(now=AFTER) == []
    assert not PoolTransition.objects.exists()
    # History has the change at the instant of the end, not of the sweep.
    assert UsageChange.objects.filter(reserved=-5).get().at == END


def test_the_reservation_of_which_nothing_is_left_has_expired(term, tunnel, engineering):
    assert expire_reservations(now=BEFORE) == 0
    assert expire_reservations(now=AFTER) == 1
    assert expire_reservations(now=AFTER) == 0
    term.reservation.refresh_from_db()
    assert term.reservation.state == "expired"
    assert ProductInstance.objects.get().state == InstanceState.EXPIRED
    assert live(tunnel, engineering, AFTER).now_reserved == 0
    assert check_pools(now=AFTER) == []
    dispatch(now=AFTER)
    standing = Alert.objects.standing().filter(type=AlertType.RESERVED_LICENSE_EXPIRED)
    assert [alert.params["product"] for alert in standing] == ["C9300-24UX:FCW2134L0RN"]


def test_a_reservation_of_which_something_is_left_goes_on(reserve, tunnel, admin, engineering):
    reservation = reserve({tunnel: 8}).reservation
    assert expire_reservations(now=AFTER) == 0
    assert live(tunnel, engineering, AFTER).now_reserved == 5
    # A change afterwards names only what still runs.
    changed = update_reservation(actor=admin, reservation=reservation, licenses=[Wanted(tunnel, 4)], now=AFTER)
    assert changed.text.count("<entitlement>") == 1
    assert check_pools(now=AFTER) == []


def test_what_is_reserved_until_june_does_not_keep_the_others_from_being_used_up(
    term, tunnel, engineering, default_va, admin, now
):
    transfer_licenses(actor=admin, source=engineering, lines=[TransferLine(tunnel, 5, default_va)], now=now)
    assert live(tunnel, default_va, AFTER).now_purchased == 5
    after = live(tunnel, engineering, AFTER)
    assert (after.now_purchased, after.now_reserved, after.now_balance) == (0, 0, 0)
