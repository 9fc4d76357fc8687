"""Reservations in a real Chromium: typing a code, filtering long lists, on a phone, in both colours, accessible."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User, VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import Reservation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.updates import update_reservation
from tests.authorities import prepare_authorities
from tests.conftest import NOW
from tests.licensing.reservation_cast import BOARD, VA, WIZARD
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, line, make_license
from tests.licensing.test_transfers_in_browser import SIZES, look
from tests.portal.test_in_browser import browser, open_page  # noqa: F401  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reserved(engineering: VirtualAccount, alice: User, transactional_db: None, monkeypatch: Any) -> Reservation:
    """Engineering owns ROUTER (with a term, too) and SWITCH; a product is to confirm that it gave routers up."""
    prepare_authorities(NOW, monkeypatch)
    know_software()
    router, switch = make_license("ROUTER", NOW), make_license("SWITCH", NOW)
    ends = {"licenseType": "TERM", "startDate": "2026-01-01", "endDate": "2036-01-01"}
    deliver(engineering, line(router, 30), line(router, 20, **ends), line(switch, 10), now=NOW)
    place: dict[str, Any] = {"actor": actor_for_user(alice), "now": NOW}
    for number in range(3):
        issued = reserve_licenses(
            **place,
            virtual_account=engineering,
            request_code=AirGapped(serial=f"FCW213{number}").request_code,
            licenses=[Wanted(router, 5), Wanted(switch, 1, number=2)],
        )
    update_reservation(**place, reservation=issued.reservation, licenses=[Wanted(router, 2)])
    return issued.reservation


def test_a_product_is_reserved_for_with_the_code_checked_while_it_is_typed(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    reserved: Reservation,
):
    code = AirGapped(serial="NEW1").request_code
    page = open_page(f"{VA}licenses/")
    page.get_by_role("link", name="License reservation").press("Enter")
    field = page.get_by_label("Reservation request code")
    expect(field).to_be_focused()
    page.keyboard.type(code[:-1])
    expect(page.locator("#code-check")).to_contain_text("Check digits (the last two)")
    page.keyboard.type(code[-1])
    expect(page.locator("#code-check")).to_contain_text("This is a whole request code.")
    page.get_by_role("button", name="Continue").press("Enter")
    page.get_by_label("Quantity of ROUTER name, Perpetual").fill("2")
    page.get_by_label(re.compile("Filter the")).fill("switch")
    expect(page.get_by_label("Quantity of SWITCH name")).to_be_visible()
    expect(page.get_by_label("Quantity of ROUTER name, Term")).to_be_hidden()
    expect(page.get_by_label("Quantity of ROUTER name, Perpetual"), "what is filled in stays on show").to_be_visible()
    page.get_by_role("button", name="Continue").press("Enter")
    page.get_by_role("button", name="Reserve and show the authorization code").press("Enter")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download AC_NEW1.xml").click()
    assert download.value.suggested_filename == "AC_NEW1.xml"
    page.get_by_role("button", name="Copy the code").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()


def test_many_are_reserved_for_and_their_codes_come_as_one_file(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    reserved: Reservation,
):
    codes = [AirGapped(serial=f"MANY{number}").request_code for number in range(3)]
    page = open_page(f"{WIZARD}many/")
    page.get_by_label("Request codes, one per line").fill("\n".join(codes))
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Quantity of SWITCH name").fill("1")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Reserve", exact=True).click()
    expect(page.get_by_text("3 of 3 request codes have an authorization code")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all codes as one ZIP").click()
    assert download.value.suggested_filename == "authorization-codes.zip"
    page.goto(BOARD)
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Download codes").click()
    with page.expect_download():
        page.get_by_role("dialog").get_by_role("button", name="Download as ZIP").click()


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_the_pages_of_reservations_fit_and_are_accessible(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    reserved: Reservation,
    width: int,
    theme: str,
):
    own = f"{VA}reservations/{reserved.instance.piid}/"
    for name, path in {"reservation": own, "board": BOARD, "board-empty": f"{BOARD}?q=nothing", "code": WIZARD}.items():
        look(open_page(path, width=width, theme=theme), name, width)
    page = open_page(own, width=width, theme=theme)
    for action in ("Enter confirmation code", "Enter return code", "Rehost from failed product"):
        page.get_by_role("link", name=action).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        look(page, action.replace(" ", "-"), width)
        page.get_by_role("dialog").get_by_role("textbox").first.fill("C1")
        expect(page.get_by_role("dialog").locator("#code-check")).to_contain_text(re.compile("_INVALID"))
        look(page, f"{action.replace(' ', '-')}-wrong", width)
        page.keyboard.press("Escape")
    page.get_by_role("link", name="Show").first.click()
    expect(page.get_by_role("dialog", name="Authorization code")).to_be_visible()
    look(page, "code-dialog", width)
    page = open_page(f"{own}update/", width=width, theme=theme)
    look(page, "update", width)
    page.get_by_label("Quantity of ROUTER name, Perpetual").fill("99")
    page.get_by_role("button", name="Continue").click()
    look(page, "update-error", width)
    page.get_by_label("Quantity of ROUTER name, Perpetual").fill("3")
    page.get_by_role("button", name="Continue").click()
    look(page, "update-review", width)
    page = open_page(WIZARD, width=width, theme=theme)
    page.get_by_label("Reservation request code").fill(AirGapped(serial="NEW1").request_code[:-1])
    expect(page.locator("#code-check")).to_contain_text("Check digits")
    look(page, "code-wrong", width)
    page.get_by_label("Reservation request code").fill(AirGapped(serial="NEW1").request_code)
    page.get_by_role("button", name="Continue").click()
    look(page, "licenses", width)
    page.get_by_label("Quantity of ROUTER name, Perpetual").fill("3")
    page.get_by_role("button", name="Continue").click()
    look(page, "review", width)
    page.get_by_role("button", name="Reserve and show").click()
    look(page, "authorization", width)
    page = open_page(f"{WIZARD}many/", width=width, theme=theme)
    look(page, "many", width)
    page.get_by_label("Request codes, one per line").fill(f"{AirGapped(serial='X1').request_code}\nwrong")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Quantity of SWITCH name").fill("1")
    page.get_by_role("button", name="Continue").click()
    look(page, "many-review", width)
    page.get_by_role("button", name="Reserve", exact=True).click()
    look(page, "many-result", width)
    for tab in ("licenses", "instances"):
        look(open_page(f"{VA}{tab}/", width=width, theme=theme), tab, width)
