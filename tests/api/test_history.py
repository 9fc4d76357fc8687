"""The history of use and ownership over the API: the same as in the portal's reports."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import time_machine

from accounts.models import VirtualAccount
from licensing.models import License
from licensing.services.pools.fold import fold_due
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, make_instance, make_license, use

API = "/v1/accounts/acme.example/usage-history"
EXPLAIN = "/v1/accounts/acme.example/pools/Engineering"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def router(engineering: VirtualAccount, default_va: VirtualAccount) -> License:
    """10 bought 20 days ago; 4 used for 10 days, 12 for an hour of yesterday, then 4 again."""
    license = make_license("ROUTER", NOW)
    deliver(engineering, line(license, 10), now=NOW - 20 * DAY)
    deliver(default_va, line(license, 3), now=NOW - 20 * DAY)
    device = make_instance(engineering, NOW - 20 * DAY)
    for at, quantity in ((NOW - 10 * DAY, 4), (NOW - DAY, 12), (NOW - DAY + HOUR, 4)):
        use(device, license, quantity, at)
        fold_due(now=at)
    return license


def rows_of(answer: Any) -> dict[str, list[dict[str, Any]]]:
    assert answer.status_code == 200, answer.content
    return {row["virtualAccount"]: row["points"] for row in answer.json()["usageHistory"]}


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def test_the_last_30_days_come_by_day(admin: Caller, router: License):
    answer = admin.get(API)
    points = rows_of(answer)["Engineering"]
    assert (answer.json()["step"], answer.json()["totalRecords"], len(points)) == ("day", 2, 31)
    yesterday, today = points[-2], points[-1]
    assert (yesterday["purchased"], yesterday["inUse"], yesterday["mostInUse"]) == (10, 4, 12)
    assert (yesterday["status"], yesterday["wasShort"]) == ("In Compliance", True)
    assert (today["inUse"], today["available"], today["wasShort"]) == (4, 6, False)
    assert today["endDate"] == stamp(NOW)


@pytest.mark.parametrize(
    ("at", "figures"),
    [
        (NOW - 21 * DAY, (0, 0, 0, "In Compliance")),
        (NOW - 15 * DAY, (10, 0, 10, "In Compliance")),
        (NOW - DAY - timedelta(seconds=1), (10, 4, 6, "In Compliance")),
        (NOW - DAY, (10, 12, -2, "Out Of Compliance")),
        (NOW, (10, 4, 6, "In Compliance")),
    ],
)
def test_as_of_a_moment_the_figures_are_those_of_that_very_moment(admin: Caller, router: License, at, figures):
    query = {"asOf": stamp(at), "virtualAccount": "Engineering", "entitlementTag": "ROUTER"}
    (point,) = rows_of(admin.get(API, query))["Engineering"]
    assert (point["purchased"], point["inUse"], point["available"], point["status"]) == figures
    assert point["startDate"] == point["endDate"] == stamp(at)


def test_virtual_accounts_are_chosen_by_name_and_pages_by_limit(admin: Caller, router: License):
    assert set(rows_of(admin.get(API, {"virtualAccount": ["DEFAULT"]}))) == {"DEFAULT"}
    assert set(rows_of(admin.get(API, {"virtualAccount": ["DEFAULT", "Engineering"]}))) == {"DEFAULT", "Engineering"}
    assert set(rows_of(admin.get(API, {"limit": 1, "offset": 1}))) == {"Engineering"}
    assert rows_of(admin.get(API, {"entitlementTag": "OTHER"})) == {}


def test_a_client_of_one_virtual_account_is_told_of_that_alone(va_user: Caller, router: License):
    assert set(rows_of(va_user.get(API))) == {"Engineering"}
    assert va_user.get(API, {"virtualAccount": "DEFAULT"}).status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"startDate": stamp(NOW + DAY)}, "startDate"),
        ({"startDate": stamp(NOW - 4 * 366 * DAY)}, "startDate"),
        ({"startDate": "yesterday"}, "startDate"),
        ({"asOf": stamp(NOW + DAY)}, "asOf"),
        ({"asOf": stamp(NOW - 4 * 366 * DAY)}, "asOf"),
        ({"asOf": stamp(NOW), "endDate": stamp(NOW)}, "asOf"),
        ({"limit": 100_000}, "limit"),
    ],
)
def test_a_period_that_cannot_be_shown_is_refused_by_name(admin: Caller, router: License, query, field):
    answer = admin.get(API, query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("tag", ["regid.2017-03.com.cisco.a,1.0_b", "MODULE/10G", "A%2FB", "K9+x#1?", "é"])
def test_a_license_is_explained_whatever_characters_its_tag_has(admin: Caller, engineering: VirtualAccount, tag: str):
    license = make_license("PLAIN", NOW)
    License.objects.filter(pk=license.pk).update(tag=tag)
    license.refresh_from_db()
    deliver(engineering, line(license, 7), now=NOW)
    answer = admin.get(f"{EXPLAIN}/{quote(tag, safe='')}/explain")
    assert answer.status_code == 200, answer.content
    assert (answer.json()["entitlementTag"], answer.json()["figures"]["purchased"]) == (tag, 7)


def test_events_are_found_by_what_they_are_about_by_whom_and_by_time(admin: Caller, router: License):
    path = "/v1/accounts/acme.example/events"
    everything = admin.get(path, {"limit": 1000}).json()
    orders = admin.get(path, {"q": "ROUTER"}).json()["events"]
    assert 0 < len(orders) < everything["totalRecords"]
    who = orders[0]["user"]
    assert admin.get(path, {"user": who}).json()["totalRecords"] >= len(orders)
    assert admin.get(path, {"user": "nobody"}).json()["totalRecords"] == 0
    old = admin.get(path, {"endDate": stamp(NOW - 19 * DAY)}).json()["events"]
    assert old
    assert all(event["at"] < stamp(NOW - 19 * DAY) for event in old)
    assert admin.get(path, {"startDate": stamp(NOW + DAY)}).json()["totalRecords"] == 0
