"""Calls about accounts: what comes out, and for whom."""

import json
from pathlib import Path

import pytest

from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.access_requests import request_access, request_new_account
from accounts.services.actors import actor_for_user
from accounts.services.users import create_user
from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.common.permissions import Role
from tests.api.conftest import Caller, obtain_token

ACME = "/v1/accounts/acme.example"


def virtual_account_names(answer) -> list[str]:
    return [row["name"] for row in answer.json()["virtualAccounts"]]


def test_a_client_sees_its_account_with_its_roles(admin: Caller, va_user: Caller, umbrella: SmartAccount):
    body = admin.get("/v2/accounts").json()
    assert body["accounts"] == [
        {
            "accountDomain": "acme.example",
            "accountName": "Acme",
            "accountStatus": "ACTIVE",
            "accountType": "CUSTOMER",
            "roles": [{"role": "SA_ADMIN"}],
        }
    ]
    assert (body["totalRecords"], body["status"], body["statusMessage"]) == (1, "SUCCESS", "")
    limited = va_user.get("/v2/accounts").json()["accounts"][0]
    assert limited["roles"] == [{"role": "VA_USER", "virtualAccount": "Engineering"}]


def test_an_operator_sees_every_account(operator: Caller, acme: SmartAccount, umbrella: SmartAccount):
    body = operator.get("/v1/accounts/search", {"limit": "1", "offset": 1}).json()
    assert body["totalRecords"] == 2
    assert [row["domain"] for row in body["accounts"]] == ["umbrella.example"]


def test_accounts_are_found_by_part_of_the_domain_and_by_type(admin: Caller, acme: SmartAccount):
    found = admin.get("/v1/accounts/search", {"domain": "ACME", "type": "customer"}).json()
    row = {"domain": "acme.example", "name": "Acme", "id": str(acme.pk), "type": "CUSTOMER", "status": "ACTIVE"}
    assert found["accounts"] == [row]
    assert admin.get("/v1/accounts/search", {"domain": "umbrella"}).json()["totalRecords"] == 0
    assert admin.get("/v1/accounts/search", {"type": "PARTNER"}).json()["accounts"] == []


def test_the_account_tree_has_the_members_of_the_published_example(
    admin: Caller, va_user: Caller, acme: SmartAccount, engineering: VirtualAccount
):
    body = admin.get("/v2/accounts/search").json()
    assert list(body) == ["message_code", "accounts", "message", "status"]
    assert (body["message_code"], body["message"], body["status"]) == ("", "", "COMPLETE")
    (account,) = body["accounts"]
    assert {key: account[key] for key in ("account_id", "domain", "name")} == {
        "account_id": str(acme.pk),
        "domain": "acme.example",
        "name": "Acme",
    }
    names = {one["name"]: one for one in account["virtual_accounts"]}
    assert names["DEFAULT"]["default"] is True
    assert names["Engineering"] == {
        "default": False,
        "name": "Engineering",
        "virtual_account_id": str(engineering.pk),
    }
    (limited,) = va_user.get("/v2/accounts/search").json()["accounts"]
    assert [one["name"] for one in limited["virtual_accounts"]] == ["Engineering"]


@pytest.mark.parametrize("path", ["/virtual-accounts", "/customer/virtual-accounts"])
def test_virtual_accounts_are_listed_as_far_as_the_role_reaches(
    admin: Caller, va_user: Caller, operator: Caller, engineering: VirtualAccount, path: str
):
    body = admin.get(ACME + path).json()
    assert body["virtualAccounts"][0] == {
        "name": "DEFAULT",
        "description": "",
        "isDefault": "true",
        "commerceAccessLevel": "PUBLIC",
    }
    assert virtual_account_names(admin.get(ACME + path)) == ["DEFAULT", "Engineering"]
    assert virtual_account_names(va_user.get(ACME + path)) == ["Engineering"]
    assert virtual_account_names(operator.get(ACME + path)) == ["DEFAULT", "Engineering"]


def test_a_virtual_account_is_created_and_deleted(admin: Caller):
    made = admin.post(ACME + "/virtual-accounts", {"name": "Büro 2", "commerceAccessLevel": "private"})
    assert made.json()["virtualAccount"] == {
        "name": "Büro 2",
        "description": "",
        "isDefault": "false",
        "commerceAccessLevel": "PRIVATE",
    }
    gone = admin.post(ACME + "/virtual-accounts/B%C3%BCro%202/delete")
    assert gone.json() == {"status": "SUCCESS", "statusMessage": ""}
    assert virtual_account_names(admin.get(ACME + "/virtual-accounts")) == ["DEFAULT"]


def test_a_virtual_account_is_renamed_and_the_rest_of_it_stays(admin: Caller, viewer: Caller, engineering):
    path = ACME + "/virtual-accounts/Engineering/change"
    changed = admin.post(path, {"name": "Research", "commerceAccessLevel": "PRIVATE"}).json()["virtualAccount"]
    assert (changed["name"], changed["description"], changed["commerceAccessLevel"]) == ("Research", "", "PRIVATE")
    assert admin.post(path, {"name": "Lab"}).status_code == 404
    assert viewer.post(path.replace("Engineering", "Research"), {"name": "Lab"}).status_code == 403
    assert admin.post(path.replace("Engineering", "Research"), {"name": "default"}).status_code == 409


def test_a_client_is_made_beside_another_which_is_then_revoked(admin: Caller, engineering):
    path = ACME + "/api-clients"
    made = admin.post(path, {"name": "robot", "role": "VA_USER", "virtualAccount": "Engineering"}).json()
    robot = made["apiClient"]
    assert (robot["name"], robot["role"], robot["virtualAccount"]) == ("robot", "VA_USER", "Engineering")
    token = obtain_token(robot["clientId"], made["clientSecret"])
    assert virtual_account_names(Caller(token).get(ACME + "/virtual-accounts")) == ["Engineering"]
    assert "clientSecret" not in admin.get(path).content.decode()
    assert [row["name"] for row in admin.get(path).json()["apiClients"]] == ["robot", "acme.example SA_ADMIN"]
    revoked = admin.post(path + "/revoke", {"clientId": robot["clientId"]}).json()["apiClient"]
    assert revoked["revoked"] is True
    assert Caller(token).get("/v2/accounts").status_code == 401


def test_a_client_of_another_company_is_not_revoked(admin: Caller, stranger: Caller):
    answer = admin.post(ACME + "/api-clients/revoke", {"clientId": stranger.client_id})
    assert answer.status_code == 404
    assert stranger.get("/v2/accounts").status_code == 200


def test_the_default_virtual_account_cannot_be_deleted(admin: Caller):
    answer = admin.post(ACME + "/virtual-accounts/DEFAULT/delete")
    assert (answer.status_code, answer.json()["code"]) == (409, "DEFAULT_VIRTUAL_ACCOUNT")


READS = [
    (ACME + "/virtual-accounts", {"admin", "va_user", "viewer", "operator"}),
    (ACME + "/customer/virtual-accounts", {"admin", "va_user", "viewer", "operator"}),
    (ACME + "/users", {"admin"}),
    (ACME + "/access-requests", {"admin"}),
    (ACME + "/api-clients", {"admin"}),
    (ACME + "/events", {"admin", "approver", "operator"}),
    (ACME + "/virtual-accounts/Engineering/events", {"admin", "va_user", "viewer", "operator"}),
    ("/v1/operator/access-requests", {"operator"}),
]
CHANGES = [
    (ACME + "/virtual-accounts", {"name": "Lab"}, {"admin"}),
    (ACME + "/virtual-accounts/Engineering/delete", None, {"admin"}),
    (ACME + "/users", {"email": "dora@acme.example", "role": "SA_VIEWER"}, {"admin"}),
    (ACME + "/api-clients", {"role": "SA_VIEWER"}, {"admin"}),
    ("/v1/operator/accounts/acme.example/flags", {"plr": False}, {"operator"}),
]
ROLES = ["admin", "va_user", "viewer", "approver", "operator"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("path", "allowed"), READS)
def test_each_role_reads_what_the_table_of_rights_says(request, engineering, path: str, allowed: set[str], role: str):
    caller: Caller = request.getfixturevalue(role)
    expected = 200 if role in allowed else 403
    assert caller.get(path).status_code == expected


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("path", "body", "allowed"), CHANGES)
def test_each_role_changes_what_the_table_of_rights_says(
    request, engineering, path: str, body, allowed: set[str], role: str
):
    caller: Caller = request.getfixturevalue(role)
    before = (
        list(VirtualAccount.objects.values()),
        list(Membership.objects.values()),
        list(SmartAccount.objects.values()),
    )
    answer = caller.post(path, body)
    assert answer.status_code == (200 if role in allowed else 403)
    if role not in allowed:
        assert before == (
            list(VirtualAccount.objects.values()),
            list(Membership.objects.values()),
            list(SmartAccount.objects.values()),
        )


@pytest.mark.parametrize("path", [path for path, _ in READS if path.startswith(ACME)])
def test_a_strangers_account_is_not_there(stranger: Caller, engineering, path: str):
    answer = stranger.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer.json()["statusMessage"] == stranger.get(path.replace("acme", "nowhere")).json()["statusMessage"]


@pytest.mark.parametrize(("path", "body"), [(path, body) for path, body, _ in CHANGES if path.startswith(ACME)])
def test_a_stranger_changes_nothing(stranger: Caller, engineering, path: str, body):
    assert stranger.post(path, body).status_code == 404
    assert VirtualAccount.objects.live().filter(smart_account__domain="acme.example").count() == 2


def test_another_virtual_account_is_not_there_for_a_limited_client(va_user: Caller, default_va):
    assert va_user.get(ACME + "/virtual-accounts/DEFAULT/events").status_code == 404
    assert va_user.get(ACME + "/virtual-accounts/engineering/events").status_code == 200


def test_roles_are_given_changed_and_taken(admin: Caller, engineering: VirtualAccount):
    wanted = {"email": "Dora@Acme.example", "role": "va_viewer", "virtualAccount": "Engineering"}
    given = admin.post(ACME + "/users", {**wanted, "name": "Dora"}).json()["user"]
    row = {"email": "dora@acme.example", "name": "Dora", "role": "VA_VIEWER", "virtualAccount": "Engineering"}
    assert given == row
    changed = admin.post(ACME + "/users/change-role", {**wanted, "newRole": "VA_ADMIN"}).json()["user"]
    assert changed == {**row, "role": "VA_ADMIN"}
    assert admin.post(ACME + "/users/remove", wanted).status_code == 404
    assert admin.post(ACME + "/users/remove", {**wanted, "role": "VA_ADMIN"}).status_code == 200
    assert [user["email"] for user in admin.get(ACME + "/users").json()["users"]] == ["alice@acme.example"]


def test_the_last_administrator_stays(admin: Caller):
    answer = admin.post(ACME + "/users/remove", {"email": "alice@acme.example", "role": "SA_ADMIN"})
    assert (answer.status_code, answer.json()["code"]) == (409, "LAST_ADMIN")


def test_a_manager_of_one_virtual_account_sees_and_makes_users_of_that_alone(caller_for, engineering, default_va):
    manager = caller_for(Role.VA_ADMIN, engineering)
    member = {"email": "dora@acme.example", "role": "VA_USER"}
    assert manager.post(ACME + "/users", {**member, "virtualAccount": "Engineering"}).status_code == 200
    assert manager.post(ACME + "/users", {**member, "virtualAccount": "DEFAULT"}).status_code == 404
    assert manager.post(ACME + "/users", {"email": "dora@acme.example", "role": "SA_ADMIN"}).status_code == 403
    assert [user["email"] for user in manager.get(ACME + "/users").json()["users"]] == ["dora@acme.example"]


def test_access_is_approved_and_declined(admin: Caller, operator: Caller, engineering: VirtualAccount):
    dora = create_user(actor=SYSTEM, email="dora@acme.example", now=read_clock())
    mine = request_access(actor=actor_for_user(dora), domain="acme.example", note="please", now=read_clock())
    new = request_new_account(actor=actor_for_user(dora), domain="dora.example", name="Dora", now=read_clock())
    (row,) = admin.get(ACME + "/access-requests").json()["accessRequests"]
    assert (row["id"], row["requester"], row["note"], row["status"]) == (mine.pk, dora.email, "please", "pending")
    role = {"role": "VA_USER", "virtualAccount": "Engineering"}
    assert admin.post(f"{ACME}/access-requests/{new.pk}/approve", role).status_code == 404
    approved = admin.post(f"{ACME}/access-requests/{mine.pk}/approve", role)
    assert approved.json()["accessRequest"]["status"] == "approved"
    assert admin.post(f"{ACME}/access-requests/{mine.pk}/decline", {"reason": "late"}).status_code == 409
    declined = operator.post(f"/v1/operator/access-requests/{new.pk}/decline", {"reason": "no contract"})
    assert (declined.status_code, declined.json()["accessRequest"]["reason"]) == (200, "no contract")
    assert operator.post(f"/v1/operator/access-requests/{mine.pk}/approve").status_code == 404


def test_the_event_log_names_the_client_that_changed_something(admin: Caller, va_user: Caller):
    admin.post(ACME + "/virtual-accounts", {"name": "Lab"})
    newest = admin.get(ACME + "/events", {"limit": 1}).json()["events"][0]
    assert newest["name"] == "virtual_account.created"
    assert newest["message"] == 'The Virtual Account "Lab" was created.'
    assert newest["user"] == "API client acme.example SA_ADMIN"
    assert newest["virtualAccount"] == "Lab"
    assert admin.get(ACME + "/events", {"name": "account.created"}).json()["totalRecords"] == 1
    assert admin.get(ACME + "/virtual-accounts/Lab/events").json()["totalRecords"] == 1
    assert va_user.get(ACME + "/virtual-accounts/Lab/events").status_code == 404


def test_the_operator_sets_the_flags(operator: Caller, acme: SmartAccount):
    path = "/v1/operator/accounts/acme.example/flags"
    answer = operator.post(path, {"plr": False, "exportStatus": "RESTRICTED"}).json()
    assert answer == {
        "domain": "acme.example",
        "slr": True,
        "plr": False,
        "exportStatus": "restricted",
        "status": "SUCCESS",
        "statusMessage": "",
    }
    acme.refresh_from_db()
    assert (acme.slr_enabled, acme.plr_enabled, acme.export_status) == (True, False, "restricted")


def test_a_person_is_not_an_api_client(alice_client, acme: SmartAccount, alice: User):
    assert alice_client.get(Caller(None).base + "/v2/accounts").status_code == 401


def test_the_checked_in_description_lists_every_call():
    text = (Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml").read_text()
    assert "/services/api/smart-accounts-and-licensing/v2/accounts/search:" in text
    assert json.dumps("/backend/api/v1") not in text
