"""One family of licenses, and the same loans on every screen, in every file, in the API and in the mail.

100 CUWL owned, 10 CUWL and 50 Enhanced Plus needed: 50 are lent and 40 are left, also where part of the need is
reserved and before the fold has taken the changes.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client

from accounts.models import User, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.services.dispatch import dispatch
from alerts.services.mail import send_due_mail
from alerts.services.subscriptions import choose_notifications
from alerts.states import AlertType, Frequency
from licensing.models import License, Pool
from licensing.services.pools.fold import fold_due
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.families import import_cuwl, reserve
from tests.licensing.stock import deliver, line, make_instance, use
from tests.portal.markup import check_page, parse_page

ACCOUNT = "/accounts/acme.example/"
LICENSES = f"{ACCOUNT}inventory/Engineering/licenses/"
REPORT = f"{ACCOUNT}reports/licenses/"
FIGURES = ("Purchased", "In use", "Reserved", "Borrowed", "Lent", "Balance", "Compliance")
ALL_COLUMNS = {"columns": ["purchased", "in_use", "reserved", "borrowed", "lent", "balance", "status"]}


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(params=[(0, True), (0, False), (20, True), (20, False)], ids=lambda p: f"reserved {p[0]}, fold {p[1]}")
def reserved(request: pytest.FixtureRequest, engineering: VirtualAccount, cuwl: dict[str, License]) -> int:
    """How many of the 50 Enhanced Plus, and of the 10 CUWL as far as they go, are reserved and not in use."""
    quantity, is_folded = request.param
    device = make_instance(engineering, NOW)
    deliver(engineering, line(cuwl["CUWL"], 100), now=NOW)
    use(device, cuwl["CUWL"], 10 - quantity // 4, NOW)
    use(device, cuwl["EPLUS"], 50 - quantity, NOW)
    reserve(engineering, cuwl["CUWL"], quantity // 4, NOW)
    reserve(engineering, cuwl["EPLUS"], quantity, NOW)
    if is_folded:
        fold_due(now=NOW)
    return int(quantity)


@pytest.fixture
def cuwl(db: None) -> dict[str, License]:
    return import_cuwl(NOW)


def expected(reserved: int) -> dict[str, dict[str, Any]]:
    """By license, the figures of every screen."""
    of_cuwl = (100, 10 - reserved // 4, reserved // 4, 0, 50, 40, "In Compliance")
    of_eplus = (0, 50 - reserved, reserved, 50, 0, 0, "In Compliance")
    return {
        "CUWL": dict(zip(FIGURES, of_cuwl, strict=True)),
        "Enhanced Plus": dict(zip(FIGURES, of_eplus, strict=True)),
    }


def figure(text: str) -> Any:
    text = " ".join(text.split())
    return int(text) if text.lstrip("-").isdecimal() else text


def rows_of(page: Any) -> dict[str, dict[str, Any]]:
    found = {}
    for row in page.xpath("//table[contains(@class, 'data-table')]/tbody/tr"):
        cells = {cell.get("data-label"): cell for cell in row.xpath("./td")}
        name = cells["License"].xpath(".//a")[0].text_content()
        found[name] = {label: figure(cells[label].text_content()) for label in FIGURES}
    return found


def stats_of(page: Any) -> dict[str, int]:
    return {
        each.xpath("./span[@class='stat-label']")[0].text_content().lstrip("+−= "): figure(
            each.xpath("./span[@class='stat-value']")[0].text_content()
        )
        for each in page.xpath("//*[contains(concat(' ', @class, ' '), ' stat ')]")
    }


def file_of(response: Any) -> dict[str, dict[str, Any]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    return {row["License"]: {label: figure(row[label]) for label in FIGURES} for row in rows}


def test_the_portal_shows_them_on_the_tab_in_the_dialog_in_explain_and_in_the_report(
    alice_client: Client, cuwl: dict[str, License], reserved: int
):
    wanted = expected(reserved)
    assert rows_of(check_page(alice_client.get(LICENSES, ALL_COLUMNS))) == wanted
    assert file_of(alice_client.get(LICENSES, {**ALL_COLUMNS, "export": "csv"})) == wanted
    assert rows_of(check_page(alice_client.get(REPORT, ALL_COLUMNS))) == wanted
    assert file_of(alice_client.get(REPORT, {**ALL_COLUMNS, "export": "csv"})) == wanted
    other = {"CUWL": "Enhanced Plus", "Enhanced Plus": "CUWL"}
    for pool in Pool.objects.select_related("license"):
        name = pool.license.display_name
        dialog = parse_page(alice_client.get(f"{LICENSES}{pool.pk}/", headers={"HX-Request": "true"}))
        assert {label: wanted[name][label] for label in stats_of(dialog)} == stats_of(dialog)
        loans = " ".join(dialog.xpath("//*[@aria-label='Loans']")[0].text_content().split())
        assert f"{other[name]}{'lent to it' if name == 'CUWL' else 'borrowed from it'}50" in loans
        explain = check_page(alice_client.get(f"{LICENSES}{pool.pk}/explain/"))
        assert stats_of(explain) == {label: wanted[name][label] for label in FIGURES if label != "Compliance"}
        told = " ".join(explain.xpath("//section[@aria-labelledby='loans-title']")[0].text_content().split())
        assert f"50 {'lent to' if name == 'CUWL' else 'borrowed from'} {other[name]}" in told
    assert "Every license of this account covers its use." in alice_client.get(ACCOUNT).content.decode()


def test_the_api_tells_them_in_the_list_and_in_explain(admin: Caller, cuwl: dict[str, License], reserved: int):
    wanted = expected(reserved)
    rows = {row["license"]: row for row in admin.post(f"/v1{ACCOUNT}licenses", {}).json()["licenses"]}
    for name, figures in wanted.items():
        row = rows[name]
        assert (row["quantity"], row["inUse"], row["reserved"], row["available"], row["status"]) == tuple(
            figures[label] for label in ("Purchased", "In use", "Reserved", "Balance", "Compliance")
        )
        explain = admin.get(f"/v1{ACCOUNT}pools/Engineering/{row['entitlementTag']}/explain").json()
        told = explain["figures"]
        assert [told[key] for key in ("purchased", "inUse", "reserved", "borrowed", "lent", "balance")] == [
            figures[label] for label in FIGURES[:-1]
        ]
    assert rows["CUWL"]["licenseSubstitutions"] == []
    (loan,) = rows["Enhanced Plus"]["licenseSubstitutions"]
    assert (loan["substitutedLicense"], loan["substitutedQuantity"]) == ("CUWL", 50)


def test_a_preview_of_a_transfer_starts_from_them(
    admin: Caller, cuwl: dict[str, License], reserved: int, default_va: VirtualAccount
):
    path = f"/v1{ACCOUNT}virtual-accounts/Engineering/licenses/transfer?dry_run=true"
    lines = [{"entitlementTag": "CUWL", "quantity": 40, "targetVirtualAccount": "DEFAULT"}]
    source = admin.post(path, {"licenses": lines}).json()["pools"][0]
    assert (source["before"]["available"], source["after"]["available"]) == (40, 0)
    lines[0]["quantity"] = 41
    assert "only 40 are free" in admin.post(path, {"licenses": lines}).json()["statusMessage"]


def test_who_borrows_all_that_is_left_and_still_is_short_is_told_so_on_the_overview_and_by_mail(
    alice_client: Client, alice: User, cuwl: dict[str, License], reserved: int, engineering: VirtualAccount
):
    choices = {(engineering.pk, AlertType.INSUFFICIENT_LICENSES): Frequency.IMMEDIATE}
    choose_notifications(actor=actor_for_user(alice), smart_account=engineering.smart_account, choices=choices, now=NOW)
    use(make_instance(engineering, NOW), cuwl["ENH"], 45, NOW)
    page = check_page(alice_client.get(ACCOUNT))
    (row,) = page.xpath("//*[@aria-label='Licenses that are short']//tbody/tr")
    cells = {cell.get("data-label"): cell.text_content().split()[0] for cell in row.xpath("./td")}
    assert (cells["License"], cells["Borrowed"], cells["In use"], cells["Short by"]) == (
        "Enhanced", "40", "45", "5"
    )  # fmt: skip
    fold_due(now=NOW)
    dispatch(now=NOW)
    assert send_due_mail(now=NOW) == 1
    assert "It needs 45, owns 0 and borrows 40." in str(mail.outbox[0].body)
    assert "Short by: 5" in str(mail.outbox[0].body)
