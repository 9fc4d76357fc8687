"""Convert to Smart Licensing in the portal: by hand, by file, and the history of both."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import VirtualAccount
from licensing.models import Conversion, PurchaseLine
from licensing.views import long_runs
from tests.conftest import NOW
from tests.licensing.device_driver import Device
from tests.licensing.stock import make_license
from tests.portal.markup import check_page, parse_page

pytestmark = pytest.mark.django_db
PAGE = "/accounts/acme.example/conversions/"
HEADER = "udiPid,udiSerialNumber,entitlementTag,quantity,conversionType,payload"


@pytest.fixture(autouse=True)
def _catalog(engineering: VirtualAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    make_license("ROUTER", NOW)
    make_license("SWITCH", NOW)
    monkeypatch.setattr(long_runs, "SECONDS_AT_ONCE", 1000.0)
    with time_machine.travel(NOW, tick=False):
        yield


def enter(client: Client, lines: str, **values: str) -> Any:
    product = {"virtual_account": "Engineering", "udi_pid": "C9300", "udi_serial_number": "FCW7", "software_tag": ""}
    return client.post(f"{PAGE}new/", {**product, "lines": lines, **values})


def owned() -> list[tuple[str, int]]:
    return list(PurchaseLine.objects.order_by("pk").values_list("license__tag", "quantity"))


def rows_of(response: Any) -> list[str]:
    return [" ".join(row.text_content().split()) for row in check_page(response).xpath("//tbody/tr")]


def test_the_licenses_of_a_product_are_converted_by_hand_and_stand_in_the_history(bob_client: Client):
    check_page(bob_client.get(f"{PAGE}new/"))
    assert enter(bob_client, "ROUTER 5\nSWITCH, 2\n").status_code == 302
    assert owned() == [("ROUTER", 5), ("SWITCH", 2)]
    [row] = rows_of(bob_client.get(PAGE))
    assert all(part in row for part in ("C9300:FCW7", "Engineering", "5 ROUTER name, 2 SWITCH name", "Converted"))
    message = enter(bob_client, "ROUTER 5\nSWITCH, 2\n")
    assert message.status_code == 302
    assert len(owned()) == 2
    exported = b"".join(bob_client.get(f"{PAGE}?export=csv").streaming_content).decode()
    assert "C9300:FCW7" in exported
    assert rows_of(bob_client.get(f"{PAGE}?q=name&state=completed")) == [row]
    assert "C9300:FCW7,7" in b"".join(bob_client.get(f"{PAGE}?columns=quantity&export=csv").streaming_content).decode()


def test_a_product_that_is_registered_is_one_click_away(bob_client: Client, registered: Device):
    enter(bob_client, "ROUTER 5")
    enter(bob_client, "ROUTER 5", **registered.sudi)
    links = check_page(bob_client.get(PAGE)).xpath("//tbody//a[@data-dialog]/@href")
    assert links == [f"/accounts/acme.example/inventory/Engineering/instances/{registered.piid}/"]


def test_what_is_refused_says_why_beside_the_lines_and_in_the_history(bob_client: Client):
    enter(bob_client, "ROUTER 5")
    refused = enter(bob_client, "ROUTER 6")
    assert refused.status_code == 422
    assert "not 6" in check_page(refused, status=422).text_content()
    assert [("Refused" in row, "not 6" in row) for row in rows_of(bob_client.get(f"{PAGE}?state=failed"))] == [
        (True, True)
    ]
    assert owned() == [("ROUTER", 5)]


@pytest.mark.parametrize("lines", ["", "ROUTER", "ROUTER 0", "ROUTER 99999999999", "ROUTER 1\nROUTER 2", "5"])
def test_lines_that_say_nothing_are_refused_and_not_kept(bob_client: Client, lines: str):
    assert enter(bob_client, lines).status_code == 422
    assert enter(bob_client, "ROUTER 1", udi_serial_number="A:B").status_code == 422
    assert not Conversion.objects.exists()


def test_a_file_of_many_products_is_reviewed_and_each_has_its_result(bob_client: Client):
    lines = (HEADER, "C9300,FCW1,ROUTER,5,,", "C9300,FCW1,SWITCH,1,LICENSE_FILE,INCREMENT x", "C9300,FCW2,NOTHING,1,,",
             "C9300,FCW3,ROUTER,none,,")  # fmt: skip
    file = SimpleUploadedFile("conversions.csv", "\n".join(lines).encode())
    check_page(bob_client.get(f"{PAGE}file/"))
    posted = bob_client.post(f"{PAGE}file/?step=products", {"virtual_account": "Engineering", "file": file})
    review = check_page(bob_client.get(posted["Location"]))
    assert "quantity is a whole number" in review.text_content()
    key = {"key": review.xpath("//form[@data-busy]//input[@name='key']/@value")[0]}
    for _ in range(2):  # a second press leads to what the first one did
        done = bob_client.post(f"{PAGE}file/?step=review", key)
        assert done["Location"] == f"{PAGE}file/run/"
    rows = rows_of(bob_client.get(f"{PAGE}file/run/"))
    assert [row[1:11] for row in rows] == ["C9300:FCW1", "C9300:FCW2", "C9300:FCW3"]
    assert "Converted" in rows[0]
    assert "no license NOTHING" in rows[1]
    assert "Line 5" in rows[2]
    assert owned() == [("ROUTER", 5), ("SWITCH", 1)]


def test_a_file_that_is_none_is_refused(bob_client: Client):
    for text in ("", "x", f"{HEADER}\n", "udiPid,udiPid\n1,2"):
        answer = bob_client.post(f"{PAGE}file/?step=products", {"virtual_account": "Engineering", "text": text})
        assert answer.status_code == 422
    elsewhere = bob_client.post(f"{PAGE}file/?step=products", {"virtual_account": "DEFAULT", "text": HEADER})
    assert elsewhere.status_code == 422


def test_the_example_is_a_file_that_is_read(bob_client: Client):
    example = bob_client.get(f"{PAGE}file/example.csv").content
    file = SimpleUploadedFile("example.csv", example)
    posted = bob_client.post(f"{PAGE}file/?step=products", {"virtual_account": "Engineering", "file": file})
    assert posted.status_code == 302


def test_who_only_views_sees_the_history_and_no_way_to_convert(carol_client: Client, bob_client: Client):
    enter(bob_client, "ROUTER 5")
    page = parse_page(carol_client.get(PAGE))
    assert len(page.xpath("//tbody/tr")) == 1
    assert not page.xpath(f"//a[@href='{PAGE}new/']")


def test_a_conversion_into_another_virtual_account_is_not_seen(bob_client: Client, alice_client: Client):
    assert enter(alice_client, "ROUTER 5", virtual_account="DEFAULT").status_code == 302
    assert rows_of(alice_client.get(PAGE))
    assert "C9300:FCW7" not in bob_client.get(PAGE).content.decode()
    assert enter(bob_client, "ROUTER 5", virtual_account="DEFAULT").status_code == 422
