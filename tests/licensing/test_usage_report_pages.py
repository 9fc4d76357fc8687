"""Usage reports in the portal: the list with its gaps, one report, a file handed in and acknowledged, metered use."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from lxml import etree

from accounts.models import VirtualAccount
from licensing.models import MeteredDay, Pool, ProductInstance, RumReport, RumUpload
from licensing.states import Billing
from pki.services.authorities import export_trust
from tests.conftest import NOW
from tests.licensing.device_driver import Device
from tests.licensing.usage_reports import (
    HOUR,
    METERED,
    as_xml,
    builtin,
    hand_in,
    measurement,
    moment,
    payload_of,
    report,
    sign_report,
)
from tests.portal.markup import check_page, parse_page

LIST = "/accounts/acme.example/inventory/all/usage-reports/"
REPORT = "/accounts/acme.example/reports/metered-use/"
DAY1 = moment("2026-03-01T00:00:00")
UNKNOWN = {"udi_pid": "C8000V", "udi_serial_number": "OFFLINE1"}


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def post(client: Client, content: bytes, place: str = "Engineering") -> Any:
    file = SimpleUploadedFile("usage.xml", content)
    return client.post(f"{LIST}upload/", {"file": file, "virtual_account": place})


def result_of(response: Any) -> Any:
    assert response.status_code == 302, response.content.decode()[:3000]
    return check_page(response.client.get(response["Location"]))


def rows_of(page: Any) -> list[list[str]]:
    return [[cell.text_content().strip() for cell in row.xpath("./td")] for row in page.xpath("//tbody/tr")]


def test_a_file_is_handed_in_and_its_acknowledgement_saved(alice_client, registered, engineering, tmp_path):
    one = report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3))
    other = builtin(payload_of(UNKNOWN, 8, measurement(DAY1, DAY1 + HOUR, 1)))
    wrong = sign_report(registered, payload_of(registered.sudi, 9, measurement(DAY1, DAY1 + HOUR, 1)), value="AAAA")
    response = post(alice_client, as_xml(one, other, wrong), "DEFAULT")
    page = result_of(response)
    assert [row[3] for row in rows_of(page)] == ["ACCEPTED", "ACCEPTED", "SIGNATURE_INVALID"]
    places = {row.report_id: row.virtual_account.name for row in RumReport.objects.all()}
    assert places == {7: "Engineering", 8: "DEFAULT"}
    answer = alice_client.get(f"{response['Location']}acknowledgement.xml")
    assert "attachment" in answer["Content-Disposition"]
    check_acknowledgement(
        answer.content, tmp_path, {(registered.udi, 7): "ACCEPTED", ("C8000V:OFFLINE1", 8): "ACCEPTED"}
    )


def check_acknowledgement(content: bytes, folder: Path, expected: dict[tuple[str, int], str]) -> None:
    """As a product would: the signature over the data element as it stands, by the reservation-signing key."""
    export_trust(folder)
    signer = x509.load_pem_x509_certificate((folder / "reservation-signing.pem").read_bytes()).public_key()
    assert isinstance(signer, ec.EllipticCurvePublicKey)
    found = {}
    for part in content.split(b"<smartLicenseRumAck>")[1:]:
        data = part[: part.index(b"</data>") + len(b"</data>")]
        element = etree.fromstring(b"<x>" + part.split(b"</smartLicenseRumAck>")[0] + b"</x>")
        signer.verify(base64.b64decode(element.findtext("signature")), data, ec.ECDSA(hashes.SHA256()))
        told = json.loads(element.findtext("data"))
        for row in told["acknowledgements"]:
            found[":".join(told["sudi"][k] for k in ("udi_pid", "udi_serial_number")), row["report_id"]] = row["status"]
    assert found == expected


def test_the_samples_are_taken_and_the_same_file_again_counts_nothing_twice(alice_client, registered):
    folder = Path(__file__).parents[1] / "formats" / "rum"
    for name in ("payload_v1.json", "payload_v2_open.json", "report_v2.xml"):
        content = (folder / name).read_bytes()
        assert [row[3] for row in rows_of(result_of(post(alice_client, content)))] == ["ACCEPTED"]
        before = list(MeteredDay.objects.values_list("day", "unit_seconds"))
        assert [row[3] for row in rows_of(result_of(post(alice_client, content)))] == ["DUPLICATE"]
        assert list(MeteredDay.objects.values_list("day", "unit_seconds")) == before
    first = MeteredDay.objects.order_by("day").get(day="2022-12-24")
    assert first.unit_seconds == 2 * (moment("2022-12-25T00:00:00") - moment("2022-12-24T11:10:45")).total_seconds()


def test_a_file_without_one_report_that_can_be_kept_changes_nothing(alice_client, registered, count_rows):
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><smartLicense><RUMReport>&b;</RUMReport></smartLicense>'
    )
    one = report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3))
    good, text = as_xml(one), json.dumps(one)
    wrong = {
        "entities": bomb,
        "comment in a value": good.replace(b"<![CDATA[", b"<!-- x --><![CDATA["),
        "an instruction": good.replace(b"<RUMReport>", b"<?x y?><RUMReport>"),
        "levels": b"<smartLicense>" + b"<a>" * 100_000,
        "another root": b"<other/>",
        "elements inside": b"<smartLicense><RUMReport><x/></RUMReport></smartLicense>",
        "nothing inside": b"<smartLicense/>",
        "text between": good.replace(b"<smartLicense>", b"<smartLicense>x"),
        "UTF-16": good.decode().encode("utf-16"),
        "no text": b"\xff\xfe\x00",
        "empty": b" ",
        "JSON levels": b"[" * 100_000,
        "NaN": text.replace('"payload"', '"header": NaN, "payload"').encode(),
        "twice": (text[:-1] + "," + text[1:]).encode(),
        "trailing": text.encode() + b"x",
        "re-serialised": json.dumps({**one, "payload": one["payload"].replace(",", ", ")}).encode(),
        "many": json.dumps([one] * 1001).encode(),
        "none": b"[]",
    }
    before = count_rows()
    for name, content in wrong.items():
        response = post(alice_client, content)
        assert response.status_code == 422, name
        assert parse_page(response).xpath("//*[contains(@class, 'invalid-feedback') or @role='alert']"), name
    assert count_rows() == before


def test_who_may_not_manage_the_products_place_hands_in_nothing_of_it(
    bob_client, carol_client, mallory_client, registered, engineering, default_va, foreign_token, count_rows
):
    foreign = Device(NOW, 3)
    assert foreign.register(foreign_token).code is None
    ProductInstance.objects.filter(smart_account=engineering.smart_account).update(virtual_account=default_va)
    before = count_rows()
    for device in (registered, foreign):
        made = as_xml(report(device, 1, measurement(DAY1, DAY1 + HOUR, 1)))
        response = post(bob_client, made)
        assert response.status_code == 422
        assert "is registered elsewhere" in response.content.decode()
    assert post(bob_client, as_xml(), "DEFAULT").status_code == 422
    assert post(carol_client, as_xml()).status_code == 403
    assert post(mallory_client, as_xml()).status_code == 404
    assert count_rows() == before


def test_each_sees_the_results_of_their_own_virtual_accounts(
    alice_client, bob_client, carol_client, registered, default_va
):
    mine = report(registered, 1, measurement(DAY1, DAY1 + HOUR, 1))
    other = builtin(payload_of(UNKNOWN, 2, measurement(DAY1, DAY1 + HOUR, 1)))
    response = post(alice_client, as_xml(mine, other), "DEFAULT")
    assert len(rows_of(result_of(response))) == 2
    assert [row[1] for row in rows_of(check_page(bob_client.get(response["Location"])))] == ["1"]
    acknowledgement = bob_client.get(f"{response['Location']}acknowledgement.xml").content.decode()
    assert "OFFLINE1" not in acknowledgement
    assert carol_client.get(response["Location"]).status_code == 403
    assert len(rows_of(check_page(carol_client.get(LIST)))) == 1
    hidden = RumReport.objects.get(report_id=2)
    assert bob_client.get(f"{LIST}{hidden.pk}/").status_code == 404
    assert bob_client.get(f"{LIST}{hidden.pk}/payload.json").status_code == 404


def test_the_list_shows_the_gaps_and_the_payload_is_what_was_signed(alice_client, registered):
    first = report(registered, 1, measurement(DAY1, DAY1 + HOUR, 3))
    inside = [measurement(DAY1 + 3 * HOUR, DAY1 + 4 * HOUR, 3), measurement(DAY1 + 5 * HOUR, DAY1 + 6 * HOUR, 3)]
    hand_in(registered, first, report(registered, 2, *inside))
    hand_in(registered, report(registered, 3, measurement(DAY1 + 6 * HOUR, DAY1 + 7 * HOUR, 3)))
    page = check_page(alice_client.get(f"{LIST}?sort=period_start"))
    assert sorted(" ".join(row[5].split()) for row in rows_of(page)) == ["2 h before 1 h within", "–", "–"]
    only = rows_of(check_page(alice_client.get(f"{LIST}?gap=gaps")))
    assert len(only) == 1
    told = check_page(alice_client.get(f"{LIST}{RumReport.objects.get(report_id=2).pk}/")).text_content()
    assert f"2 h before it, since {DAY1 + HOUR:%Y-%m-%d %H:%M:%S} UTC" in told
    # A report that comes late fills its gap.
    hand_in(registered, report(registered, 4, measurement(DAY1 + HOUR, DAY1 + 3 * HOUR, 3)))
    assert [row[5] for row in rows_of(check_page(alice_client.get(f"{LIST}?gap=gaps")))] == ["1 h within"]
    stored = RumReport.objects.get(report_id=1)
    page = check_page(alice_client.get(f"{LIST}{stored.pk}/"))
    assert "Verified" in page.text_content()
    assert page.xpath(f"//dd/a[contains(@href, '/instances/{registered.piid}/')]")
    assert alice_client.get(f"{LIST}{stored.pk}/payload.json").content.decode() == first["payload"]


def test_metered_use_is_shown_drawn_and_exported_for_licenses_billed_by_use(
    alice_client, mallory_client, registered, make_license
):
    make_license(METERED, billing=Billing.USAGE)
    make_license("owned", billing=Billing.PREPAID)
    hand_in(
        registered,
        report(registered, 1, measurement(DAY1, DAY1 + 90 * timedelta(minutes=1), 3)),
        report(registered, 2, measurement(DAY1, DAY1 + HOUR, 9), tag="owned"),
    )
    page = check_page(alice_client.get(REPORT))
    assert rows_of(page) == [["01 Mar 2026", "Engineering", METERED.title(), "4.50", "3", "1"]]
    assert page.xpath("//figure[@id='chart-metered']")
    exported = b"".join(alice_client.get(f"{REPORT}?export=csv").streaming_content).decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(exported))
    assert (row["Day"], row["Unit-hours"]) == ("2026-03-01", "4.5")
    assert "Nothing matches this filter" in check_page(alice_client.get(f"{REPORT}?end=2026-02-28")).text_content()
    assert mallory_client.get(REPORT).status_code == 404


def test_an_upload_is_told_in_the_log_once(alice_client, registered, engineering):
    content = as_xml(report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3)))
    post(alice_client, content)
    post(alice_client, content)
    assert RumUpload.objects.count() == 2
    log = check_page(alice_client.get("/accounts/acme.example/activity/")).text_content()
    assert log.count('"usage.xml" was handed in') == 1


def test_a_virtual_account_that_is_not_one_is_refused(alice_client, acme):
    assert VirtualAccount.objects.exists()
    assert post(alice_client, as_xml(), "Nowhere").status_code == 422


def test_the_page_of_a_license_billed_by_use_leads_to_what_was_metered(alice_client, registered, make_license):
    make_license(METERED, billing=Billing.USAGE)
    hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + HOUR, 3)))
    registered.authorize({METERED: 3})
    pool = Pool.objects.get()
    place = "/accounts/acme.example/inventory/Engineering/licenses/"
    page = check_page(alice_client.get(f"{place}{pool.pk}/"))
    [link] = page.xpath("//a[starts-with(text(), 'Metered use')]/@href")
    assert len(rows_of(check_page(alice_client.get(link)))) == 1
