"""Calls about alerts."""

import pytest

from accounts.models import VirtualAccount
from alerts.services import rules
from alerts.services.dispatch import dispatch
from tests.alerts.conftest import Shortages, change
from tests.api.conftest import Caller
from tests.conftest import NOW

ALERTS = "/v1/accounts/acme.example/alerts"


@pytest.fixture
def shortage(engineering: VirtualAccount, default_va: VirtualAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in Engineering, one in DEFAULT."""
    monkeypatch.setattr(rules, "_sources", {})
    source = Shortages(rows=[change(engineering), change(default_va, cause="pool:18")])
    rules.register_source(source.source())
    dispatch(now=NOW)


def places(caller: Caller, **query: str) -> set[str]:
    return {row["virtualAccount"] for row in caller.get(ALERTS, query).json()["alerts"]}


def test_alerts_are_listed_as_far_as_the_role_reaches(shortage: None, admin: Caller, va_user: Caller, approver: Caller):
    assert places(admin) == {"Engineering", "DEFAULT"}
    body = va_user.get(ALERTS).json()
    assert body["totalRecords"] == 1
    (row,) = body["alerts"]
    assert (row["severity"], row["type"]) == ("Major", "Insufficient Licenses")
    assert "Engineering" in row["message"]
    assert "3 short" in row["message"]
    assert approver.get(ALERTS).status_code == 403


def test_alerts_are_filtered_by_type(shortage: None, admin: Caller):
    assert places(admin, type="insufficient licenses") == {"Engineering", "DEFAULT"}
    assert places(admin, type="Licenses Expiring") == set()
    assert admin.get(ALERTS, {"type": "Bad Weather"}).status_code == 400


def test_an_alert_is_dismissed_and_put_back(shortage: None, va_user: Caller, admin: Caller, viewer: Caller):
    (row,) = va_user.get(ALERTS).json()["alerts"]
    assert viewer.post(f"{ALERTS}/{row['id']}/dismiss").status_code == 403
    dismissed = va_user.post(f"{ALERTS}/{row['id']}/dismiss").json()["alert"]
    assert dismissed == {**row, "dismissed": True}
    assert places(admin) == {"DEFAULT"}
    assert places(admin, dismissed="true") == {"Engineering", "DEFAULT"}
    assert va_user.post(f"{ALERTS}/{row['id']}/restore").json()["alert"] == row


def test_an_alert_of_another_virtual_account_or_company_is_not_there(
    shortage: None, admin: Caller, va_user: Caller, stranger: Caller, umbrella
):
    other = next(row for row in admin.get(ALERTS).json()["alerts"] if row["virtualAccount"] == "DEFAULT")
    assert va_user.post(f"{ALERTS}/{other['id']}/dismiss").status_code == 404
    assert stranger.get(ALERTS).status_code == 404
    assert stranger.post(f"/v1/accounts/umbrella.example/alerts/{other['id']}/dismiss").status_code == 404
