"""Duplicate Licenses in the portal: shown, explained, previewed, removed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import VirtualAccount
from licensing.models import DuplicateFinding, ProductInstance
from licensing.services.insight.duplicates import find_duplicates
from licensing.services.pools.fold import fold_due
from licensing.states import InstanceState
from tests.conftest import NOW
from tests.licensing.insight.products import PID, product
from tests.licensing.stock import deliver, line, live, make_license, use
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db

PAGE = "/accounts/acme.example/inventory/all/duplicates/"
REMOVE = f"{PAGE}remove/"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def sales(acme: Any) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=NOW)


@pytest.fixture
def twins(engineering: VirtualAccount) -> tuple[ProductInstance, ProductInstance]:
    """The silent old one holds 4 of 6 licenses of which 8 are used; the other took its place."""
    dna = make_license("DNA-1", NOW)
    deliver(engineering, line(dna, 6), now=NOW)
    old = product(engineering, "OLD", NOW - 60 * DAY, hostname="edge-1")
    new = product(engineering, "NEW", NOW, hostname="edge-1")
    use(old, dna, 4, NOW)
    use(new, dna, 4, NOW)
    fold_due(now=NOW)
    find_duplicates(now=NOW)
    return old, new


def finding() -> DuplicateFinding:
    return DuplicateFinding.objects.get()


def cells(page: Any) -> list[dict[str, str]]:
    return [
        {cell.get("data-label"): " ".join(cell.text_content().split()) for cell in row.xpath("td")}
        for row in page.xpath("//table/tbody/tr")
    ]


def test_a_duplicate_is_listed_with_why_and_what_it_holds(carol_client: Client, twins: Any):
    (row,) = cells(check_page(carol_client.get(PAGE)))
    assert row["Product"] == f"edge-1 ({PID}:OLD)"
    assert row["Kind"] == "Replaced hardware"
    assert "a newer product of this kind has the same host name" in row["Why"]
    assert row["The other instance"] == f"edge-1 ({PID}:NEW) in Engineering, directly"
    assert row["Licenses used"] == "4"
    assert "Select" not in row, "a viewer removes nothing"


def test_the_other_instance_is_not_told_to_who_may_not_see_it(
    carol_client: Client, alice_client: Client, engineering: VirtualAccount, sales: VirtualAccount
):
    product(engineering, "A", NOW - DAY, hostname="mine")
    product(sales, "A", NOW, origin="server", hostname="secret-name")
    find_duplicates(now=NOW)
    for address in (PAGE, f"{PAGE}?export=csv"):
        answer = carol_client.get(address)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert b"secret-name" not in content
        assert b"Sales" not in content
    assert b"secret-name" in alice_client.get(PAGE).content


def test_the_preview_tells_what_is_freed_and_what_recovers_and_changes_nothing(bob_client: Client, twins: Any):
    answer = bob_client.post(REMOVE, {"selected": [finding().pk], "open": "1"})
    text = " ".join(check_page(answer).text_content().split())
    assert "1 instance will be removed" in text
    assert "frees 4 DNA-1 name" in text
    assert "-2 → 2Out Of Compliance → In Compliance" in text
    assert not ProductInstance.objects.filter(state=InstanceState.REMOVED).exists()


def test_removing_frees_the_use_and_settles_the_finding(bob_client: Client, engineering: VirtualAccount, twins: Any):
    answer = bob_client.post(REMOVE, {"selected": [finding().pk]})
    text = " ".join(check_page(answer).text_content().split())
    assert "1 of 1 instance was removed." in text
    old, new = twins
    assert ProductInstance.objects.get(pk=old.pk).state == InstanceState.REMOVED
    assert ProductInstance.objects.get(pk=new.pk).state == InstanceState.REGISTERED
    pool = live(license=make_license("DNA-1", NOW), virtual_account=engineering, now=NOW)
    assert (pool.now_in_use, pool.now_balance) == (4, 2)
    assert not DuplicateFinding.objects.standing().exists()


def test_what_an_on_prem_server_reports_stays_and_the_others_go(
    alice_client: Client, engineering: VirtualAccount, sales: VirtualAccount
):
    for place, serial, first, second in ((engineering, "A", "server", "direct"), (sales, "B", "direct", "server")):
        product(place, serial, NOW - DAY, origin=first)
        product(place, serial, NOW, origin=second)
    find_duplicates(now=NOW)
    chosen = list(DuplicateFinding.objects.values_list("pk", flat=True))
    preview = " ".join(check_page(alice_client.post(REMOVE, {"selected": chosen, "open": "1"})).text_content().split())
    assert "1 instance will be removed" in preview
    assert "An on-prem server reports it" in preview
    rows = {row["Product"]: row["Result"] for row in cells(check_page(alice_client.post(REMOVE, {"selected": chosen})))}
    assert rows[f"{PID}:A"].startswith("Not removed.")
    assert rows[f"{PID}:B"] == "Removed."
    assert ProductInstance.objects.filter(state=InstanceState.REMOVED).get().origin.name == "direct"


def test_nobody_removes_what_is_not_theirs(
    bob_client: Client, carol_client: Client, mallory_client: Client, engineering: VirtualAccount, sales: VirtualAccount
):
    product(sales, "A", NOW - DAY)
    product(sales, "A", NOW, origin="server")
    find_duplicates(now=NOW)
    data = {"selected": [finding().pk]}
    assert mallory_client.post(REMOVE, data).status_code == 404
    assert carol_client.post(REMOVE, data).status_code == 403
    assert bob_client.post(REMOVE, data).status_code == 200
    assert not ProductInstance.objects.filter(state=InstanceState.REMOVED).exists()


@pytest.mark.parametrize("key", ["nonsense", "-1", "9" * 30, "١", "0"])
def test_keys_that_are_none_remove_nothing(bob_client: Client, twins: Any, key: str):
    assert bob_client.post(REMOVE, {"selected": [key]}).status_code == 200
    assert not ProductInstance.objects.filter(state=InstanceState.REMOVED).exists()


def test_an_account_without_duplicates_says_so(alice_client: Client):
    assert "No duplicates" in alice_client.get(PAGE).content.decode()
