"""Reserving licenses in the portal: the request code, the licenses, what comes of it, the authorization code."""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import pytest
import time_machine
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from licensing.models import License, Reservation, SoftwareTag
from licensing.services.pools.rebuild import check_pools
from tests.conftest import NOW
from tests.licensing.reservation_cast import (
    VA,
    WIZARD,
    choose,
    confirm,
    enter_code,
    go,
    part_of,
    reserve,
    text_of,
)
from tests.licensing.reservations.products import AirGapped, entitled, know_software
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db
CHECK = f"{WIZARD}check/"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def router() -> License:
    return make_license("ROUTER", NOW)


@pytest.fixture(autouse=True)
def _stock(authorities: None, engineering: VirtualAccount, router: License) -> None:
    """Engineering owns 10 routers without end and 5 that end in a month, and uses 4; and 3 of another license."""
    know_software()
    ends = (NOW + timedelta(days=30)).strftime("%Y-%m-%d")
    deliver(engineering, line(router, 10), line(router, 5, licenseType="TERM", endDate=ends), now=NOW)
    deliver(engineering, line(make_license("SWITCH", NOW), 3), now=NOW)
    use(make_instance(engineering, NOW), router, 4, NOW)


@pytest.fixture
def product() -> AirGapped:
    return AirGapped()


def test_a_request_code_becomes_an_authorization_after_a_look_at_what_it_makes_of_compliance(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped
):
    page = go(alice_client, enter_code(alice_client, product.request_code))
    text = text_of(page)
    assert "ROUTER name , Term ROUTER 5 Term until 2026-04-01" in text
    most = [cell.text_content() for cell in page.xpath("//table[@id='offers']/tbody/tr/td[3]")]
    assert most == ["6", "5", "3"], "4 of the perpetual ones are needed once the others end"
    review = go(alice_client, choose(alice_client, engineering, ROUTER_perpetual=6, SWITCH=3))
    assert "Engineering ROUTER name 15 4 → 10 11 → 5 In Compliance" in text_of(review)
    assert "Engineering SWITCH name 3 0 → 3 3 → 0 In Compliance" in text_of(review)
    assert not Reservation.objects.exists(), "nothing is reserved before it is confirmed"
    response = confirm(alice_client, review)
    page = go(alice_client, response)
    code = page.get_element_by_id("authorization-code").text_content()
    assert entitled(code) == {"ROUTER": 6, "SWITCH": 3}
    assert page.xpath("//button/@data-copy") == [code]
    file = alice_client.get(f"{response.headers['Location']}?download")
    assert file.headers["Content-Disposition"] == 'attachment; filename="AC_FCW2134L0RN.xml"'
    assert file.headers["Cache-Control"] == "no-store"
    assert file.content.decode() == code
    assert live(router, engineering, NOW).now_reserved == 6
    assert check_pools(now=NOW) == []


def test_a_second_press_of_the_button_shows_what_the_first_one_did(
    alice_client: Client, engineering: VirtualAccount, product: AirGapped
):
    enter_code(alice_client, product.request_code)
    review = go(alice_client, choose(alice_client, engineering, SWITCH=1))
    first, second = confirm(alice_client, review), confirm(alice_client, review)
    assert first.headers["Location"] == second.headers["Location"]
    assert Reservation.objects.count() == 1


def test_the_same_request_code_leads_to_the_same_authorization(
    alice_client: Client, engineering: VirtualAccount, product: AirGapped
):
    url = reserve(alice_client, product, engineering, SWITCH=2)
    again = enter_code(alice_client, f" {product.request_code[:10]}\n {product.request_code[10:]}")
    assert again.headers["Location"] == url
    assert "was used before" in text_of(go(alice_client, again))


def test_a_spent_request_code_is_explained(alice_client: Client, engineering: VirtualAccount, product: AirGapped):
    reserve(alice_client, product, engineering, SWITCH=2)
    Reservation.objects.update(state="returned", ended_at=NOW, returned_at=NOW)
    page = check_page(enter_code(alice_client, product.request_code), status=422)
    assert "that reservation of C9300-24UX:FCW2134L0RN ended on 2026-03-02" in text_of(page)
    assert "Let the product make a new request code" in text_of(page)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda code: "X" + code[1:], "Version (first letter)"),
        (lambda code: code[0] + "7" + code[2:], "Sequence (second letter)"),
        (lambda code: code.replace("-Z", "-Y"), "-Z after the first two letters"),
        (lambda code: code.replace(":", ""), "Product ID and serial number"),
        (lambda code: code[:-4] + code[-3:], "Software (after -A)"),
        (lambda code: code[:-2] + ("00" if not code.endswith("00") else "01"), "Check digits (the last two)"),
        (lambda code: code.replace("C9300", "C9301"), "Check digits (the last two)"),
    ],
)
def test_while_it_is_typed_the_wrong_part_is_named(alice_client: Client, product: AirGapped, change, names: str):
    typed = change(product.request_code)
    assert names in part_of(alice_client.post(CHECK, {"request_code": typed}))
    assert names in text_of(check_page(enter_code(alice_client, typed), status=422))


def test_a_whole_request_code_is_shown_in_its_parts(alice_client: Client, product: AirGapped):
    shown = part_of(alice_client.post(CHECK, {"request_code": product.request_code.replace("-", "–")}))
    assert "This is a whole request code." in shown
    assert "Product ID C9300-24UX Serial number FCW2134L0RN" in shown
    assert product.request_code in shown, "as it was read"
    assert part_of(alice_client.post(CHECK, {"request_code": "  "})) == ""


def test_software_that_the_catalog_does_not_know_is_refused_with_its_hash(alice_client: Client, product: AirGapped):
    SoftwareTag.objects.all().delete()
    assert "Software (after -A): The software part A" in part_of(
        alice_client.post(CHECK, {"request_code": product.request_code})
    )


def test_a_file_with_the_code_does_as_well(alice_client: Client, product: AirGapped):
    file = BytesIO(f"\ufeff{product.request_code}\r\n".encode("utf-16"))
    file.name = "request.txt"
    page = go(alice_client, alice_client.post(f"{WIZARD}?step=code", {"file": file}))
    assert "For C9300-24UX:FCW2134L0RN" in text_of(page)
    both = alice_client.post(f"{WIZARD}?step=code", {})
    assert "one of the two" in text_of(check_page(both, status=422))


def test_more_than_is_free_says_how_much_is_and_where_there_is_more(
    alice_client: Client, engineering: VirtualAccount, default_va: VirtualAccount, router: License, product: AirGapped
):
    deliver(default_va, line(router, 30), now=NOW)
    enter_code(alice_client, product.request_code)
    page = check_page(choose(alice_client, engineering, ROUTER_term=12), status=422)
    text = text_of(page)
    assert "ROUTER name of type Term: 12 asked for, but only 5 are free" in text
    assert "More ROUTER name are free elsewhere: 30 in DEFAULT. Transfer some first." in text
    assert not Reservation.objects.exists()


def test_what_is_billed_by_usage_is_reserved_without_limit(
    alice_client: Client, engineering: VirtualAccount, product: AirGapped
):
    metered = make_license("METERED", NOW, billing="USAGE")
    use(make_instance(engineering, NOW), metered, 1, NOW)
    page = go(alice_client, enter_code(alice_client, product.request_code))
    assert "billed by usage unlimited" in text_of(page)
    review = go(alice_client, choose(alice_client, engineering, METERED=5000))
    page = go(alice_client, confirm(alice_client, review))
    assert entitled(page.get_element_by_id("authorization-code").text_content()) == {"METERED": 5000}


def test_each_type_can_be_asked_for_by_itself(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped
):
    enter_code(alice_client, product.request_code)
    review = go(alice_client, choose(alice_client, engineering, ROUTER_perpetual=6, ROUTER_term=5))
    assert "ROUTER name 6 Perpetual" in text_of(review)
    assert "ROUTER name 5 Term" in text_of(review)


def test_a_universal_request_names_no_licenses(alice_client: Client, engineering: VirtualAccount):
    product = AirGapped(version="D")
    review = go(alice_client, enter_code(alice_client, product.request_code))
    assert "entitles the product to everything" in text_of(review)
    code = go(alice_client, confirm(alice_client, review)).get_element_by_id("authorization-code").text_content()
    assert code.startswith("D")
    product.install(code)


def test_a_universal_request_needs_the_flag_of_the_account(alice_client: Client, acme: SmartAccount):
    SmartAccount.objects.update(plr_enabled=False)
    page = check_page(enter_code(alice_client, AirGapped(version="D").request_code), status=422)
    assert "Universal (permanent) reservations are not switched on" in text_of(page)


def test_without_the_flags_it_is_explained(alice_client: Client, acme: SmartAccount, product: AirGapped):
    SmartAccount.objects.update(plr_enabled=False, slr_enabled=False)
    assert "License reservation is not switched on" in text_of(check_page(alice_client.get(WIZARD)))
    refused = check_page(enter_code(alice_client, product.request_code), status=422)
    assert "License reservation is not switched on" in text_of(refused)


def test_a_product_that_holds_a_reservation_is_refused_at_once(
    alice_client: Client, engineering: VirtualAccount, product: AirGapped
):
    reserve(alice_client, product, engineering, SWITCH=1)
    page = check_page(enter_code(alice_client, AirGapped(sequence="C").request_code), status=422)
    assert "holds a reservation already, of another request code" in text_of(page)


def test_viewers_see_the_reservation_but_no_code_and_no_button(
    alice_client: Client, bob_client: Client, carol_client: Client, engineering: VirtualAccount, product: AirGapped
):
    url = reserve(alice_client, product, engineering, SWITCH=2)
    assert carol_client.get(url).status_code == 403
    assert carol_client.get(f"{url}?download").status_code == 403
    page = check_page(carol_client.get(url.split("codes/")[0]))
    assert "for those who manage this Virtual Account" in text_of(page)
    assert product.request_code not in text_of(page)
    assert product.signature.hex() not in carol_client.get(url.split("codes/")[0]).content.decode()
    assert not page.xpath("//a[contains(@href, '/codes/')]")
    assert bob_client.get(f"{url}?download").status_code == 200
    assert not check_page(carol_client.get(f"{VA}licenses/")).xpath("//a[contains(@href, 'licenses/reserve/')]")
    assert check_page(alice_client.get(f"{VA}licenses/")).xpath("//a[contains(@href, 'licenses/reserve/')]")


def test_a_stranger_learns_nothing(
    alice_client: Client, mallory_client: Client, engineering: VirtualAccount, product: AirGapped
):
    url = reserve(alice_client, product, engineering, SWITCH=2)
    assert mallory_client.get(url).status_code == 404
    assert mallory_client.get(url.split("codes/")[0]).status_code == 404
