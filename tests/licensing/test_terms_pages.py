"""Licenses with a term on the pages: one by one, by the day they end, and in the dialog of a license."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import User, VirtualAccount
from cssm.common.actor import SYSTEM
from licensing.models import License, Pool
from licensing.services.ownership.corrections import terminate_licenses
from tests.conftest import NOW
from tests.licensing.stock import deliver, import_rows, line, make_instance, make_license, use
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db

INVENTORY = "/accounts/acme.example/inventory/"
SUBSCRIPTIONS, END_DATES = f"{INVENTORY}all/subscriptions/", f"{INVENTORY}all/end-dates/"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def dna(db: None) -> License:
    return make_license("DNA-1", NOW)


@pytest.fixture
def sales(acme: Any) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=NOW)


def buy(place: VirtualAccount, license: License, quantity: int, days: float | None, **fields: Any) -> None:
    end = {} if days is None else {"endDate": (NOW + days * DAY).isoformat()}
    deliver(place, line(license, quantity, licenseType="subscription", **end, **fields), now=NOW)


def rows_of(page: Any) -> list[dict[str, str]]:
    """Cells by label, of each row of the first table or of all tables."""
    return [
        {cell.get("data-label"): " ".join(cell.text_content().split()) for cell in row.xpath("td")}
        for row in page.xpath("//table[contains(@class, 'data-table')]/tbody/tr")
    ]


# --- subscriptions ---


def test_subscriptions_are_listed_with_what_is_left_and_for_how_long(
    alice_client: Client, engineering: VirtualAccount, dna: License
):
    buy(engineering, dna, 10, 40, subscriptionId="Sub-1")
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=4, reason="back", now=NOW)
    deliver(engineering, line(dna, 99), now=NOW)
    (row,) = rows_of(check_page(alice_client.get(SUBSCRIPTIONS)))
    assert row == {
        "Subscription": "Sub-1", "License": "DNA-1 name", "Virtual Account": "Engineering", "Type": "Subscription",
        "Quantity": "6", "Start": "just now", "End": "11 Apr 2026", "Days left": "40", "Status": "Active",
    }  # fmt: skip


def test_subscriptions_are_found_by_status_type_account_and_day(
    alice: User, client_of: Any, engineering: VirtualAccount, sales: VirtualAccount, dna: License
):
    buy(engineering, dna, 1, 20)
    buy(engineering, dna, 2, 200)
    buy(sales, dna, 3, None)
    buy(sales, dna, 4, 300, startDate=(NOW + 100 * DAY).isoformat())
    deliver(sales, line(dna, 5, licenseType="demo", endDate=(NOW + 20 * DAY).isoformat()), now=NOW)

    def quantities(**query: str) -> set[str]:
        return {row["Quantity"] for row in rows_of(check_page(client_of(alice).get(SUBSCRIPTIONS, query)))}

    assert quantities() == {"1", "2", "3", "4", "5"}
    assert quantities(virtual_account="Sales") == {"3", "4", "5"}
    assert quantities(license_type="demo") == {"5"}
    assert quantities(status="soon") == {"1", "5"}
    assert quantities(status="future") == {"4"}
    assert quantities(end="2026-03-22") == {"1", "5"}
    with time_machine.travel(NOW + 25 * DAY, tick=False):
        assert quantities() == {"2", "3", "4"}
        assert quantities(status="expired") == {"1", "5"}
        assert quantities(status="all") == {"1", "2", "3", "4", "5"}


def test_what_is_used_up_is_no_subscription_any_more(alice_client: Client, engineering: VirtualAccount, dna: License):
    buy(engineering, dna, 10, 40)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=10, reason="back", now=NOW)
    assert rows_of(check_page(alice_client.get(SUBSCRIPTIONS))) == []


def test_subscriptions_are_exported(alice_client: Client, engineering: VirtualAccount, dna: License):
    buy(engineering, dna, 10, 40, subscriptionId="Sub-1")
    answer = alice_client.get(SUBSCRIPTIONS, {"export": "csv"})
    text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
    assert "Sub-1" in text
    assert ",40," in text


def test_people_see_the_terms_of_their_virtual_accounts_only(
    carol_client: Client, engineering: VirtualAccount, sales: VirtualAccount, dna: License
):
    buy(engineering, dna, 1, 20)
    buy(sales, dna, 2, 20)
    assert [row["Quantity"] for row in rows_of(check_page(carol_client.get(SUBSCRIPTIONS)))] == ["1"]
    assert [row["Ending"] for row in rows_of(check_page(carol_client.get(END_DATES)))] == ["1"]
    assert b"Sales" not in carol_client.get(SUBSCRIPTIONS).content


# --- end dates ---


def test_what_ends_on_one_day_stands_together_with_what_becomes_of_it(
    alice_client: Client, engineering: VirtualAccount, sales: VirtualAccount, dna: License
):
    buy(engineering, dna, 10, 30)
    buy(engineering, dna, 5, 60)
    buy(sales, dna, 3, 30.1)
    use(make_instance(engineering, NOW), dna, 7, NOW)
    page = check_page(alice_client.get(END_DATES))
    headings = [" ".join(h.text_content().split()) for h in page.xpath("//section/h2")]
    assert headings == ["01 Apr 2026 in 30 days", "01 May 2026 in 60 days"]
    first, second, third = rows_of(page)
    assert first == {
        "License": "DNA-1 name", "Virtual Account": "Engineering", "Ending": "10", "Purchased after": "5",
        "Needed": "7", "Balance after": "-2", "Compliance after": "Out Of Compliance",
    }  # fmt: skip
    assert (second["Virtual Account"], second["Ending"], second["Compliance after"]) == ("Sales", "3", "In Compliance")
    assert (third["Ending"], third["Balance after"]) == ("5", "-7")
    assert "13 licenses in 2 Virtual Accounts" in " ".join(page.text_content().split())


def test_what_has_begun_by_then_counts(alice_client: Client, engineering: VirtualAccount, dna: License):
    buy(engineering, dna, 10, 30)
    buy(engineering, dna, 8, 300, startDate=(NOW + 20 * DAY).isoformat())
    use(make_instance(engineering, NOW), dna, 7, NOW)
    first = rows_of(check_page(alice_client.get(END_DATES)))[0]
    assert (first["Purchased after"], first["Compliance after"]) == ("8", "In Compliance")


def test_a_license_that_loses_what_it_borrowed_is_named_too(alice_client: Client, engineering: VirtualAccount):
    import_rows(
        [
            "high,entitlement,High,,perpetual,,,,,PREPAID",
            "low,entitlement,Low,,perpetual,,,,high,PREPAID",
        ],
        NOW,
    )
    high, low = License.objects.get(tag="high"), License.objects.get(tag="low")
    buy(engineering, high, 10, 30)
    use(make_instance(engineering, NOW), low, 4, NOW)
    rows = {row["License"]: row for row in rows_of(check_page(alice_client.get(END_DATES)))}
    assert (rows["Low"]["Ending"], rows["Low"]["Balance after"]) == ("0", "-4")
    assert rows["High"]["Compliance after"] == "In Compliance"


def test_many_end_dates_come_in_pages_with_a_few_queries(
    alice_client: Client, engineering: VirtualAccount, dna: License, django_assert_max_num_queries: Any
):
    for days in range(1, 14):
        buy(engineering, dna, 1, days)
    with django_assert_max_num_queries(30):
        first = check_page(alice_client.get(END_DATES))
    assert len(first.xpath("//section/h2")) == 10
    assert len(check_page(alice_client.get(END_DATES, {"page": 2})).xpath("//section/h2")) == 3
    assert alice_client.get(END_DATES, {"page": "nonsense"}).status_code == 200


def test_an_account_without_terms_says_so(alice_client: Client):
    assert "Nothing comes to its end" in alice_client.get(END_DATES).content.decode()


# --- the dialog of a license ---


def test_the_dialog_shows_what_is_left_and_folds_away_what_is_not(
    alice_client: Client, engineering: VirtualAccount, dna: License
):
    buy(engineering, dna, 10, 40, subscriptionId="Sub-1")
    deliver(engineering, line(dna, 3, licenseType="term", endDate=(NOW + DAY).isoformat()), now=NOW)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=4, reason="back", now=NOW)
    pool = Pool.objects.get(license=dna)
    with time_machine.travel(NOW + 2 * DAY, tick=False):
        page = check_page(alice_client.get(f"{INVENTORY}Engineering/licenses/{pool.pk}/"))
    current = page.xpath("//section[h3='Purchased']/div//tbody/tr")
    past = page.xpath("//section[h3='Purchased']/details//tbody/tr")
    assert [" ".join(row.xpath("td[@data-label='Left']")[0].text_content().split()) for row in current] == ["6 of 10"]
    assert [" ".join(row.xpath("td[@data-label='Status']")[0].text_content().split()) for row in past] == ["Expired"]
