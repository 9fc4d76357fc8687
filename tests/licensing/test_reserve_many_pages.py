"""Reserving for many products at once in the portal: each row by itself, one ZIP of the codes."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import VirtualAccount
from licensing.models import License, Reservation
from licensing.services.pools.rebuild import check_pools
from licensing.views import long_runs
from tests.conftest import NOW
from tests.licensing.reservation_cast import WIZARD, go, quantities, reserve, text_of
from tests.licensing.reservations.products import AirGapped, entitled, know_software
from tests.licensing.stock import deliver, line, live, make_license
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db
MANY = f"{WIZARD}many/"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def _in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(long_runs, "SECONDS_AT_ONCE", 1000.0)


@pytest.fixture
def router() -> License:
    return make_license("ROUTER", NOW)


@pytest.fixture(autouse=True)
def _stock(authorities: None, engineering: VirtualAccount, router: License) -> None:
    """Engineering owns 10 routers and 3 of another license."""
    know_software()
    deliver(engineering, line(router, 10), line(make_license("SWITCH", NOW), 3), now=NOW)


@pytest.fixture
def products() -> list[AirGapped]:
    return [AirGapped(serial=f"FCW{number}") for number in range(1, 4)]


def paste(client: Client, *lines: str) -> Any:
    return client.post(f"{MANY}?step=codes", {"text": "\n".join(lines)})


def run(client: Client, review: Any) -> Any:
    key = review.xpath("//form[@data-busy]//input[@name='key']/@value")[0]
    return client.post(f"{MANY}?step=review", {"key": key})


def unzip(response: Any) -> dict[str, str]:
    with zipfile.ZipFile(BytesIO(response.content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_pasted_codes_get_one_choice_of_licenses_and_one_zip(
    alice_client: Client, engineering: VirtualAccount, router: License, products: list[AirGapped]
):
    page = go(alice_client, paste(alice_client, *[product.request_code for product in products], "", "nonsense"))
    assert "for each of the 4 request codes that name no licenses" in text_of(page)
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=2)))
    assert "ROUTER name 6 10" in text_of(review), "asked for in all, and free"
    assert "1 row cannot be reserved as it is" in text_of(review)
    assert not Reservation.objects.exists()
    result = go(alice_client, run(alice_client, review))
    text = text_of(result)
    assert "3 of 4 request codes have an authorization code" in text
    assert "nonsense – Not reserved. A request code begins with C (specific) or D (universal)" in text
    assert live(router, engineering, NOW).now_reserved == 6
    codes = unzip(alice_client.get(f"{MANY}codes.zip"))
    assert sorted(codes) == ["AC_FCW1.xml", "AC_FCW2.xml", "AC_FCW3.xml"]
    for product in products:
        code = codes[f"AC_{product.serial}.xml"]
        product.install(code)
        assert entitled(code) == {"ROUTER": 2}
    assert check_pools(now=NOW) == []


def test_the_review_tells_which_codes_were_mistyped_or_are_of_unknown_software(
    alice_client: Client, engineering: VirtualAccount, router: License, products: list[AirGapped]
):
    first, second, third = (product.request_code for product in products)
    mistyped = first.replace("FCW1", "FCW7")
    paste(alice_client, mistyped, second.lower(), third, "CB-ZC9300-24UX:FCW2134L0RN-AK9A6sMTr-B2")
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=2)))
    text = text_of(review)
    assert "2 rows cannot be reserved as they are: mend them now" in text
    assert "do not fit the rest" in text
    assert "The software part AK9A6sMTr is that of no software in the catalog" in text
    assert "ROUTER name 4 10" in text


def test_a_csv_file_says_for_each_code_what_it_gets(
    alice_client: Client, engineering: VirtualAccount, products: list[AirGapped]
):
    first, second, third = (product.request_code for product in products)
    lines = [
        "Request Code;license;quantity;entitlement tag",
        f"{first};ROUTER name;1;",
        f"{first};;2;SWITCH",
        f"{second};;many;ROUTER",
        f"{third};;1;UNKNOWN",
    ]
    file = BytesIO("\r\n".join(lines).encode("utf-16"))
    file.name = "codes.csv"
    review = go(alice_client, alice_client.post(f"{MANY}?step=codes", {"file": file}))
    assert "1 ROUTER name, 2 SWITCH name" in text_of(review)
    text = text_of(go(alice_client, run(alice_client, review)))
    assert "1 of 3 request codes has an authorization code" in text
    assert "Line 4: A quantity is a whole number" in text
    assert 'Line 5: there is no license "UNKNOWN" here' in text
    (code,) = unzip(alice_client.get(f"{MANY}codes.zip")).values()
    assert entitled(code) == {"ROUTER": 1, "SWITCH": 2}


def test_what_is_left_goes_to_the_first_rows_and_the_others_are_told(
    alice_client: Client, engineering: VirtualAccount, products: list[AirGapped]
):
    paste(alice_client, *[product.request_code for product in products])
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, SWITCH=2)))
    assert "There is not enough for all" in text_of(review)
    text = text_of(go(alice_client, run(alice_client, review)))
    assert "1 of 3 request codes has an authorization code" in text
    assert "only 1 are free" in text


def test_a_code_that_was_used_before_gives_the_same_authorization(
    alice_client: Client, engineering: VirtualAccount, products: list[AirGapped], router: License
):
    url = reserve(alice_client, products[0], engineering, ROUTER=1)
    paste(alice_client, products[0].request_code, products[1].request_code, products[0].request_code)
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=2)))
    text = text_of(go(alice_client, run(alice_client, review)))
    assert "2 of 2 request codes have" in text, "a code that is there twice is one"
    assert "Used before: the same authorization code" in text
    codes = unzip(alice_client.get(f"{MANY}codes.zip"))
    assert codes["AC_FCW1.xml"] == alice_client.get(f"{url}?download").content.decode()
    assert live(router, engineering, NOW).now_reserved == 3


def test_a_long_run_goes_on_by_itself_and_shows_how_far_it_is(
    alice_client: Client, engineering: VirtualAccount, products: list[AirGapped], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(long_runs, "SECONDS_AT_ONCE", -1.0)
    paste(alice_client, *[product.request_code for product in products])
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=1)))
    page = go(alice_client, run(alice_client, review))
    assert page.xpath("//progress/@value") == ["1"]
    part = alice_client.post(f"{MANY}run/", headers={"HX-Request": "true"})
    assert b'value="2" max="3"' in part.content
    last = alice_client.post(f"{MANY}run/", headers={"HX-Request": "true"})
    assert last.headers["HX-Redirect"] == f"{MANY}run/"
    assert "3 of 3 request codes have" in text_of(check_page(alice_client.get(f"{MANY}run/")))


def test_without_script_the_button_goes_on(
    alice_client: Client, engineering: VirtualAccount, products: list[AirGapped], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(long_runs, "SECONDS_AT_ONCE", -1.0)
    paste(alice_client, *[product.request_code for product in products[:2]])
    review = go(alice_client, alice_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=1)))
    run(alice_client, review)
    assert "2 of 2" in text_of(go(alice_client, alice_client.post(f"{MANY}run/")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Paste the codes, or choose a file"),
        ("requestCode,colour\nA,1", 'There is no column "colour"'),
        ("requestCode\n\n", "There is no request code in this"),
        ("\n".join(f"C{number}" for number in range(1001)), "at most 1,000 codes are taken at once"),
    ],
)
def test_what_is_no_list_of_codes_is_refused(alice_client: Client, engineering: VirtualAccount, text, message):
    assert message in text_of(check_page(paste(alice_client, text), status=422))


def test_the_example_shows_the_columns_and_reads_as_one(alice_client: Client, engineering: VirtualAccount):
    example = alice_client.get(f"{MANY}example.csv").content
    assert example.startswith(b"\xef\xbb\xbfrequestCode,entitlementTag,license,quantity,licenseType")
    file = BytesIO(example)
    file.name = "example.csv"
    review = go(alice_client, alice_client.post(f"{MANY}?step=codes", {"file": file}))
    assert "C9300-24UX:FCW2134L0RN" in text_of(review)


def test_codes_of_a_run_are_for_who_may_still_manage(
    bob_client: Client, bob: Any, engineering: VirtualAccount, products: list[AirGapped]
):
    paste(bob_client, products[0].request_code)
    review = go(bob_client, bob_client.post(f"{MANY}?step=licenses", quantities(engineering, ROUTER=1)))
    run(bob_client, review)
    assert len(unzip(bob_client.get(f"{MANY}codes.zip"))) == 1
    bob.memberships.update(role="VA_VIEWER")
    assert bob_client.get(f"{MANY}codes.zip").status_code == 403
