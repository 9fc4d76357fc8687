"""The reservation board in the portal: every reserved product of an account, filtered, exported, returned in bulk."""

import csv
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import License, Reservation
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.issuing import show_code
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.updates import update_reservation
from licensing.views import long_runs
from tests.conftest import NOW
from tests.licensing.reservation_cast import BOARD, dialog, go, text_of
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, line, live, make_license
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=2)
OF_NOBODY = "CEL7AU-RaGyRi-dGWrct-Mex5qo-hZbfKf-Pp84Vg-m3QZre-FXjAbH-59J"


@pytest.fixture(autouse=True)
def _two_days_later() -> Iterator[None]:
    with time_machine.travel(LATER, tick=False):
        yield


@pytest.fixture(autouse=True)
def _in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(long_runs, "SECONDS_AT_ONCE", 1000.0)


@pytest.fixture
def router() -> License:
    return make_license("ROUTER", NOW)


@pytest.fixture
def reserve(authorities: None, alice: Any, router: License, engineering: VirtualAccount, default_va: VirtualAccount):
    """Reserve routers for a product, which installs the code."""
    know_software()
    for place in (engineering, default_va):
        deliver(place, line(router, 20), now=NOW)

    def make(serial: str, quantity: int, place: VirtualAccount = engineering) -> tuple[AirGapped, Reservation]:
        product = AirGapped(serial=serial)
        issued = reserve_licenses(
            actor=actor_for_user(alice),
            virtual_account=place,
            request_code=product.request_code,
            licenses=[Wanted(router, quantity)],
            now=NOW,
        )
        product.install(issued.text)
        return product, issued.reservation

    return make


@pytest.fixture
def board(reserve, alice: Any, router: License, default_va: VirtualAccount) -> dict[str, AirGapped]:
    """WAITING is to be installed, LESS to confirm that it gave licenses up; DONE is installed, in another account."""
    actor = actor_for_user(alice)
    waiting, _ = reserve("WAITING", 1)
    less, reservation = reserve("LESS", 3)
    update_reservation(actor=actor, reservation=reservation, licenses=[Wanted(router, 2)], now=NOW + timedelta(days=1))
    done, reservation = reserve("DONE", 4, default_va)
    code = done.install(show_code(actor=actor, reservation=reservation).text)
    confirm_installation(actor=actor, reservation=reservation, confirmation_code=code, now=NOW)
    return {"WAITING": waiting, "LESS": less, "DONE": done}


def products_of(client: Client, **query: str) -> list[str]:
    page = check_page(client.get(BOARD, query))
    return [cell.text_content().strip().split(":")[1] for cell in page.xpath("//tbody/tr/td[@data-label='Product']")]


def test_it_shows_what_every_product_waits_for_and_since_when(alice_client: Client, board: dict[str, AirGapped]):
    page = check_page(alice_client.get(BOARD))
    text = text_of(page)
    assert "Engineering Update not confirmed Confirmation to release 1 day ago 3 3 ROUTER name" in text
    assert "Engineering Authorization code issued Installation 2 days ago 1 1 ROUTER name" in text
    assert "DEFAULT Installed – — 4 4 ROUTER name" in text
    link = page.xpath("//a[contains(., 'LESS')]/@href")[0]
    assert "Update not confirmed" in text_of(check_page(alice_client.get(link)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"waits_for": "release"}, {"LESS"}),
        ({"waits_for": "anything"}, {"LESS", "WAITING"}),
        ({"state": "installed"}, {"DONE"}),
        ({"virtual_account": "Engineering"}, {"LESS", "WAITING"}),
        ({"q": "done"}, {"DONE"}),
        ({"q": "router engineering"}, {"LESS", "WAITING"}),
        ({"kind": "universal"}, set()),
    ],
)
def test_it_is_filtered(alice_client: Client, board: dict[str, AirGapped], query: dict[str, str], expected: set[str]):
    assert set(products_of(alice_client, **query)) == expected


def test_it_is_sorted_by_how_long_something_is_awaited(alice_client: Client, board: dict[str, AirGapped]):
    ascending = products_of(alice_client, sort="waits_since", waits_for="anything")
    assert ascending == ["WAITING", "LESS"]
    assert products_of(alice_client, sort="-quantity") == ["DONE", "LESS", "WAITING"]


def test_it_is_exported(alice_client: Client, board: dict[str, AirGapped]):
    response = alice_client.get(BOARD, {"export": "csv", "waits_for": "release"})
    (row,) = csv.DictReader(b"".join(response).decode("utf-8-sig").splitlines())
    assert row["Product"] == "C9300-24UX:LESS"
    assert row["Waits for"] == "Confirmation to release"
    assert row["Since"] == "2026-03-03T09:30:00Z"
    assert row["Licenses"] == "3 ROUTER name"
    sheet: Any = alice_client.get(BOARD, {"export": "xlsx"})
    assert b"".join(sheet).startswith(b"PK")
    sheet.close()


def test_many_return_codes_are_entered_each_with_its_own_result(
    alice_client: Client, board: dict[str, AirGapped], router: License, engineering: VirtualAccount
):
    codes = [board["DONE"].return_code, "nonsense", board["WAITING"].return_code, OF_NOBODY]
    done = dialog(alice_client, f"{BOARD}return/", {"text": "\r\n".join(["", *codes, codes[0]])})
    text = text_of(check_page(alice_client.get(done.headers["HX-Redirect"])))
    assert "2 of 4 reservations were returned" in text
    assert "C9300-24UX:DONE Returned: 4 licenses released" in text
    assert "nonsense – Not returned. A return code begins with C (specific) or D (universal)" in text
    assert "This is not the return code of a reservation that you manage" in text
    assert set(products_of(alice_client)) == {"LESS"}
    assert set(products_of(alice_client, state="ended")) == {"DONE", "WAITING"}
    assert live(router, engineering, LATER).now_reserved == 3
    assert check_pools(now=LATER) == []


def test_who_manages_one_virtual_account_returns_nothing_of_another(
    bob_client: Client, board: dict[str, AirGapped], router: License, default_va: VirtualAccount
):
    assert set(products_of(bob_client)) == {"LESS", "WAITING"}, "and sees nothing of it"
    page = go(bob_client, bob_client.post(f"{BOARD}return/", {"text": board["DONE"].return_code}))
    assert "0 of 1 reservation" in text_of(page)
    assert live(router, default_va, LATER).now_reserved == 4


def test_the_codes_of_chosen_rows_come_as_one_zip(
    alice_client: Client, bob_client: Client, carol_client: Client, board: dict[str, AirGapped]
):
    keys = [str(pk) for pk in Reservation.objects.values_list("pk", flat=True)]
    chosen = {"selected": keys}
    asked = dialog(alice_client, f"{BOARD}codes/", {**chosen, "open": "1"})
    assert "3 of 3 have an authorization code that you may see" in asked.content.decode()
    assert names_in(alice_client.post(f"{BOARD}codes/", chosen)) == ["AC_DONE.xml", "AC_LESS.xml", "AC_WAITING.xml"]
    assert names_in(bob_client.post(f"{BOARD}codes/", chosen)) == ["AC_LESS.xml", "AC_WAITING.xml"]
    assert carol_client.post(f"{BOARD}codes/", chosen).status_code == 403
    Reservation.objects.update(state="returned")
    assert alice_client.post(f"{BOARD}codes/", chosen).status_code == 422


def test_viewers_see_the_board_without_its_actions(carol_client: Client, board: dict[str, AirGapped]):
    page = check_page(carol_client.get(BOARD))
    assert "LESS" in text_of(page)
    assert "Enter return codes" not in text_of(page)
    assert not page.xpath("//input[@name='selected']")


def test_the_licenses_of_a_virtual_account_lead_to_its_part_of_the_board(
    alice_client: Client, board: dict[str, AirGapped]
):
    licenses = check_page(alice_client.get("/accounts/acme.example/inventory/Engineering/licenses/"))
    (link,) = licenses.xpath("//a[normalize-space()='Reservations' and contains(@href, 'virtual_account')]/@href")
    assert link == f"{BOARD}?virtual_account=Engineering"
    assert sorted(products_of(alice_client, virtual_account="Engineering")) == ["LESS", "WAITING"]


def test_an_empty_board_tells_how_to_begin(alice_client: Client, acme: SmartAccount):
    assert "has a button “License reservation”" in text_of(check_page(alice_client.get(BOARD)))


def test_a_page_of_many_rows_takes_no_more_queries_than_one_of_few(
    alice_client: Client, board: dict[str, AirGapped], reserve, django_assert_max_num_queries
):
    for number in range(12):
        reserve(f"MORE{number}", 1)
    with django_assert_max_num_queries(20):
        assert len(products_of(alice_client)) == 15


def names_in(response: Any) -> list[str]:
    assert response.headers["Content-Type"] == "application/zip", response.content
    with zipfile.ZipFile(BytesIO(response.content)) as archive:
        return sorted(archive.namelist())
