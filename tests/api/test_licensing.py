"""Calls about tokens, licenses, devices and orders."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import create_virtual_account
from cssm.common.actor import SYSTEM
from licensing.codecs.id_token import normalise_token
from licensing.models import IdToken, License, ProductInstance, PurchaseLine
from licensing.states import InstanceState
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, make_instance, make_license, use

ACME = "/v1/accounts/acme.example"
ENGINEERING = ACME + "/virtual-accounts/Engineering"
TOKENS = ENGINEERING + "/tokens"
REMOVE = "/v2/accounts/acme.example/virtual-accounts/Engineering/devices/remove"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def dna(db: None) -> License:
    return make_license("DNA-1", NOW)


def only(answer: Any, name: str) -> dict[str, Any]:
    (row,) = answer.json()[name]
    return dict(row)


# --- tokens ---


def test_a_token_is_created_listed_and_revoked(va_user: Caller):
    wanted = {"description": "lab", "expiresAfterDays": "10", "exportControlled": "not allowed", "numberofUses": 5}
    made = va_user.post(TOKENS, wanted).json()["tokenInfo"]
    assert made == {
        "token": made["token"],
        "description": "lab",
        "status": "Active",
        "expirationDate": "2026-03-12T09:30:00Z",
        "usesRemaining": 5,
        "exportControlled": "Not Allowed",
        "createdBy": "API client acme.example VA_USER",
    }
    assert normalise_token(made["token"]) == made["token"]
    assert only(va_user.get(TOKENS), "tokens") == made
    revoked = va_user.post(TOKENS + "/revoke", {"tokens": [made["token"]]}).json()
    assert (revoked["status"], revoked["results"][0]["status"]) == ("SUCCESS", "SUCCESS")
    assert only(va_user.get(TOKENS), "tokens")["status"] == "Revoked"


def test_a_token_has_the_defaults_of_the_white_paper(va_user: Caller):
    made = va_user.post(TOKENS, {}).json()["tokenInfo"]
    assert (made["expirationDate"], made["usesRemaining"]) == ("2026-04-01T09:30:00Z", None)
    assert made["exportControlled"] == "Allowed"


@pytest.mark.parametrize(
    "field",
    [
        {"expiresAfterDays": 0},
        {"expiresAfterDays": 10000},
        {"expiresAfterDays": "1_0"},
        {"expiresAfterDays": True},
        {"expiresAfterDays": 1.5},
        {"numberofUses": 0},
        {"numberofUses": 10**12},
        {"exportControlled": "maybe"},
        {"description": "x" * 501},
        {"description": 5},
        {"lifetime": 5},
    ],
)
def test_a_token_that_cannot_be_is_refused_with_its_field(va_user: Caller, field: dict[str, Any]):
    answer = va_user.post(TOKENS, field)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(field)))
    assert IdToken.objects.count() == 0


def test_rows_of_a_revocation_stand_by_themselves(va_user: Caller):
    token = va_user.post(TOKENS, {}).json()["tokenInfo"]["token"]
    answer = va_user.post(TOKENS + "/revoke", {"tokens": ["nonsense", token]})
    body = answer.json()
    assert (answer.status_code, body["status"], body["statusMessage"]) == (200, "ERROR", "1 of 2 failed.")
    assert [row["status"] for row in body["results"]] == ["ERROR", "SUCCESS"]
    assert IdToken.objects.get().revoked_at == NOW


def test_a_token_of_another_virtual_account_is_not_revoked_through_this_one(admin: Caller, engineering, default_va):
    token = admin.post(ACME + "/virtual-accounts/DEFAULT/tokens", {}).json()["tokenInfo"]["token"]
    assert admin.post(TOKENS + "/revoke", {"tokens": [token]}).json()["status"] == "ERROR"
    assert IdToken.objects.get().revoked_at is None


def test_a_token_created_twice_with_one_key_is_one_token(va_user: Caller):
    first = va_user.post(TOKENS, {}, key="k")
    assert va_user.post(TOKENS, {}, key="k").content == first.content
    assert IdToken.objects.count() == 1


def test_token_values_are_for_those_who_manage(admin: Caller, viewer: Caller, approver: Caller, operator: Caller):
    admin.post(ACME + "/virtual-accounts/DEFAULT/tokens", {})
    for caller in (viewer, approver, operator):
        for answer in (
            caller.get(ACME + "/virtual-accounts/DEFAULT/tokens"),
            caller.post(ACME + "/virtual-accounts/DEFAULT/tokens", {}),
            caller.post(ACME + "/virtual-accounts/DEFAULT/tokens/revoke", {"tokens": ["x"]}),
        ):
            assert answer.status_code == 403
    assert IdToken.objects.count() == 1


@pytest.mark.parametrize("path", [TOKENS, TOKENS + "/revoke", ACME + "/licenses", ACME + "/devices", REMOVE])
def test_a_strangers_licensing_is_not_there(stranger: Caller, engineering: VirtualAccount, path: str):
    assert stranger.post(path, {"nonsense": True}).status_code == 404


# --- orders and licenses ---


def order(license: License, **changes: Any) -> dict[str, Any]:
    return {
        "domain": "acme.example",
        "virtualAccount": "Engineering",
        "orderRef": "SO-1",
        "lines": [{"entitlementTag": license.tag, "quantity": "25"}],
        **changes,
    }


def test_an_order_is_delivered_once(operator: Caller, admin: Caller, engineering: VirtualAccount, dna: License):
    first = operator.post("/v1/operator/orders", order(dna))
    assert first.json() == {"orderRef": "SO-1", "delivered": True, "status": "SUCCESS", "statusMessage": ""}
    assert operator.post("/v1/operator/orders", order(dna)).json()["delivered"] is False
    assert only(admin.post(ACME + "/licenses", {}), "licenses")["quantity"] == 25


def test_what_is_wrong_with_an_order_is_told_by_line_and_field(operator: Caller, engineering, dna: License):
    lines = [
        {"entitlementTag": dna.tag, "quantity": 0},
        {"entitlementTag": dna.tag, "quantity": 1, "color": "red"},
        5,
    ]
    answer = operator.post("/v1/operator/orders", order(dna, lines=lines))
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "ORDER_INVALID")
    assert [(error["line"], error["field"]) for error in body["errors"]] == [(1, "quantity"), (2, "color"), (3, "")]
    assert PurchaseLine.objects.count() == 0


def test_an_order_for_an_unknown_account_or_with_other_content_is_refused(operator: Caller, engineering, dna: License):
    path = "/v1/operator/orders"
    assert operator.post(path, order(dna, virtualAccount="Nowhere")).status_code == 404
    assert operator.post(path, order(dna, domain="nowhere.example")).status_code == 404
    operator.post(path, order(dna))
    changed = operator.post(path, order(dna, lines=[{"entitlementTag": dna.tag, "quantity": 1}]))
    assert (changed.status_code, changed.json()["code"]) == (409, "ORDER_REF_REUSED")


def test_only_an_operator_delivers(admin: Caller, stranger: Caller, engineering, dna: License):
    for caller in (admin, stranger):
        assert caller.post("/v1/operator/orders", order(dna)).status_code == 403
    assert PurchaseLine.objects.count() == 0


def test_a_license_is_shown_with_its_figures_and_lines(admin: Caller, engineering: VirtualAccount, dna: License):
    end = NOW + timedelta(days=365)
    deliver(engineering, line(dna, 10, licenseType="TERM", endDate=end.isoformat(), subscriptionId="S1"), now=NOW)
    deliver(engineering, line(dna, 7, startDate=(NOW + timedelta(days=9)).isoformat()), now=NOW)
    use(make_instance(engineering, NOW), dna, 12, NOW)
    row = only(admin.post(ACME + "/licenses", {"virtualAccounts": ["Engineering"]}), "licenses")
    assert row == {
        "license": dna.display_name,
        "entitlementTag": dna.tag,
        "virtualAccount": "Engineering",
        "quantity": 10,
        "inUse": 12,
        "available": -2,
        "reserved": 0,
        "pendingQuantity": 7,
        "status": "Out Of Compliance",
        "billingType": "PREPAID",
        "isPortable": False,
        "ahaApps": False,
        "licenseSubstitutions": [],
        "licenseDetails": [
            {
                "licenseType": "TERM",
                "quantity": 10,
                "startDate": "2026-03-02T09:30:00Z",
                "endDate": "2027-03-02T09:30:00Z",
                "subscriptionId": "S1",
                "status": "Active",
            },
            {
                "licenseType": "PERPETUAL",
                "quantity": 7,
                "startDate": "2026-03-11T09:30:00Z",
                "endDate": None,
                "subscriptionId": None,
                "status": "Future",
            },
        ],
    }


def test_only_licenses_with_a_figure_are_rows_and_those_to_come_are(admin: Caller, engineering, dna: License):
    instance = make_instance(engineering, NOW)
    use(instance, dna, 1, NOW)
    use(instance, dna, 0, NOW)
    assert admin.post(ACME + "/licenses", {}).json()["totalRecords"] == 0
    deliver(engineering, line(dna, 7, startDate=(NOW + timedelta(days=9)).isoformat()), now=NOW)
    assert only(admin.post(ACME + "/licenses", {}), "licenses")["pendingQuantity"] == 7


def test_licenses_come_in_pages_and_only_from_where_the_role_reaches(
    admin: Caller, va_user: Caller, engineering: VirtualAccount, default_va: VirtualAccount
):
    for number, account in enumerate([engineering, default_va, engineering]):
        deliver(account, line(make_license(f"tag{number}", NOW)), now=NOW)
    everything = admin.post(ACME + "/licenses", {"limit": "2", "offset": 0}).json()
    assert everything["totalRecords"] == 3
    assert [row["entitlementTag"] for row in everything["licenses"]] == ["tag1", "tag0"]
    rest = admin.post(ACME + "/licenses", {"limit": 2, "offset": "2"}).json()
    assert [row["entitlementTag"] for row in rest["licenses"]] == ["tag2"]
    mine = va_user.post(ACME + "/licenses", {}).json()
    assert {row["virtualAccount"] for row in mine["licenses"]} == {"Engineering"}
    assert va_user.post(ACME + "/licenses", {"virtualAccounts": ["DEFAULT"]}).status_code == 404
    assert admin.post(ACME + "/licenses", {"virtualAccounts": ["Nowhere"]}).status_code == 404


def test_an_approver_sees_no_licenses(approver: Caller):
    for path in ("/licenses", "/license-subscriptions", "/devices"):
        assert approver.post(ACME + path, {}).status_code == 403


def test_subscriptions_are_listed(admin: Caller, engineering: VirtualAccount, dna: License):
    end = (NOW + timedelta(days=365)).isoformat()
    deliver(
        engineering,
        line(dna, 10),
        line(dna, 5, licenseType="SUBSCRIPTION", endDate=end, subscriptionId="S1"),
        now=NOW,
    )
    assert only(admin.post(ACME + "/license-subscriptions", {}), "licenseSubscriptions") == {
        "subscriptionId": "S1",
        "virtualAccount": "Engineering",
        "license": dna.display_name,
        "quantity": 5,
        "startDate": "2026-03-02T09:30:00Z",
        "endDate": "2027-03-02T09:30:00Z",
        "status": "Active",
    }


# --- devices ---


def test_a_device_is_shown_as_in_the_published_example(admin: Caller, engineering: VirtualAccount, dna: License):
    instance = make_instance(engineering, NOW)
    ProductInstance.objects.update(udi="C8000V:ABCD123456", udi_pid="C8000V", udi_serial_number="ABCD123456")
    use(instance, dna, 1, NOW)
    expected = {
        "licenseUsage": [{"license": dna.display_name, "quantity": 1}],
        "hostName": "",
        "sudi": {
            "macAddress": None,
            "suvi": None,
            "hostIdentifier": None,
            "udiSerialNumber": "ABCD123456",
            "udiPid": "C8000V",
            "uuid": None,
            "udiVid": None,
        },
        "displayName": "UDI_PID:C8000V; UDI_SN:ABCD123456; ",
        "registrationDate": "2026-03-02T09:30:00Z",
        "productTagName": "software",
        "virtualAccount": "Engineering",
        "productName": "",
        "productDescription": "",
        "productType": "",
        "status": "Out Of Compliance",
        "lastContactDate": "2026-03-02T09:30:00Z",
    }
    body = admin.post(ACME + "/devices", {"virtualAccounts": ["Engineering"], "limit": 10, "offset": 0}).json()
    assert body == {"totalRecords": 1, "devices": [expected], "status": "SUCCESS", "statusMessage": ""}
    assert only(admin.get(ENGINEERING + "/devices"), "devices") == expected
    deliver(engineering, line(dna, 1), now=NOW)
    assert only(admin.get(ENGINEERING + "/devices"), "devices")["status"] == "In Compliance"


def test_devices_are_shown_only_from_where_the_role_reaches(va_user: Caller, engineering, default_va):
    make_instance(default_va, NOW)
    mine = make_instance(engineering, NOW)
    mine_alone = va_user.post(ACME + "/devices", {}).json()
    assert (mine_alone["totalRecords"], mine_alone["devices"][0]["virtualAccount"]) == (1, "Engineering")
    assert mine.pk
    assert va_user.get(ACME + "/virtual-accounts/DEFAULT/devices").status_code == 404


@pytest.mark.parametrize("name", ["productInstancesRemoveRequests", "productInstacesRemoveRequests"])
def test_devices_are_removed_each_by_itself(va_user: Caller, engineering: VirtualAccount, name: str):
    instance = make_instance(engineering, NOW)
    ProductInstance.objects.update(udi="C9300:FCW1", udi_pid="C9300", udi_serial_number="FCW1")
    rows: list[dict[str, Any]] = [
        {"sudi": {"udiPid": "C9300", "udiSerialNumber": "NONE"}, "productTagName": "software"},
        {"sudi": {"udiPid": "C9300", "udiSerialNumber": "FCW1", "uuid": None}, "productTagName": "software"},
        {"sudi": {}},
    ]
    answer = va_user.post(REMOVE, {name: rows})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "ERROR")
    assert [row["status"] for row in body["results"]] == ["ERROR", "SUCCESS", "ERROR"]
    assert [row["sudi"] for row in body["results"]] == [row["sudi"] for row in rows]
    instance.refresh_from_db()
    assert instance.state == InstanceState.REMOVED


def test_a_viewer_removes_nothing(viewer: Caller, engineering: VirtualAccount):
    make_instance(engineering, NOW)
    rows = {"productInstancesRemoveRequests": [{"sudi": {"udiPid": "TEST", "udiSerialNumber": "1"}}]}
    assert viewer.post(REMOVE, rows).status_code == 403
    assert ProductInstance.objects.active().count() == 1


@pytest.mark.parametrize("body", [{}, {"productInstancesRemoveRequests": []}, {"productInstancesRemoveRequests": [{}]}])
def test_a_removal_of_nothing_is_refused(va_user: Caller, body: dict[str, Any]):
    assert va_user.post(REMOVE, body).status_code == 400


def test_reading_a_page_costs_the_same_whatever_its_size(admin: Caller, engineering, dna: License):
    def measure() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin.post(ACME + "/devices", {}).status_code == 200
            assert admin.post(ACME + "/licenses", {}).status_code == 200
        return len(captured)

    use(make_instance(engineering, NOW), dna, 1, NOW)
    measure()  # the first call of a client also notes that it was used
    few = measure()
    for number in range(8):
        other = create_virtual_account(
            actor=SYSTEM, smart_account=engineering.smart_account, name=f"VA {number}", now=NOW
        )
        use(make_instance(other, NOW), make_license(f"more{number}", NOW), 1, NOW)
    assert measure() == few
