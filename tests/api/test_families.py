"""The operator's calls about the hierarchy of licenses."""

from typing import Any

import pytest

from accounts.models import VirtualAccount
from licensing.models import HierarchyVersion, License
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.families import import_cuwl
from tests.licensing.stock import deliver, line, make_instance, use

HIGHER = "/v1/operator/licenses/higher"


@pytest.fixture
def cuwl(db: None) -> dict[str, License]:
    return import_cuwl(NOW)


def test_families_are_listed_with_their_version(operator: Caller, cuwl: dict[str, License]):
    answer = operator.get("/v1/operator/families").json()
    assert answer["totalRecords"] == 1
    (family,) = answer["families"]
    assert (family["name"], family["version"], family["since"]) == ("CUWL", 1, "2026-03-02T09:30:00Z")
    assert [(row["entitlementTag"], row["higher"]) for row in family["licenses"]] == [
        ("CUWL", None),
        ("ENH", "EPLUS"),
        ("EPLUS", "CUWL"),
    ]


def test_a_dry_run_tells_what_changes_and_the_call_without_it_changes_it(
    operator: Caller, cuwl: dict[str, License], engineering: VirtualAccount
):
    deliver(engineering, line(cuwl["CUWL"], 10), now=NOW)
    use(make_instance(engineering, NOW), cuwl["EPLUS"], 3, NOW)
    change = {"entitlementTag": "EPLUS", "higher": None}
    answer = operator.post(HIGHER + "?dry_run=true", change).json()
    assert (answer["changed"], answer["poolsConcerned"]) == (False, 2)
    assert answer["effects"][0] == {
        "domain": "acme.example",
        "virtualAccount": "Engineering",
        "entitlementTag": "EPLUS",
        "availableBefore": 0,
        "availableAfter": -3,
        "statusBefore": "In Compliance",
        "statusAfter": "Out Of Compliance",
    }
    assert HierarchyVersion.objects.count() == 1
    assert operator.post(HIGHER, change).json()["changed"] is True
    assert operator.post(HIGHER, change).json()["changed"] is False
    assert not License.objects.filter(tag="EPLUS", higher__isnull=False).exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"entitlementTag": "CUWL", "higher": "ENH"}, 400, "CYCLE"),
        ({"entitlementTag": "CUWL", "higher": "NONE"}, 400, "LICENSE_UNKNOWN"),
        ({"entitlementTag": "NONE", "higher": "CUWL"}, 404, "NOT_FOUND"),
        ({"entitlementTag": "CUWL"}, 400, None),
        ({"entitlementTag": "CUWL", "higher": 5}, 400, None),
        ({"entitlementTag": "CUWL", "higher": "ENH", "more": 1}, 400, None),
    ],
)
def test_what_cannot_be_is_refused(
    operator: Caller, cuwl: dict[str, License], body: dict[str, Any], status: int, code: str | None
):
    answer = operator.post(HIGHER, body)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
    assert HierarchyVersion.objects.count() == 1


def test_only_the_operator_may(admin: Caller, cuwl: dict[str, License]):
    assert admin.get("/v1/operator/families").status_code == 403
    assert admin.post(HIGHER, {"entitlementTag": "EPLUS", "higher": None}).status_code == 403
