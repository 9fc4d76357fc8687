"""Conversions that travel in the files of an on-prem server: carried out with the file, answered in its response."""

from datetime import timedelta

import pytest

from accounts.models import SmartAccount, VirtualAccount
from licensing.models import Conversion, Pool, PurchaseLine, UdiClaim
from sync.models import KeptRequest
from tests.sync.conftest import Plant, read_response
from tests.sync.files import account, instance

pytestmark = pytest.mark.django_db


def conversion(*lines: tuple[str, int], serial: str = "FCW7", kind: str = "TRUST_BASED") -> str:
    rows = "".join(
        f'  - :conversion_type: {kind}\n    :entitlement_tag: "{tag}"\n    :count: {count}\n' for tag, count in lines
    )
    return (
        f'- :udi_pid: "C9300-24UX"\n  :udi_serial_number: "{serial}"\n  :software_tag_identifier: "soft"\n'
        f'  :locale: "de_DE"\n  :conversion_lines:\n{rows}'
    )


def asking(*requests: str) -> str:
    return ":device_conversion_request:\n" + "".join(requests)


ROWS = account(1, "Engineering", instance(7))


def test_a_conversion_is_carried_out_with_its_file_and_answered_in_the_response(registered: Plant, license):
    response = registered.synchronize(ROWS, more=asking(conversion(("tag_a", 4))))
    assert response[":device_conversion_response"] == [
        {
            ":udi_pid": "C9300-24UX",
            ":udi_serial_number": "FCW7",
            ":conversion_status": "COMPLETED",
            ":status_message": "",
            ":status_message_localized": "",
            ":software_tag_identifier": "soft",
        }
    ]
    [figures] = response[":synchronization"][":virtual_accounts"][0][":licenses"]
    assert (figures[":purchased_quantity"], figures[":terms"][0][":quantity"]) == ("4", "4")
    assert PurchaseLine.objects.get().source == "conversion"
    assert KeptRequest.objects.get().taken_at is not None


def test_the_same_request_in_another_file_converts_nothing_twice(registered: Plant, license):
    registered.synchronize(ROWS, more=asking(conversion(("tag_a", 4))))
    again = registered.synchronize(ROWS, more=asking(conversion(("tag_a", 4))))
    assert again[":device_conversion_response"][0][":conversion_status"] == "COMPLETED"
    differing = registered.synchronize(ROWS, more=asking(conversion(("tag_a", 5))))
    refused = differing[":device_conversion_response"][0]
    assert (refused[":conversion_status"], "4 tag_a" in refused[":status_message"]) == ("FAILED", True)
    assert refused[":status_message_localized"].startswith("Zeile 1: 4 tag_a dieses Produkts")
    assert Pool.objects.get().purchased == 4


def test_a_full_response_tells_of_each_products_latest_conversion(registered: Plant, license):
    registered.synchronize(ROWS, more=asking(conversion(("tag_a", 4)), conversion(("unknown", 1), serial="FCW8")))
    assert registered.synchronize(ROWS)[":device_conversion_response"] == []
    full = registered.synchronize(ROWS, full=True)[":device_conversion_response"]
    told = {row[":udi_serial_number"]: row[":conversion_status"] for row in full}
    assert told == {"FCW7": "COMPLETED", "FCW8": "FAILED"}


def test_what_makes_no_conversion_is_answered_with_the_reason_and_the_rest_goes_on(registered: Plant, license):
    requests = (
        conversion(("tag_a", 0), serial="FCW1"),
        conversion(("tag_a", 1), ("tag_a", 2), serial="FCW2"),
        conversion(("tag_a", 3), serial="FCW3"),
    )
    rows = registered.synchronize(ROWS, more=asking(*requests))[":device_conversion_response"]
    assert [row[":conversion_status"] for row in rows] == ["FAILED", "FAILED", "COMPLETED"]
    assert "count is 1 or more" in rows[0][":status_message"]
    assert "stands twice" in rows[1][":status_message"]
    assert Pool.objects.get().purchased == 3


def test_a_product_goes_where_it_is_and_one_that_is_elsewhere_nowhere(
    registered: Plant, license, umbrella: SmartAccount, default_va: VirtualAccount
):
    UdiClaim.objects.create(udi="C9300-24UX:FCW9", smart_account=umbrella, last_contact_at=registered.now)
    files = (account(1, "Engineering", instance(8)), account(2, "DEFAULT", instance(7)))
    more = asking(
        conversion(("tag_a", 1)), conversion(("tag_a", 2), serial="FCW8"), conversion(("tag_a", 9), serial="FCW9")
    )
    rows = registered.synchronize(*files, more=more)[":device_conversion_response"]
    assert [row[":conversion_status"] for row in rows] == ["COMPLETED", "COMPLETED", "FAILED"]
    owned = dict(PurchaseLine.objects.values_list("virtual_account__name", "quantity"))
    assert owned == {"DEFAULT": 1, "Engineering": 2}


def test_a_dry_run_tells_and_changes_nothing(registered: Plant, license):
    data = registered.write(ROWS, more=asking(conversion(("tag_a", 4)), conversion(("unknown", 1), serial="FCW8")))
    compared = registered.upload(data, dry_run=True).difference["conversions"]
    assert (compared["converted"], compared["refused"]) == (1, 1)
    assert "no license unknown" in compared["results"][1]["message"]
    assert (Conversion.objects.count(), PurchaseLine.objects.count()) == (0, 0)
    applied = registered.upload(data)
    assert applied.difference["conversions"] == compared
    first = read_response(applied)
    assert read_response(registered.upload(data, now=registered.now + timedelta(hours=1))) == first
    assert PurchaseLine.objects.count() == 1
