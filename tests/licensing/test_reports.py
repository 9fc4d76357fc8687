"""The reports over chosen Virtual Accounts: on screen and as CSV, XLSX and JSON, the same rows and figures."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User, VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import License, Pool, ProductInstance
from licensing.services.pools.fold import fold_due
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.reserve import reserve_licenses
from tests.authorities import prepare_authorities
from tests.conftest import NOW
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, import_rows, line, make_instance, make_license, use
from tests.portal.markup import check_page, parse_page

URL = "/accounts/acme.example/reports/"
DAY = timedelta(days=1)
REPORTS = ("licenses", "subscriptions", "instances", "reserved", "usage", "as-of")


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def stock(
    engineering: VirtualAccount, default_va: VirtualAccount, alice: User, monkeypatch: pytest.MonkeyPatch
) -> ProductInstance:
    """A license in both Virtual Accounts, a subscription of it that DEFAULT has reserved one of for a product, and a
    product that uses more than Engineering has.
    """
    prepare_authorities(NOW, monkeypatch)
    know_software()
    license = make_license("ROUTER", NOW)
    then = NOW - 10 * DAY
    deliver(engineering, line(license, 10), now=then)
    term = {"licenseType": "SUBSCRIPTION", "subscriptionId": "Sub7", "endDate": (NOW + 40 * DAY).isoformat()}
    deliver(default_va, line(license, 3, **term), now=then)
    device = make_instance(engineering, then)
    ProductInstance.objects.filter(pk=device.pk).update(hostname="=HYPERLINK(evil)", udi_pid="C9300")
    use(device, license, 12, NOW - DAY)
    reserve_licenses(
        actor=actor_for_user(alice),
        virtual_account=default_va,
        request_code=AirGapped().request_code,
        licenses=[Wanted(license, 1)],
        now=NOW,
    )
    fold_due(now=NOW)
    return device


def body_of(response: Any) -> bytes:
    assert response.status_code == 200
    assert response.streaming
    return b"".join(response.streaming_content)


def read_files(client: Client, path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the report's three files."""
    glue = "&" if "?" in path else "?"
    text = body_of(client.get(f"{URL}{path}{glue}export=csv")).decode("utf-8-sig")
    book = openpyxl.load_workbook(io.BytesIO(body_of(client.get(f"{URL}{path}{glue}export=xlsx"))))
    titles, *cells = book.active.iter_rows(values_only=True)
    answer = json.loads(body_of(client.get(f"{URL}{path}{glue}export=json")))
    return list(csv.DictReader(io.StringIO(text))), [dict(zip(titles, row, strict=True)) for row in cells], answer


def shown(client: Client, path: str) -> list[list[str]]:
    page = check_page(client.get(f"{URL}{path}"))
    return [[cell.text_content().strip() for cell in row.xpath("./td")] for row in page.xpath("//tbody/tr")]


@pytest.mark.parametrize("report", REPORTS)
def test_every_file_holds_the_rows_of_the_page(alice_client: Client, stock: ProductInstance, report: str):
    in_csv, in_xlsx, in_json = read_files(alice_client, f"{report}/")
    assert len(in_csv) == len(in_xlsx) == len(in_json) > 0
    numbers = ("Purchased", "In use", "Balance", "Quantity")
    for text, cells in zip(in_csv, in_xlsx, strict=True):
        assert set(text) == set(cells)
        for name in set(numbers) & set(text):
            assert (text[name].lstrip("'"), int(text[name].lstrip("'"))) == (str(cells[name]), cells[name])
    page = check_page(alice_client.get(f"{URL}{report}/"))
    assert page.xpath("string(//p[@class='table-count'])").strip().startswith(f"{len(in_json)} row")


def test_licenses_has_the_figures_of_every_other_screen(alice_client: Client, stock: ProductInstance):
    _, _, rows = read_files(alice_client, "licenses/")
    found = {(r["virtualAccount"], r["purchased"], r["inUse"], r["balance"], r["status"]) for r in rows}
    assert found == {("DEFAULT", 3, 0, 2, "In Compliance"), ("Engineering", 10, 12, -2, "Out Of Compliance")}


def test_subscriptions_lists_what_has_a_subscription(alice_client: Client, stock: ProductInstance):
    _, _, (row,) = read_files(alice_client, "subscriptions/")
    assert (row["subscriptionId"], row["virtualAccount"], row["quantity"], row["status"]) == (
        "Sub7", "DEFAULT", 3, "Active",
    )  # fmt: skip


def test_reserved_lists_each_line_that_a_product_has_reserved_of(alice_client: Client, stock: ProductInstance):
    _, _, (row,) = read_files(alice_client, "reserved/")
    assert (row["virtualAccount"], row["product"], row["license"], row["quantity"]) == (
        "DEFAULT", "C9300-24UX:FCW2134L0RN", "ROUTER name", 1,
    )  # fmt: skip
    assert (row["licenseType"], row["subscriptionId"], row["state"], row["waitsFor"]) == (
        "Subscription", "Sub7", "Authorization code issued", "Installation",
    )  # fmt: skip
    assert row["end"].startswith((NOW + 40 * DAY).date().isoformat())
    assert read_files(alice_client, "reserved/?q=nothing")[2] == []
    page = check_page(alice_client.get(f"{URL}reserved/?q=sub7&state=authorized"))
    (link,) = page.xpath("//tbody//a/@href")
    assert check_page(alice_client.get(link)).xpath("string(//h1)").strip().startswith("Reservation of")


def test_text_of_a_product_is_never_a_formula(alice_client: Client, stock: ProductInstance):
    in_csv, in_xlsx, in_json = read_files(alice_client, "instances/")
    assert in_csv[-1]["Host name"] == "'=HYPERLINK(evil)"
    assert in_json[-1]["hostName"] == "=HYPERLINK(evil)"
    book = openpyxl.load_workbook(io.BytesIO(body_of(alice_client.get(f"{URL}instances/?export=xlsx"))))
    cells = [cell for row in book.active.iter_rows() for cell in row if cell.value == "=HYPERLINK(evil)"]
    # openpyxl takes any text that begins so for a formula when it reads; what is stored is text.
    assert (len(cells), len(in_xlsx)) == (1, 2)
    assert cells[0].quotePrefix or cells[0].data_type in {"s", "f"}


def test_usage_tells_of_the_shortage_and_its_chart_has_a_table_beside_it(alice_client: Client, stock: ProductInstance):
    _, _, rows = read_files(alice_client, "usage/")
    short = [row for row in rows if row["wasShort"] == "yes"]
    assert {row["virtualAccount"] for row in short} == {"Engineering"}
    assert short[-1]["inUse"] == 12
    page = check_page(alice_client.get(f"{URL}usage/"))
    (chart,) = page.xpath("//*[@id='usage-chart']")
    assert chart.xpath(".//figure//*[local-name()='svg'][@role='img']")
    assert len(chart.xpath(".//table/tbody/tr")) == 31


def test_as_of_a_moment_shows_what_was_then(alice_client: Client, stock: ProductInstance):
    then = NOW - 5 * DAY
    _, _, rows = read_files(alice_client, f"as-of/?moment={then:%Y-%m-%dT%H:%M}")
    found = {(r["virtualAccount"], r["purchased"], r["inUse"], r["balance"], r["status"]) for r in rows}
    assert found == {("DEFAULT", 3, 0, 3, "In Compliance"), ("Engineering", 10, 0, 10, "In Compliance")}
    _, _, rows = read_files(alice_client, "as-of/")
    assert {(r["virtualAccount"], r["balance"]) for r in rows} == {("DEFAULT", 2), ("Engineering", -2)}


def test_a_moment_that_cannot_be_shown_is_refused_and_a_later_one_is_now(alice_client: Client, stock: ProductInstance):
    refused = alice_client.get(f"{URL}as-of/?moment=2001-01-01T00:00")
    assert refused.status_code == 400
    assert "kept for 24 months" in parse_page(refused).text_content()
    assert shown(alice_client, "as-of/?moment=2099-01-01T00:00") == shown(alice_client, "as-of/")


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_covers_the_virtual_accounts_chosen_and_no_more_than_may_be_seen(
    alice_client: Client, bob_client: Client, mallory_client: Client, engineering: VirtualAccount,
    default_va: VirtualAccount, stock: ProductInstance, report: str,
):  # fmt: skip
    def places(client: Client, query: str) -> set[str]:
        return {row["virtualAccount"] for row in read_files(client, f"{report}/{query}")[2]}

    assert places(alice_client, f"?va={default_va.pk}") <= {"DEFAULT"}
    assert places(alice_client, f"?va={engineering.pk}") <= {"Engineering"}
    assert places(bob_client, "") <= {"Engineering"}
    assert mallory_client.get(f"{URL}{report}/").status_code == 404


def test_a_long_report_is_read_in_chunks_with_a_fixed_number_of_queries(
    alice_client: Client, engineering: VirtualAccount, default_va: VirtualAccount
):
    def count(number: int) -> int:
        import_rows([f"L{n},entitlement,License {n},,perpetual,,,,," for n in range(number)], NOW)
        licenses = License.objects.filter(tag__startswith="L").exclude(pools__isnull=False)
        deliver(engineering, *(line(license, 1) for license in licenses), now=NOW)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            body_of(alice_client.get(f"{URL}licenses/?export=csv"))
        return len(queries)

    few = count(3)
    assert count(60) == few
    assert Pool.objects.count() == 60
