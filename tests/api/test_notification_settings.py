"""Addresses of the Smart Account that are told of alerts, as a client sets them."""

import pytest

from alerts.services import rules
from alerts.services.subscriptions import find_subscribers
from alerts.states import AlertType
from tests.alerts.conftest import Shortages
from tests.api.conftest import Caller

SETTINGS = "/v1/accounts/acme.example/notification-settings"
WANTED = {"address": "noc@acme.example", "alertType": "Insufficient Licenses", "frequency": "immediate"}


@pytest.fixture(autouse=True)
def _shortages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_sources", {})
    rules.register_source(Shortages().source())


def test_an_address_is_added_listed_and_taken_off(admin: Caller, acme):
    assert admin.post(SETTINGS, WANTED).json()["status"] == "SUCCESS"
    [row] = admin.get(SETTINGS).json()["notificationSettings"]
    assert (row["address"], row["alertType"], row["frequency"]) == (
        "noc@acme.example",
        "Insufficient Licenses",
        "immediate",
    )
    [recipient] = find_subscribers(acme.pk, None, AlertType.INSUFFICIENT_LICENSES)
    assert recipient.address == "noc@acme.example"
    admin.post(SETTINGS, {**WANTED, "frequency": "Off"})
    body = admin.get(SETTINGS).json()
    assert (body["totalRecords"], body["notificationSettings"]) == (0, [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "noc@elsewhere.example"}, "address"),
        ({"address": "no address"}, "address"),
        ({"alertType": "Rain"}, "alertType"),
        ({"frequency": "hourly"}, "frequency"),
        ({"virtualAccount": "Engineering"}, "virtualAccount"),
    ],
)
def test_what_cannot_be_set_is_told_by_its_field(admin: Caller, change: dict[str, str], field: str):
    answer = admin.post(SETTINGS, {**WANTED, **change})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert admin.get(SETTINGS).json()["totalRecords"] == 0


def test_an_alert_that_nothing_raises_cannot_be_asked_for(admin: Caller):
    answer = admin.post(SETTINGS, {**WANTED, "alertType": "Synchronization Overdue"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID")


def test_only_who_manages_the_account_sees_or_sets_them(va_user: Caller, approver: Caller):
    for caller in (va_user, approver):
        assert caller.get(SETTINGS).status_code == 403
        assert caller.post(SETTINGS, WANTED).status_code == 403
