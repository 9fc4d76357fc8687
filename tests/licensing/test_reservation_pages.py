"""The page of one reservation in the portal: what it waits for, its codes, and what can be done with it."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from licensing.models import License, Reservation
from licensing.services.pools.rebuild import check_pools
from tests.conftest import NOW
from tests.licensing.reservation_cast import VA, dialog, go, page_of, part_of, quantities, reserve, text_of
from tests.licensing.reservation_cast import WIZARD as RESERVE
from tests.licensing.reservations.products import AirGapped, entitled, know_software
from tests.licensing.stock import deliver, line, live, make_license
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def router() -> License:
    return make_license("ROUTER", NOW)


@pytest.fixture(autouse=True)
def _stock(authorities: None, engineering: VirtualAccount, router: License) -> None:
    """Engineering owns 10 routers and 3 of another license."""
    know_software()
    deliver(engineering, line(router, 10), line(make_license("SWITCH", NOW), 3), now=NOW)


@pytest.fixture
def product() -> AirGapped:
    return AirGapped()


@pytest.fixture
def page(alice_client: Client, product: AirGapped, engineering: VirtualAccount) -> str:
    """The page of a reservation of 4 routers and 1 switch that the product has installed; it is not confirmed yet."""
    reserve(alice_client, product, engineering, ROUTER=4, SWITCH=1)
    return page_of(Reservation.objects.get())


def show(client: Client, page: str) -> str:
    return text_of(check_page(client.get(page)))


def act(client: Client, page: str, action: str, code: str = "") -> str:
    """Do it in the dialog; what the page says then, or the dialog where it was refused."""
    response = dialog(client, f"{page}{action}/", {"code": code})
    if response.status_code == 422:
        return part_of(response)
    assert response.headers["HX-Redirect"] == page, response.content
    return show(client, page)


def confirmation_code(client: Client, product: AirGapped, page: str) -> str:
    newest = check_page(client.get(page)).xpath("//a[contains(@href, '?download')]/@href")[0]
    return product.install(client.get(newest).content.decode())


def change(client: Client, page: str, place: VirtualAccount, **wanted: int) -> str:
    """Through the wizard; the authorization code."""
    review = go(client, client.post(f"{page}update/?step=licenses", quantities(place, **wanted)))
    key = review.xpath("//form[@data-busy]//input[@name='key']/@value")[0]
    shown = go(client, client.post(f"{page}update/?step=review", {"key": key}))
    return str(shown.get_element_by_id("authorization-code").text_content())


def test_it_waits_for_the_installation_until_the_confirmation_code_is_entered(
    alice_client: Client, product: AirGapped, page: str
):
    assert "Authorization code issued waits for Installation since just now" in show(alice_client, page)
    wrong = act(alice_client, page, "confirm", "abcdefgh")
    assert "This is not the confirmation code of C9300-24UX:FCW2134L0RN" in wrong
    code = confirmation_code(alice_client, product, page)
    text = act(alice_client, page, "confirm", code)
    assert "C9300-24UX:FCW2134L0RN has its authorization code." in text
    assert "Installed since just now" in text
    assert "Confirmation code entered Authorization code issued → Installed 5 0" in text
    assert "Enter confirmation code" not in text


def check(client: Client, url: str, **typed: str) -> str:
    """What is told of a code while it is typed."""
    response = client.post(url, typed, headers={"HX-Request": "true", "HX-Target": "code-check"})
    assert response.status_code == 200, response.content
    return part_of(response)


def test_every_code_is_checked_while_it_is_typed_and_nothing_is_done(
    alice_client: Client, carol_client: Client, engineering: VirtualAccount, product: AirGapped, page: str
):
    before = list(Reservation.objects.values())
    assert check(alice_client, f"{page}confirm/", code=" ") == ""
    assert "has 8 to 11 characters" in check(alice_client, f"{page}confirm/", code="abc")
    assert "not the confirmation code of C9300" in check(alice_client, f"{page}confirm/", code="abcdefgh")
    code = confirmation_code(alice_client, product, page)
    told = check(alice_client, f"{page}confirm/", code=f" {code}")
    assert told == "This confirms the newest authorization code: 4 ROUTER name, 1 SWITCH name."
    assert "this one has 4" in check(alice_client, f"{page}return/", code="Cabc")
    assert check(alice_client, f"{page}return/", code=product.return_code) == (
        "This is the return code of C9300-24UX:FCW2134L0RN."
    )
    other = AirGapped(serial="NEW1")
    told = check(alice_client, f"{page}rehost/", request_code=other.request_code[:-1])
    assert told.startswith("Check digits (the last two):")
    assert "failed product itself" in check(alice_client, f"{page}rehost/", request_code=product.request_code)
    told = check(alice_client, f"{page}rehost/", request_code=other.request_code)
    assert "This is a whole request code. Product ID C9300-24UX Serial number NEW1" in told
    assert "enough free licenses for both" in told
    assert list(Reservation.objects.values()) == before
    asked = carol_client.post(
        f"{page}return/", {"code": "C"}, headers={"HX-Request": "true", "HX-Target": "code-check"}
    )
    assert asked.status_code == 403


def test_a_rehost_tells_beforehand_that_the_licenses_would_be_shared_or_that_too_many_are(
    alice_client: Client, engineering: VirtualAccount, page: str, settings: Any
):
    change(alice_client, page, engineering, ROUTER=10, SWITCH=1)
    code = AirGapped(serial="NEW1").request_code
    assert "they share those of the failed one" in check(alice_client, f"{page}rehost/", request_code=code)
    settings.REHOST_LIMIT = 0
    assert "TOO_MANY_REHOSTS" in check(alice_client, f"{page}rehost/", request_code=code)


def test_what_is_taken_away_is_released_by_the_confirmation_code(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped, page: str
):
    form = check_page(alice_client.get(f"{page}update/"))
    assert sorted(form.xpath("//table[@id='offers']//input/@value")) == ["1", "4"], "what it holds now"
    review = go(alice_client, alice_client.post(f"{page}update/?step=licenses", quantities(engineering, ROUTER=1)))
    text = text_of(review)
    assert "ROUTER name, Perpetual 4 1" in text
    assert "SWITCH name, Perpetual 1 0" in text
    assert "stays reserved until the confirmation code" in text
    assert "Engineering ROUTER name 10 4 → 1 6 → 9" in text
    code = change(alice_client, page, engineering, ROUTER=1)
    assert entitled(code) == {"ROUTER": 1}
    text = show(alice_client, page)
    assert "Update not confirmed waits for Confirmation to release since just now" in text
    assert live(router, engineering, NOW).now_reserved == 4
    text = act(alice_client, page, "confirm", product.install(code))
    assert "has its authorization code. 4 were released." in text
    assert live(router, engineering, NOW).now_reserved == 1
    assert check_pools(now=NOW) == []


def test_what_is_added_is_reserved_at_once_and_more_than_is_free_is_refused(
    alice_client: Client, engineering: VirtualAccount, router: License, page: str
):
    refused = alice_client.post(f"{page}update/?step=licenses", quantities(engineering, ROUTER=11, SWITCH=1))
    text = text_of(check_page(refused, status=422))
    assert "Beyond the 4 that it has already: ROUTER name: 7 asked for, but only 6 are free" in text
    assert entitled(change(alice_client, page, engineering, ROUTER=10, SWITCH=1)) == {"ROUTER": 10, "SWITCH": 1}
    assert live(router, engineering, NOW).now_reserved == 10
    assert "waits for Confirmation (optional)" in show(alice_client, page)
    same = alice_client.post(f"{page}update/?step=licenses", quantities(engineering, ROUTER=10, SWITCH=1))
    assert "This is what the newest authorization code holds already" in text_of(check_page(same, status=422))


def test_a_change_is_withdrawn_and_its_code_is_of_no_use_any_more(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped, page: str
):
    code = change(alice_client, page, engineering, ROUTER=9)
    newest = check_page(alice_client.get(page)).xpath("//a[contains(@href, '?download')]/@href")[0]
    asked = part_of(dialog(alice_client, f"{page}cancel/"))
    assert "The reservation stays as it was: 4 ROUTER name, 1 SWITCH name" in asked
    text = act(alice_client, page, "cancel")
    assert "The change was withdrawn." in text
    assert live(router, engineering, NOW).now_reserved == 4
    assert alice_client.get(newest).status_code == 404
    assert "confirms a change that was withdrawn" in act(alice_client, page, "confirm", product.install(code))


def test_the_return_code_frees_everything(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped, page: str
):
    download = check_page(alice_client.get(page)).xpath("//a[contains(@href, '?download')]/@href")[0]
    assert "cannot stand in a return code" in act(alice_client, page, "return", "C*")
    text = act(alice_client, page, "return", product.return_code.replace("-", " – "))
    assert "5 licenses were released" in text
    assert "Returned since just now" in text
    assert "Enter return code" not in text
    assert live(router, engineering, NOW).now_reserved == 0
    assert alice_client.get(download).status_code == 404, "its code is of no use any more"
    assert alice_client.get(f"{page}update/").status_code == 409
    assert check_pools(now=NOW) == []


def test_a_failed_product_is_replaced_with_the_limit_explained(
    alice_client: Client, engineering: VirtualAccount, router: License, product: AirGapped, page: str
):
    asked = part_of(dialog(alice_client, f"{page}rehost/"))
    assert "only 3 such rehosts may be open in a Virtual Account: here it is 0 of 3 now" in asked
    replacement = AirGapped(serial="NEW1")
    wrong = dialog(alice_client, f"{page}rehost/", {"request_code": replacement.request_code[:-1]})
    assert "Check digits (the last two)" in part_of(wrong)
    done = dialog(alice_client, f"{page}rehost/", {"request_code": replacement.request_code})
    code = check_page(alice_client.get(done.headers["HX-Redirect"])).get_element_by_id("authorization-code")
    assert entitled(code.text_content()) == {"ROUTER": 4, "SWITCH": 1}
    failed = show(alice_client, page)
    assert "Rehosted waits for Its return code" in failed
    assert "Replaced by C9300-24UX:NEW1" in failed
    heir = re.sub("codes/.*", "", done.headers["HX-Redirect"])
    assert "Replaces the failed product C9300-24UX:FCW2134L0RN" in show(alice_client, heir)
    assert live(router, engineering, NOW).now_reserved == 8, "both are covered"
    assert "5 licenses were released" in act(alice_client, page, "return", product.return_code)


def test_what_two_products_share_can_neither_be_changed_nor_rehosted(
    alice_client: Client, engineering: VirtualAccount, router: License, page: str
):
    change(alice_client, page, engineering, ROUTER=10, SWITCH=1)
    replacement = AirGapped(serial="NEW1")
    done = dialog(alice_client, f"{page}rehost/", {"request_code": replacement.request_code})
    heir = re.sub("codes/.*", "", done.headers["HX-Redirect"])
    text = show(alice_client, heir)
    assert "and shares its licenses until that one's return code is entered" in text
    assert "Change licenses" not in text
    assert "Rehost from failed product" not in text
    assert "1 of 3 now" in part_of(dialog(alice_client, f"{page}rehost/"))


def test_since_when_a_confirmation_is_outstanding_is_told(
    alice_client: Client,
    engineering: VirtualAccount,
    page: str,
    clock: Any,
):
    change(alice_client, page, engineering, ROUTER=1)
    clock.move_to(NOW + timedelta(days=3))
    change(alice_client, page, engineering, ROUTER=2)
    assert "to release since 3 days ago" in show(alice_client, page)


def test_viewers_see_the_state_but_can_do_nothing(carol_client: Client, page: str):
    text = show(carol_client, page)
    assert "waits for Installation" in text
    assert "Enter return code" not in text
    for action in ("confirm", "return", "cancel", "rehost", "update"):
        assert carol_client.get(f"{page}{action}/").status_code == 403
        assert carol_client.post(f"{page}{action}/", {"code": "x"}).status_code == 403


def test_a_universal_reservation_has_nothing_to_change(
    alice_client: Client, acme: SmartAccount, engineering: VirtualAccount
):
    product = AirGapped(version="D", serial="PLR1")
    key = go(alice_client, alice_client.post(f"{RESERVE}?step=code", {"request_code": product.request_code}))
    done = alice_client.post(
        f"{RESERVE}?step=review", {"key": key.xpath("//form[@data-busy]//input[@name='key']/@value")[0]}
    )
    product.install(alice_client.get(f"{done.headers['Location']}?download").content.decode())
    page = page_of(Reservation.objects.get(udi="C9300-24UX:PLR1"))
    text = show(alice_client, page)
    assert "the product may use everything" in text
    assert "Change licenses" not in text
    assert "Returned" in act(alice_client, page, "return", product.return_code)


def test_every_page_of_licenses_shows_what_is_reserved_and_for_whom(
    alice_client: Client, carol_client: Client, engineering: VirtualAccount, router: License, page: str
):
    pool = live(router, engineering, NOW)
    table = check_page(carol_client.get(f"{VA}licenses/"))
    row = table.xpath("//tbody/tr[contains(., 'ROUTER')]")[0]
    assert row.xpath("string(td[@data-label='Reserved'])") == "4"
    part = dialog(carol_client, f"{VA}licenses/{pool.pk}/")
    assert "Reserved for Product Quantity Ends Since C9300-24UX:FCW2134L0RN 4 never" in part_of(part)
    why = check_page(carol_client.get(f"{VA}licenses/{pool.pk}/explain/"))
    assert why.xpath(f"//a[@href='{page}']")[0].text_content() == "C9300-24UX:FCW2134L0RN"
    report = check_page(carol_client.get("/accounts/acme.example/reports/instances/"))
    told = report.xpath("string(//tbody/tr/td[@data-label='Licenses reserved'])")
    assert told == "4 × ROUTER name, 1 × SWITCH name"
    instances = check_page(carol_client.get(f"{VA}instances/"))
    assert instances.xpath("string(//tbody/tr/td[@data-label='Reserved'])") == "5"
    part = part_of(dialog(carol_client, page.replace("reservations", "instances")))
    assert "Licenses reserved Authorization code issued" in part
    assert "ROUTER name 4 never SWITCH name 1 never" in part
