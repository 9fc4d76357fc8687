"""Duplicate Licenses over the API: the same as on the page."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import VirtualAccount
from licensing.models import DuplicateFinding
from licensing.services.insight.duplicates import find_duplicates
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.insight.products import product
from tests.licensing.stock import make_license, use

API = "/v1/accounts/acme.example/duplicates"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def sales(acme: Any) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=NOW)


@pytest.fixture
def replaced(engineering: VirtualAccount) -> DuplicateFinding:
    """A silent product that holds 4 licenses, and the one that took its place."""
    old = product(engineering, "OLD", NOW - 60 * DAY, hostname="edge-1")
    product(engineering, "NEW", NOW, hostname="edge-1")
    use(old, make_license("DNA-1", NOW), 4, NOW)
    find_duplicates(now=NOW)
    return DuplicateFinding.objects.get()


def test_the_api_lists_what_the_page_lists(viewer: Caller, replaced: DuplicateFinding):
    body = viewer.get(API).json()
    assert body["totalRecords"] == 1
    (row,) = body["duplicates"]
    assert (row["kind"], row["reason"], row["inUse"]) == ("Replaced hardware", "SAME_HOST_NAME", 4)
    assert (row["sudi"]["udiSerialNumber"], row["otherInstance"]["sudi"]["udiSerialNumber"]) == ("OLD", "NEW")
    assert (row["virtualAccount"], row["isRemovable"]) == ("Engineering", True)
    assert viewer.get(API, {"kind": "same product twice"}).json()["totalRecords"] == 0
    assert viewer.get(API, {"kind": "nonsense"}).status_code == 400


def test_the_api_does_not_show_the_other_instance_of_another_virtual_account(
    va_user: Caller,
    engineering: VirtualAccount,
    sales: VirtualAccount,
):
    product(engineering, "A", NOW - DAY)
    product(sales, "A", NOW, origin="server")
    find_duplicates(now=NOW)
    (row,) = va_user.get(API).json()["duplicates"]
    assert row["otherInstance"] is None


def test_the_api_removes_each_by_itself(va_user: Caller, viewer: Caller, stranger: Caller, replaced: DuplicateFinding):
    body = {"duplicates": [replaced.pk, 10**9]}
    assert viewer.post(f"{API}/remove", body).status_code == 403
    assert stranger.post(f"{API}/remove", body).status_code == 404
    answer = va_user.post(f"{API}/remove", body).json()
    assert [row["status"] for row in answer["results"]] == ["SUCCESS", "ERROR"]
    assert answer["status"] == "ERROR"
    assert not DuplicateFinding.objects.standing().exists()
    assert va_user.post(f"{API}/remove", {"duplicates": []}).status_code == 400
