"""Tags and search over the API: the same words and the same rights as in the portal."""

from typing import Any

import pytest

from accounts.models import VirtualAccount
from licensing.models import ProductInstance
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, make_instance, make_license

API = "/v1/accounts/acme.example"


@pytest.fixture
def device(engineering: VirtualAccount, default_va: VirtualAccount) -> ProductInstance:
    """In Engineering, beside a license of it that is in DEFAULT too."""
    license = make_license("ROUTER", NOW)
    for place in (engineering, default_va):
        deliver(place, line(license, 3), now=NOW)
    return make_instance(engineering, NOW)


def assign(caller: Caller, device: ProductInstance, **body: Any) -> Any:
    things = {
        "licenses": [{"virtualAccount": "Engineering", "entitlementTag": "ROUTER"}],
        "productInstances": [str(device.piid)],
    }
    return caller.post(f"{API}/tags/assign", {**things, **body})


def found(caller: Caller, text: str) -> set[tuple[str, str]]:
    return {(row["kind"], row["virtualAccount"]) for row in caller.get(f"{API}/search", {"q": text}).json()["found"]}


def test_what_is_tagged_is_found_and_counted_by_its_tag(admin: Caller, device: ProductInstance):
    answer = assign(admin, device, virtualAccounts=["DEFAULT"], add=["Lab"])
    assert (answer.status_code, answer.json()["changed"]) == (200, 3)
    assert found(admin, "lab") == {
        ("virtualAccount", "DEFAULT"), ("license", "Engineering"), ("productInstance", "Engineering"),
    }  # fmt: skip
    (row,) = admin.get(f"{API}/tags").json()["tags"]
    assert row == {"name": "Lab", "virtualAccounts": 1, "licenses": 1, "productInstances": 1}
    assert assign(admin, device, remove=["lab"]).json()["changed"] == 2
    assert found(admin, "lab") == {("virtualAccount", "DEFAULT")}


def test_words_are_made_renamed_and_deleted(admin: Caller, device: ProductInstance):
    assert admin.post(f"{API}/tags", {"name": "Lab"}).json()["name"] == "Lab"
    assign(admin, device, add=["lab"])
    assert admin.post(f"{API}/tags/rename", {"name": "lab", "newName": "Field"}).json()["name"] == "Field"
    assert found(admin, "field") == {("license", "Engineering"), ("productInstance", "Engineering")}
    assert admin.post(f"{API}/tags/delete", {"name": "Field"}).status_code == 200
    assert admin.get(f"{API}/tags").json()["totalRecords"] == 0
    assert admin.post(f"{API}/tags/delete", {"name": "Field"}).status_code == 404


def test_a_client_of_one_virtual_account_tags_what_is_in_it_and_nothing_else(
    va_user: Caller, admin: Caller, device: ProductInstance
):
    assert assign(va_user, device, add=["Mine"]).status_code == 200
    elsewhere = [{"virtualAccount": "DEFAULT", "entitlementTag": "ROUTER"}]
    assert assign(va_user, device, add=["Theirs"], licenses=elsewhere).status_code == 404
    assert assign(va_user, device, add=["Theirs"], virtualAccounts=["Engineering"]).status_code == 403
    assert va_user.post(f"{API}/tags/rename", {"name": "Mine", "newName": "X"}).status_code == 403
    assert {row["name"] for row in admin.get(f"{API}/tags").json()["tags"]} == {"Mine"}
    assert found(va_user, "router") == {("license", "Engineering")}


def test_all_or_nothing_is_tagged(admin: Caller, device: ProductInstance):
    missing = "00000000-0000-4000-8000-000000000000"
    assert assign(admin, device, add=["Lab"], productInstances=[str(device.piid), missing]).status_code == 404
    assert assign(admin, device, add=["a,b"], virtualAccounts=["DEFAULT"]).status_code == 400
    assert found(admin, "lab") == set()
    assert admin.get(f"{API}/tags").json()["totalRecords"] == 0


@pytest.mark.parametrize("body", [{}, {"add": []}, {"add": [7]}, {"add": ["x"], "productInstances": ["x"]}, {"x": 1}])
def test_what_makes_no_sense_is_refused(admin: Caller, device: ProductInstance, body: dict[str, Any]):
    assert admin.post(f"{API}/tags/assign", body).status_code == 400


def test_strangers_see_and_tag_nothing(stranger: Caller, device: ProductInstance):
    assert stranger.get(f"{API}/search", {"q": "router"}).status_code == 404
    assert stranger.get(f"{API}/tags").status_code == 404
    assert assign(stranger, device, add=["x"]).status_code == 404
