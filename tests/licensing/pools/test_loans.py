"""Loans are shown everywhere with the same figures: Licenses tab, dialog, overview, exports, API, e-mail."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import VirtualAccount
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.services.texts import describe_alert
from licensing.models import License, Pool
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.fold import fold_due
from licensing.services.pools.loans import loans_of
from tests.conftest import NOW
from tests.licensing.families import import_cuwl, reserve
from tests.licensing.stock import deliver, line, make_instance, use
from tests.portal.markup import check_page, parse_page

pytestmark = pytest.mark.django_db
TAB = "/accounts/acme.example/inventory/Engineering/licenses/"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def cuwl(db: None) -> dict[str, License]:
    return import_cuwl(NOW)


# 10 CUWL and 50 Enhanced Plus are needed in all: used, or in part reserved, folded or not yet.
SHARES = [(10, 0, 50, 0), (6, 4, 30, 20), (0, 10, 0, 50), (10, 0, 0, 50)]


@pytest.fixture(params=[(share, folded) for share in SHARES for folded in (True, False)], ids=str)
def white_paper(request: pytest.FixtureRequest, cuwl: dict[str, License], engineering: VirtualAccount) -> Any:
    """100 CUWL owned, 10 CUWL and 50 Enhanced Plus used (domain: Hierarchy)."""
    (own_used, own_reserved, low_used, low_reserved), folded = request.param
    device = make_instance(engineering, NOW)
    deliver(engineering, line(cuwl["CUWL"], 100), now=NOW)
    for license, used, reserved in (
        (cuwl["CUWL"], own_used, own_reserved),
        (cuwl["EPLUS"], low_used, low_reserved),
    ):
        use(device, license, used, NOW)
        reserve(engineering, license, reserved, NOW)
    if folded:
        fold_due(now=NOW)
    return cuwl


def cells(page: Any, row: str) -> dict[str, str]:
    """A row of the Licenses tab by its column headings."""
    (found,) = [each for each in page.xpath("//tbody/tr") if each.xpath(f".//a[text()='{row}']")]
    return {cell.get("data-label"): " ".join(cell.text_content().split()) for cell in found.xpath("./td")}


def test_50_are_lent_and_40_left_on_the_licenses_tab(white_paper, alice_client: Client):
    page = check_page(alice_client.get(TAB))
    high, low = cells(page, "CUWL"), cells(page, "Enhanced Plus")
    assert (high["Lent"], high["Balance"], high["Compliance"]) == ("50", "40", "In Compliance")
    assert (low["Borrowed"], low["Balance"], low["Compliance"]) == ("50", "0", "In Compliance")
    assert (high["License"], low["License"]) == ("CUWL lends 50", "Enhanced Plus borrows 50")


def test_50_are_lent_and_40_left_in_the_export(white_paper, alice_client: Client):
    answer = alice_client.get(f"{TAB}?export=csv")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    rows = {row["License"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (rows["CUWL"]["Lent"], rows["CUWL"]["Balance"]) == ("50", "40")
    assert (rows["Enhanced Plus"]["Borrowed"], rows["Enhanced Plus"]["Balance"]) == ("50", "0")


def test_the_dialog_says_who_lends_to_whom(white_paper, alice_client: Client):
    def shown(tag: str) -> tuple[dict[str, str], list[list[str]]]:
        pool = Pool.objects.get(license=white_paper[tag])
        part = parse_page(alice_client.get(f"{TAB}{pool.pk}/", headers={"HX-Request": "true"}))
        stats = {
            stat.xpath("string(span[1])"): stat.xpath("string(span[2])") for stat in part.xpath("//*[@class='stats']/*")
        }
        rows = part.xpath("//*[@aria-label='Loans']//tbody/tr")
        return stats, [[cell.text_content() for cell in row.xpath("./td")] for row in rows]

    stats, loans = shown("CUWL")
    assert (stats["Lent"], stats["Balance"], loans) == ("50", "40", [["Enhanced Plus", "lent to it", "50"]])
    stats, loans = shown("EPLUS")
    assert (stats["Borrowed"], stats["Balance"], loans) == ("50", "0", [["CUWL", "borrowed from it", "50"]])


def test_loans_of_many_units_cost_two_queries(
    cuwl, engineering, default_va, django_assert_num_queries: Callable[..., Any]
):
    for virtual_account, quantity in ((engineering, 5), (default_va, 7)):
        deliver(virtual_account, line(cuwl["CUWL"], 4), line(cuwl["EPLUS"], 2), now=NOW)
        use(make_instance(virtual_account, NOW), cuwl["ENH"], quantity, NOW)
    pools = list(Pool.objects.with_figures(NOW))
    with django_assert_num_queries(2):
        book = loans_of(pools, NOW)
    by_place = {(pool.virtual_account_id, pool.license_id): pool for pool in pools}

    def borrowed(place: VirtualAccount) -> list[tuple[str, int]]:
        return [(loan.lender.tag, loan.quantity) for loan in book.borrowed_by(by_place[place.pk, cuwl["ENH"].pk])]

    assert borrowed(engineering) == [("EPLUS", 2), ("CUWL", 3)]
    assert borrowed(default_va) == [("EPLUS", 2), ("CUWL", 4)]
    lender = by_place[engineering.pk, cuwl["CUWL"].pk]
    assert [(loan.borrower.tag, loan.quantity) for loan in book.lent_by(lender)] == [("ENH", 3)]
    with django_assert_num_queries(0):
        loans_of([pool for pool in pools if not (pool.now_borrowed or pool.now_lent)], NOW)


def test_a_shortage_says_what_is_borrowed(cuwl, engineering, alice_client: Client):
    deliver(engineering, line(cuwl["EPLUS"], 10), line(cuwl["CUWL"], 40), now=NOW)
    use(make_instance(engineering, NOW), cuwl["EPLUS"], 60, NOW)
    fold_due(now=NOW)
    dispatch(now=NOW)
    alert = Alert.objects.get()
    assert "is 10 short" in describe_alert(alert)
    assert "It needs 60, owns 10 and borrows 40." in describe_alert(alert)
    page = check_page(alice_client.get("/accounts/acme.example/"))
    row = cells(page, "Enhanced Plus")
    assert (row["Borrowed"], row["Short by"]) == ("40", "10 Why?")
    pool = Pool.objects.get(license=cuwl["EPLUS"])
    why = f"{TAB}{pool.pk}/explain/"
    assert page.xpath(f"//a[@href='{why}']")
    assert check_page(alice_client.get(TAB)).xpath(f"//a[@href='{why}']")
    assert alert.path == why


def test_what_was_transferred_away_is_not_shown_as_a_line(cuwl, engineering, default_va, alice, actor_of, alice_client):
    deliver(engineering, line(cuwl["CUWL"], 10), now=NOW)
    deliver(engineering, line(cuwl["CUWL"], 5), now=NOW)
    transfer_licenses(
        actor=actor_of(alice), source=engineering, lines=[TransferLine(cuwl["CUWL"], 12, default_va)], now=NOW
    )
    pool = Pool.objects.get(license=cuwl["CUWL"], virtual_account=engineering)
    page = check_page(alice_client.get(f"{TAB}{pool.pk}/"))
    quantities = page.xpath("//*[@aria-label='Purchase lines']//td[@data-label='Left']/text()")
    assert [quantity.strip() for quantity in quantities] == ["3"]
