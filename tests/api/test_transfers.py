"""Transfers over the API: licenses all or nothing, product instances row by row."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import VirtualAccount
from licensing.models import Allocation, License, OwnershipRecord, ProductInstance, PurchaseLine
from licensing.services.pools.rebuild import check_pools
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use

ENGINEERING = "/v1/accounts/acme.example/virtual-accounts/Engineering"
LICENSES, DEVICES = ENGINEERING + "/licenses/transfer", ENGINEERING + "/devices/transfer"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def dna(engineering: VirtualAccount) -> License:
    """Engineering owns 10 without end and 5 that end in a month, and uses 4."""
    license = make_license("DNA-1", NOW)
    ends = (NOW + timedelta(days=30)).strftime("%Y-%m-%d")
    deliver(engineering, line(license, 10), line(license, 5, licenseType="TERM", endDate=ends), now=NOW)
    use(make_instance(engineering, NOW), license, 4, NOW)
    return license


def wanted(*lines: Any) -> dict[str, Any]:
    base = {"entitlementTag": "DNA-1", "quantity": 3, "targetVirtualAccount": "DEFAULT"}
    return {"licenses": [{**base, **each} if isinstance(each, dict) else each for each in lines]}


def errors_of(answer: Any) -> list[tuple[int, str, str]]:
    return [(error["line"], error["field"], error["code"]) for error in answer.json()["errors"]]


def test_licenses_move_with_their_terms_and_the_answer_names_the_transfer(
    admin: Caller, dna: License, engineering: VirtualAccount, default_va: VirtualAccount
):
    by_name = {"entitlementTag": None, "license": "DNA-1 name", "quantity": "2", "licenseType": "term"}
    answer = admin.post(LICENSES, wanted({}, by_name))
    assert answer.status_code == 200, answer.content
    record = OwnershipRecord.objects.get(kind="transfer")
    assert answer.json()["transferId"] == record.pk
    moved = PurchaseLine.objects.filter(virtual_account=default_va).order_by("pk")
    assert [(row.quantity, row.license_type) for row in moved] == [(3, "perpetual"), (2, "term")]
    assert (live(dna, engineering, NOW).now_purchased, live(dna, default_va, NOW).now_purchased) == (10, 5)
    assert check_pools(now=NOW) == []


def test_a_dry_run_tells_what_would_become_of_both_sides_and_changes_nothing(
    admin: Caller, dna: License, default_va: VirtualAccount
):
    use(make_instance(default_va, NOW), dna, 2, NOW)
    answer = admin.post(LICENSES + "?dry_run=true", wanted({"licenseType": "TERM"}))
    assert answer.json()["transferId"] is None
    source, target = answer.json()["pools"]
    assert (source["virtualAccount"], source["before"]["available"], source["after"]["available"]) == (
        "Engineering", 11, 8
    )  # fmt: skip
    assert target["before"] == {"quantity": 0, "inUse": 2, "available": -2, "status": "Out Of Compliance"}
    assert target["after"]["status"] == "In Compliance"
    assert target["shortageAfter"] == {"date": "2026-04-01T00:00:00Z", "quantity": 2}
    assert not Allocation.objects.exists()


def test_the_same_key_transfers_once(admin: Caller, dna: License):
    first, second = (admin.post(LICENSES, wanted({}), key="once") for _ in range(2))
    assert first.json()["transferId"] == second.json()["transferId"]
    assert Allocation.objects.count() == 1


@pytest.mark.parametrize("quantity", [0, -1, 10**30, "1" + "0" * 30, 1.5, "2.0", True, "", None, [], "three"])
def test_a_quantity_that_is_none_is_refused_with_its_line(admin: Caller, dna: License, quantity: Any):
    answer = admin.post(LICENSES, wanted({}, {"quantity": quantity}))
    assert answer.status_code == 400
    assert [error[:2] for error in errors_of(answer)] == [(2, "quantity")]
    assert not Allocation.objects.exists()


def test_everything_wrong_is_named_at_once_and_nothing_is_changed(
    admin: Caller, dna: License, umbrella: Any, engineering: VirtualAccount
):
    for tag in ("A", "B"):
        deliver(engineering, line(make_license(tag, NOW), 1), now=NOW)
    License.objects.filter(tag__in=["A", "B"]).update(display_name="Twice")
    answer = admin.post(
        LICENSES,
        wanted(
            {"quantity": 0, "precedence": "soon"},
            {"entitlementTag": "UNKNOWN"},
            {"entitlementTag": "", "license": "Twice"},
            {"targetVirtualAccount": "engineering"},
            {"targetVirtualAccount": "Nowhere"},
            {"quantity": 12},
            {"quantity": 1, "licenseType": "SUBSCRIPTION"},
            "a text",
            {},
        ),
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "TRANSFER_INVALID")
    assert errors_of(answer) == [
        (1, "quantity", "OUT_OF_RANGE"),
        (1, "precedence", "PRECEDENCE_INVALID"),
        (2, "entitlementTag", "LICENSE_UNKNOWN"),
        (3, "license", "LICENSE_AMBIGUOUS"),
        (4, "targetVirtualAccount", "SAME_ACCOUNT"),
        (5, "targetVirtualAccount", "VIRTUAL_ACCOUNT_UNKNOWN"),
        (6, "quantity", "NOT_ENOUGH_FREE"),
        (7, "quantity", "NOT_ENOUGH_FREE"),
        (8, "", "WRONG_TYPE"),
    ]
    assert "entitlementTag: A, B" in answer.json()["errors"][3]["message"]
    assert not Allocation.objects.exists()


def test_the_name_of_several_licenses_means_the_one_that_is_here(admin: Caller, dna: License):
    make_license("OTHER", NOW)
    License.objects.update(display_name="Twice")
    answer = admin.post(LICENSES, wanted({"entitlementTag": None, "license": "Twice"}))
    assert answer.status_code == 200, answer.content


def test_what_is_in_use_or_ends_too_early_cannot_be_transferred(
    admin: Caller, dna: License, engineering: VirtualAccount
):
    too_many = admin.post(LICENSES, wanted({"quantity": 12}))
    assert (too_many.status_code, too_many.json()["code"]) == (409, "NOT_ENOUGH_FREE")
    later = admin.post(LICENSES, wanted({"quantity": 9}))
    assert (later.status_code, later.json()["code"]) == (409, "NOT_ENOUGH_LATER")
    assert "2026-04-01" in later.json()["statusMessage"]


def test_a_foreign_account_is_none_at_all(admin: Caller, stranger: Caller, dna: License, umbrella: Any):
    VirtualAccount.objects.create(smart_account=umbrella, name="Theirs", created_at=NOW)
    answer = admin.post(LICENSES, wanted({"targetVirtualAccount": "Theirs"}))
    assert (answer.status_code, answer.json()["code"]) == (404, "VIRTUAL_ACCOUNT_UNKNOWN")
    assert stranger.post(LICENSES, wanted({})).status_code == 404


def test_the_right_is_needed_on_both_sides(
    va_user: Caller, viewer: Caller, dna: License, engineering: VirtualAccount, default_va: VirtualAccount
):
    assert viewer.post(LICENSES, wanted({})).status_code == 403
    assert va_user.post(LICENSES, wanted({})).status_code == 404  # it knows of its own Virtual Account alone
    back = LICENSES.replace("Engineering", "DEFAULT")
    assert va_user.post(back, wanted({"targetVirtualAccount": "Engineering"})).status_code == 404
    assert not Allocation.objects.exists()


def test_998_lines_are_one_transfer_and_999_are_refused(admin: Caller, engineering: VirtualAccount):
    deliver(engineering, line(make_license("DNA-1", NOW), 5000), now=NOW)
    assert admin.post(LICENSES, wanted(*[{"quantity": 1}] * 999)).status_code == 400
    assert admin.post(LICENSES, wanted(*[{"quantity": 1}] * 998)).status_code == 200
    assert OwnershipRecord.objects.filter(kind="transfer").count() == 1


@pytest.mark.parametrize("body", [{}, {"licenses": []}, {"licenses": {}}, {"licenses": [{}], "more": 1}, []])
def test_a_body_that_is_no_transfer_is_refused(admin: Caller, engineering: VirtualAccount, body: Any):
    assert admin.post(LICENSES, body).status_code == 400


# --- product instances ---


def sudi_of(instance: ProductInstance) -> dict[str, str]:
    return {"uuid": instance.udi}


def test_product_instances_move_row_by_row(
    va_user: Caller, admin: Caller, dna: License, engineering: VirtualAccount, default_va: VirtualAccount
):
    instance, other = ProductInstance.objects.get(), make_instance(engineering, NOW)
    peer = make_instance(engineering, NOW)
    ProductInstance.objects.filter(pk=peer.pk).update(ha_group=instance.ha_group)
    rows = [
        {"sudi": sudi_of(instance), "targetVirtualAccount": "DEFAULT", "productTagName": "software"},
        {"sudi": sudi_of(peer), "targetVirtualAccount": "default"},
        {"sudi": {"uuid": "none"}, "targetVirtualAccount": "DEFAULT"},
        {"sudi": sudi_of(other), "targetVirtualAccount": "Engineering"},
        {"sudi": sudi_of(other), "targetVirtualAccount": "Nowhere"},
    ]
    answer = admin.post(DEVICES, {"productInstances": rows})
    assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    results = answer.json()["results"]
    assert [row["status"] for row in results] == ["SUCCESS", "SUCCESS", "ERROR", "ERROR", "ERROR"]
    assert peer.udi in results[0]["statusMessage"]
    assert results[3]["statusMessage"].startswith(f"{other.udi} is in Engineering already.")
    assert set(ProductInstance.objects.filter(virtual_account=default_va)) == {instance, peer}
    assert live(dna, default_va, NOW).now_in_use == 4
    assert check_pools(now=NOW) == []
    refused = va_user.post(DEVICES, {"productInstances": [{"sudi": sudi_of(other), "targetVirtualAccount": "DEFAULT"}]})
    assert refused.json()["results"][0]["status"] == "ERROR"
