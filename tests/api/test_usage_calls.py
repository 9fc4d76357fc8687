"""`reportusage` and the poll for its acknowledgements, in the shapes of the samples."""

import base64
import json
from typing import Any

import pytest
from django.test import Client
from lxml import etree

from cssm.common.clock import read_clock
from cssm.common.permissions import Role
from licensing.models import License, LicenseFamily, RumReport, RumUpload
from licensing.states import Billing
from pki.services.authorities import bootstrap_authorities
from tests.api.conftest import BASE, Caller
from tests.keys import use_checked_in_keys
from tests.licensing.usage_reports import HOUR, METERED, builtin, measurement, moment, payload_of

DAY1 = moment("2026-03-01T00:00:00")
SUDI = {"udi_pid": "C8000V", "udi_serial_number": "ABC"}


@pytest.fixture(autouse=True)
def _authorities(db, monkeypatch):
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=read_clock())


def post(caller: Caller, path: str, data: Any, account: Any, place: Any, **headers: str) -> Any:
    named = {"X-CSW-SMART-ACCOUNT-ID": str(account), "X-CSW-VIRTUAL-ACCOUNT-ID": str(place)}
    named |= {"X-CSW-REQUESTING-SYSTEM": json.dumps(SUDI)} | headers
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    all_headers = caller.headers(named)
    return Client().post(f"{BASE}{path}", body, content_type="application/json", headers=all_headers)


def call_of(*reports: dict[str, Any], sudi: Any = SUDI) -> dict[str, Any]:
    return {"data": {"timestamp": 1, "nonce": "random1234", "reports": [{"sudi": sudi, "usage": list(reports)}]}}


def made(report_id: int = 7, sudi: Any = SUDI) -> dict[str, Any]:
    one = builtin(payload_of(sudi, report_id, measurement(DAY1, DAY1 + HOUR, 3)))
    one["signature"]["sudi"] = sudi
    return one


def test_reports_are_handed_in_and_their_acknowledgement_polled(va_user, admin, engineering, acme):
    answer = post(va_user, "/v2/devices/reportusage", call_of(made()), acme.pk, engineering.pk)
    told = answer.json()
    assert (answer.status_code, told["status"], told["nonce"]) == (202, "OK_POLL", "random1234")
    assert (told["action"], told["poll_interval"], told["message"], told["type"]) == (
        "acknowledgements",
        300,
        None,
        None,
    )
    assert RumReport.objects.get().virtual_account == engineering
    for poll_id in (told["poll_id"], str(told["poll_id"])):
        data = {"timestamp": 1, "nonce": "random1234", "poll_id": poll_id, "action": "acknowledgements"}
        polled = post(va_user, "/v2/accounts/poll", {"data": data}, acme.pk, engineering.pk)
        content = polled.json()
        assert (polled.status_code, content["status"], content["message"]) == (200, "COMPLETE", "")
        assert (content["type"], content["nonce"]) == ("acknowledgements", "random1234")
        [row] = content["data"]["acknowledgements"]
        assert row["sudi"] == SUDI
        file = etree.fromstring(base64.b64decode(row["smart_license"]))
        told_rows = json.loads(file.findtext("smartLicenseRumAck/data"))["acknowledgements"]
        assert told_rows == [{"report_id": 7, "status": "ACCEPTED"}]
    # What a program handed in, it alone can poll.
    other = post(admin, "/v2/accounts/poll", {"data": data}, acme.pk, engineering.pk)
    assert (other.status_code, other.json()["message_code"]) == (404, "POLL_UNKNOWN")


def test_what_cannot_be_taken_is_told_beside_the_acknowledgements(va_user, engineering, acme):
    wrong = {**made(8), "signature": {"signing_type": "SHA256withRSA", "key": "1", "value": "AAAA"}}
    told = post(va_user, "/v2/devices/reportusage", call_of(made(), wrong), acme.pk, engineering.pk).json()
    polled = post(va_user, "/v2/accounts/poll", {"data": {"poll_id": told["poll_id"]}}, acme.pk, engineering.pk).json()
    [row] = polled["data"]["rejected"]
    assert (row["report_id"], row["error_code"]) == (8, "SIGNATURE_INVALID")
    assert polled["message"] == ""


def test_what_is_wrong_is_refused_with_its_code_and_changes_nothing(va_user, engineering, default_va, acme):
    other = {"udi_pid": "C8000V", "udi_serial_number": "OTHER"}
    levels = b'{"data": ' + b"[" * 100_000
    not_a_number = json.dumps(call_of(made())).replace('"timestamp": 1', '"timestamp": NaN').encode()
    cases = {
        "UDI_MISMATCH": call_of(made(), sudi=other),
        "SIGNATURE_INVALID": call_of({**made(), "signature": {"signing_type": "no", "value": ""}}),
        "MALFORMED": call_of({**made(), "payload": "{}"}),
        "TOO_LARGE": levels,
    }
    for code, data in cases.items():
        answer = post(va_user, "/v2/devices/reportusage", data, acme.pk, engineering.pk)
        told = answer.json()
        assert (told["status"], told["message_code"]) == ("FAILED", code)
        assert answer.status_code in (400, 413)
        assert told["message"]
    for data in ({}, {"data": {}}, {"data": {"reports": []}}, not_a_number, b"", call_of({"payload": 1})):
        answer = post(va_user, "/v2/devices/reportusage", data, acme.pk, engineering.pk)
        assert (answer.status_code, answer.json()["status"]) == (400, "FAILED"), data
    assert not RumReport.objects.exists()
    assert not RumUpload.objects.exists()


def test_the_headers_name_the_place_and_decide_on_the_right(
    va_user, viewer, stranger, caller_for, engineering, default_va, acme
):
    body = call_of(made())
    path = "/v2/devices/reportusage"
    assert post(va_user, path, body, acme.pk, default_va.pk).status_code == 404
    assert post(viewer, path, body, acme.pk, engineering.pk).status_code == 403
    assert post(stranger, path, body, acme.pk, engineering.pk).status_code == 404
    assert post(Caller("x"), path, body, acme.pk, engineering.pk).status_code == 401
    assert post(va_user, path, body, "x", engineering.pk).json()["message_code"] == "INVALID"
    assert post(va_user, path, body, acme.pk, 10**18).status_code == 400
    wrong = post(va_user, path, body, acme.pk, engineering.pk, **{"X-CSW-REQUESTING-SYSTEM": "{"})
    assert (wrong.status_code, wrong.json()["message_code"]) == (400, "MALFORMED")
    viewing = caller_for(Role.VA_VIEWER, engineering)
    assert post(viewing, "/v2/accounts/poll", {"data": {"poll_id": 1}}, acme.pk, engineering.pk).status_code == 403
    assert not RumReport.objects.exists()


def test_the_same_call_with_the_same_key_has_one_effect(va_user, engineering, acme):
    headers = {"Idempotency-Key": "k"}
    first, second = (
        post(va_user, "/v2/devices/reportusage", call_of(made()), acme.pk, engineering.pk, **headers) for _ in "12"
    )
    assert first.json()["poll_id"] == second.json()["poll_id"]
    assert (RumUpload.objects.count(), RumReport.objects.count()) == (1, 1)


def test_reports_and_metered_use_are_listed_for_those_who_may_see_them(va_user, viewer, stranger, engineering, acme):
    family = LicenseFamily.objects.create(name="x")
    values = {"tag": METERED, "family": family, "display_name": "DNA", "default_type": "perpetual"}
    license = License.objects.create(**values, billing=Billing.USAGE)
    late = builtin(payload_of(SUDI, 8, measurement(DAY1 + 3 * HOUR, DAY1 + 4 * HOUR, 2)))
    post(va_user, "/v2/devices/reportusage", call_of(made(), late), acme.pk, engineering.pk)
    listed = viewer.get("/v1/accounts/acme.example/usage-reports").json()
    assert listed["totalRecords"] == 2
    assert [(row["reportId"], row["gapSeconds"], row["cameBy"]) for row in listed["usageReports"]] == [
        (8, 2 * 3600, "api"),
        (7, 0, "api"),
    ]
    [day] = viewer.get("/v1/accounts/acme.example/metered-usage").json()["meteredUsage"]
    assert day == {
        "date": "2026-03-01",
        "virtualAccount": "Engineering",
        "license": license.display_name,
        "entitlementTag": METERED,
        "unitSeconds": 5 * 3600,
        "mostInUse": 3,
        "products": 1,
    }
    assert viewer.get("/v1/accounts/acme.example/metered-usage", {"endDate": "2026-02-28"}).json()["totalRecords"] == 0
    narrow = {"virtualAccount": "DEFAULT", "entitlementTag": METERED, "startDate": "2026-03-01"}
    assert viewer.get("/v1/accounts/acme.example/metered-usage", narrow).json()["totalRecords"] == 0
    assert va_user.get("/v1/accounts/acme.example/usage-reports", {"virtualAccount": "DEFAULT"}).status_code == 404
    assert stranger.get("/v1/accounts/acme.example/usage-reports").status_code == 404
