"""`authrequest` and its poll, and `licenses/summary`: in the shapes of the samples, over the base that programs use."""

import base64
import json
from typing import Any

import pytest
from django.test import Client

from cssm.common.clock import read_clock
from cssm.common.permissions import Role
from licensing.models import DeviceCall, Hold, License, Reservation
from licensing.services.pools.rebuild import check_pools
from licensing.states import ReservationState
from pki.services.authorities import bootstrap_authorities
from tests.api.conftest import Caller
from tests.keys import use_checked_in_keys
from tests.licensing.reservations.products import AirGapped, entitled
from tests.licensing.stock import deliver, import_rows, line

BASE = "/services/api/services/api/smart-accounts-and-licensing"
HSEC = "regid.2019-03.com.cisco.DNA_HSEC,1.0_509c41ab-05a8-431f-95fe-ec28086e8844"
SUDI = {"udi_pid": "C8000V", "udi_serial_number": "123451234"}


@pytest.fixture(autouse=True)
def _authorities(db, monkeypatch):
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=read_clock())


@pytest.fixture(autouse=True)
def hsec(engineering):
    now = read_clock()
    columns = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"
    import_rows(
        [f'"{HSEC}",entitlement,Router US Export Lic. for DNA,,perpetual,ENFORCED,RESTRICTED,'], now, columns=columns
    )
    license = License.objects.get()
    deliver(engineering, line(license, 3), now=now)
    return license


@pytest.fixture
def call(acme, engineering):
    def post(caller: Caller, path: str, data: dict[str, Any], **headers: str) -> Any:
        named = {"X-CSW-SMART-ACCOUNT-ID": str(acme.pk), "X-CSW-VIRTUAL-ACCOUNT-ID": str(engineering.pk)}
        named |= {"X-CSW-REQUESTING-SYSTEM": json.dumps(SUDI), **headers}
        body = {"data": {"timestamp": 1656010025453, "nonce": "random1234", **data}}
        return Client().post(
            f"{BASE}{path}", json.dumps(body), content_type="application/json", headers=caller.headers(named)
        )

    return post


@pytest.fixture
def ask(call, va_user):
    """Ask for one device, and poll for what it came to."""

    def authorize(*keys: tuple[str, Any], sudi: Any = SUDI, **codes: str) -> dict[str, Any]:
        wanted = [{"entitlement": tag, "count": count} for tag, count in keys]
        row = {"sudi": sudi, "hostname": "edge", "keys": wanted, **codes}
        told = call(va_user, "/v2/devices/authrequest", {"licenses": [row]})
        assert told.status_code == 202, told.content
        [answer] = polled(call, va_user, told.json()["poll_id"])["data"]["authorizations"]
        return dict(answer)

    return authorize


def polled(call, caller, poll_id):
    answer = call(caller, "/v2/accounts/poll", {"poll_id": poll_id, "action": "authorizations"})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_device_gets_its_authorization_as_in_the_sample(call, va_user, admin):
    row = {"sudi": SUDI, "hostname": "edge", "keys": [{"entitlement": HSEC, "count": "1"}]}
    told = call(va_user, "/v2/devices/authrequest", {"licenses": [row]}).json()
    assert told == {
        "status": "OK_POLL",
        "message_code": None,
        "message": None,
        "timestamp": told["timestamp"],
        "nonce": "random1234",
        "type": None,
        "poll_id": told["poll_id"],
        "poll_interval": 300,
        "action": "authorizations",
    }
    assert 0 < told["poll_id"] < 2**63
    answer = polled(call, va_user, str(told["poll_id"]))
    [device] = answer.pop("data")["authorizations"]
    assert answer == {
        "status": "COMPLETE",
        "message_code": "",
        "message": "",
        "timestamp": answer["timestamp"],
        "nonce": "random1234",
        "type": "authorizations",
        "correlation_id": answer["correlation_id"],
    }
    assert list(device) == [
        "product_instance_identifier", "sudi", "smart_license", "auth_status", "error_code", "status",
        "status_message", "correlation_id",
    ]  # fmt: skip
    assert (device["sudi"], device["auth_status"], device["status"]) == (SUDI, [], "SUCCESS")
    text = base64.b64decode(device["smart_license"]).decode()
    assert entitled(text) == {HSEC: 1}
    reservation = Reservation.objects.get()
    assert device["product_instance_identifier"] == str(reservation.instance.piid)
    assert reservation.instance.hostname == "edge"
    assert text.encode() not in bytes(DeviceCall.objects.get().sealed)
    other = call(admin, "/v2/accounts/poll", {"poll_id": told["poll_id"], "action": "authorizations"})
    assert (other.status_code, other.json()["status"], other.json()["message_code"]) == (404, "FAILED", "POLL_UNKNOWN")


def test_the_same_again_gives_the_same_and_another_count_changes_it(ask):
    first = ask((HSEC, 1))
    assert ask((HSEC, "1"))["smart_license"] == first["smart_license"]
    more = ask((HSEC, 3))
    assert more["product_instance_identifier"] == first["product_instance_identifier"]
    assert entitled(base64.b64decode(more["smart_license"]).decode()) == {HSEC: 3}
    assert sum(Hold.objects.values_list("quantity", flat=True)) == 3


def test_confirm_code_and_remove_code_are_those_of_the_authorization(ask):
    device = AirGapped(serial=SUDI["udi_serial_number"], pid=SUDI["udi_pid"], sequence="")
    confirmation = device.install(base64.b64decode(ask((HSEC, 2))["smart_license"]).decode())
    assert ask(confirm_code=confirmation)["status"] == "SUCCESS"
    assert Reservation.objects.get().state == ReservationState.INSTALLED
    device.timestamp += 1
    wrong = ask(remove_code=device.return_code)
    device.timestamp -= 1
    assert (wrong["status"], wrong["error_code"]) == ("FAILED", "RETURN_CODE_MISMATCH")
    gone = ask(remove_code=device.return_code)
    assert (gone["status"], gone["smart_license"], gone["error_code"]) == ("SUCCESS", None, None)
    assert Reservation.objects.get().state == ReservationState.RETURNED
    assert not Hold.objects.exists()
    again = ask((HSEC, 1))
    assert again["product_instance_identifier"] != gone["product_instance_identifier"]
    assert check_pools(now=read_clock()) == []


def test_each_device_has_its_own_result(call, va_user):
    rows = [
        {"sudi": SUDI, "keys": [{"entitlement": HSEC, "count": 9}]},
        {"sudi": {**SUDI, "udi_serial_number": "B"}, "keys": [{"entitlement": "NOSUCH", "count": 1}]},
        {"sudi": {**SUDI, "udi_serial_number": "C"}, "keys": []},
        {"sudi": {**SUDI, "udi_serial_number": "D"}, "keys": [], "remove_code": "nonsense"},
        {"sudi": {**SUDI, "udi_serial_number": "E,F"}, "keys": [{"entitlement": HSEC, "count": 1}]},
        {"sudi": {**SUDI, "udi_serial_number": "G"}, "keys": [{"entitlement": HSEC, "count": 1}]},
    ]
    told = call(va_user, "/v2/devices/authrequest", {"licenses": rows}).json()
    answers = polled(call, va_user, told["poll_id"])["data"]["authorizations"]
    assert [answer["error_code"] for answer in answers] == [
        "NOT_ENOUGH_FREE", "LICENSE_UNKNOWN", "NOTHING_TO_DO", "RETURN_CODE_INVALID", "UDI_INVALID", None,
    ]  # fmt: skip
    assert "only 3 are free" in answers[0]["status_message"]


@pytest.mark.parametrize(
    "data", [{}, {"licenses": []}, {"licenses": [{"keys": []}]}, {"licenses": [{"sudi": SUDI, "x": 1}]}]
)
def test_a_call_out_of_order_fails_as_programs_know_it(call, va_user, data):
    answer = call(va_user, "/v2/devices/authrequest", data)
    assert (answer.status_code, answer.json()["status"]) == (400, "FAILED")
    assert answer.json()["message"]
    assert not DeviceCall.objects.exists()


def test_a_viewer_reserves_nothing_but_sees_the_summary(call, caller_for, engineering):
    viewer = caller_for(Role.VA_VIEWER, engineering)
    row = {"sudi": SUDI, "keys": [{"entitlement": HSEC, "count": 1}]}
    assert call(viewer, "/v2/devices/authrequest", {"licenses": [row]}).status_code == 403
    assert call(viewer, "/v3/licenses/summary", {"tags": []}).status_code == 200


def test_the_summary_is_that_of_the_sample(call, va_user, ask):
    ask((HSEC, 1))
    answer = call(va_user, "/v3/licenses/summary", {"tags": []}).json()
    assert answer == {
        "status": "SUCCESS",
        "message_code": None,
        "message": "Retrieved summary for 1 license in the pool.",
        "timestamp": answer["timestamp"],
        "nonce": "random1234",
        "out_standing_reports": 0,
        "summary": [
            {
                "tag": HSEC,
                "compliance_status": "In Compliance",
                "display_name": "Router US Export Lic. for DNA",
                "enforced": True,
                "export_restricted": True,
                "license_details": [
                    {
                        "billing_type": "PREPAID",
                        "quantity": 3,
                        "postpaid_usage": None,
                        "start_date": None,
                        "end_date": None,
                        "subscription_id": None,
                        "status": "ACTIVE",
                        "billing_model": None,
                        "license_type": "PERPETUAL",
                    }
                ],
                "prepaid_entitled": 3,
                "prepaid_inuse": 1,
                "prepaid_reserved": 1,
            }
        ],
    }
    assert call(va_user, "/v3/licenses/summary", {"tags": ["OTHER"]}).json()["summary"] == []
