"""The pages that manage a Smart Account, by each of the cast."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AccessRequest, ApiClient, Event, Membership, SmartAccount, User, VirtualAccount
from accounts.services.access_requests import request_access
from accounts.services.api_clients import create_api_client
from accounts.services.members import add_member
from cssm.common.permissions import Role

HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def asked(acme, mallory, actor_of, now):
    return request_access(actor=actor_of(mallory), domain="acme.example", note="please", now=now)


@pytest.fixture
def pages(acme, engineering, bob, asked, alice, actor_of, now):
    """Every URL of the area, by name."""
    client, _ = create_api_client(actor=actor_of(alice), smart_account=acme, role=Role.SA_USER, now=now)
    member = Membership.objects.get(user=bob)
    keys = {
        "manage": (),
        "rename": (),
        "accept-agreement": (),
        "users": (),
        "add-user": (),
        "change-role": (member.pk,),
        "remove-user": (member.pk,),
        "virtual-accounts": (),
        "create-virtual-account": (),
        "change-virtual-account": (engineering.pk,),
        "delete-virtual-account": (engineering.pk,),
        "access-requests": (),
        "approve-request": (asked.pk,),
        "decline-request": (asked.pk,),
        "api-clients": (),
        "create-api-client": (),
        "revoke-api-client": (client.pk,),
    }
    return {name: reverse(f"accounts:{name}", args=("acme.example", *args)) for name, args in keys.items()}


def statuses(client, pages):
    return {name: client.get(url).status_code for name, url in pages.items()}


def test_an_administrator_opens_everything_as_page_and_as_dialog(alice_client, pages):
    assert set(statuses(alice_client, pages).values()) == {200}
    for name, url in pages.items():
        part = alice_client.get(url, **HTMX)
        assert part.status_code == 200, name


def test_members_see_the_account_and_nothing_to_manage(bob_client, carol_client, pages):
    for client in (bob_client, carol_client):
        found = statuses(client, pages)
        assert found.pop("manage") == 200
        assert set(found.values()) == {403}


def test_to_a_stranger_no_page_exists(mallory_client, pages):
    assert set(statuses(mallory_client, pages).values()) == {404}


def test_the_operator_looks_but_does_not_manage(olivia_client, pages):
    found = statuses(olivia_client, pages)
    assert found.pop("manage") == 200
    assert set(found.values()) == {403}


def test_nobody_gets_in_without_signing_in(client, pages):
    for url in pages.values():
        answer = client.get(url)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/login/?next=")


def test_posting_without_the_right_changes_nothing(bob_client, mallory_client, olivia_client, pages):
    events = Event.objects.count()
    for client in (bob_client, mallory_client, olivia_client):
        for name, url in pages.items():
            if name not in ("manage", "users", "virtual-accounts", "access-requests", "api-clients"):
                answer = client.post(url, {"name": "x", "role": "SA_ADMIN", "email": "x@x.example", "reason": "x"})
                assert answer.status_code in (403, 404), name
    assert Event.objects.count() == events


def test_ids_of_another_account_are_not_found_in_ones_own(mallory_client, umbrella, pages):
    for name in ("change-role", "remove-user", "change-virtual-account", "approve-request", "revoke-api-client"):
        url = pages[name].replace("acme.example", "umbrella.example")
        assert mallory_client.get(url).status_code == 404
        assert mallory_client.post(url, {"role": "SA_VIEWER", "name": "x"}).status_code in (404, 422)
    assert VirtualAccount.objects.get(name="Engineering")
    assert AccessRequest.objects.pending().count() == 1


def test_who_administers_two_accounts_keeps_them_apart(alice_client, alice, umbrella, mallory, actor_of, now, pages):
    add_member(actor=actor_of(mallory), smart_account=umbrella, email=alice.email, role=Role.SA_ADMIN, now=now)
    for name in ("change-role", "change-virtual-account", "approve-request", "revoke-api-client"):
        assert alice_client.get(pages[name]).status_code == 200
        assert alice_client.get(pages[name].replace("acme.example", "umbrella.example")).status_code == 404


def test_a_user_is_added_changed_and_removed(alice_client, acme, engineering, pages):
    url = pages["add-user"]
    form = {"email": "zoe@acme.example", "name": "Zoe", "role": "VA_USER", "virtual_account": engineering.pk}
    assert alice_client.post(url, form).status_code == 302
    row = Membership.objects.get(user__email="zoe@acme.example")
    assert alice_client.post(url, form).status_code == 422
    page = alice_client.get(pages["users"]).content.decode()
    assert "zoe@acme.example" in page
    assert "your own" in page
    change = reverse("accounts:change-role", args=("acme.example", row.pk))
    assert alice_client.post(change, {"role": "VA_ADMIN"}).status_code == 302
    assert Membership.objects.get(pk=row.pk).role == Role.VA_ADMIN
    alice_client.post(reverse("accounts:remove-user", args=("acme.example", row.pk)))
    assert not Membership.objects.filter(pk=row.pk).exists()


def test_a_refusal_is_shown_beside_its_field(alice_client, pages):
    answer = alice_client.post(pages["add-user"], {"email": "z@acme.example", "role": "VA_USER"})
    assert answer.status_code == 422
    assert "A VA role is given on a Virtual Account" in answer.content.decode()
    answer = alice_client.post(pages["create-virtual-account"], {"name": "default", "access_level": "PUBLIC"})
    assert "There is already a Virtual Account" in answer.content.decode()


def test_a_va_admin_offers_only_what_can_be_given(acme, alice, engineering, default_va, client_of, actor_of, now):
    add_member(
        actor=actor_of(alice),
        smart_account=acme,
        email="vera@acme.example",
        role=Role.VA_ADMIN,
        virtual_account=engineering,
        now=now,
    )
    client = client_of(User.objects.get(email="vera@acme.example"))
    page = client.get(reverse("accounts:add-user", args=("acme.example",))).content.decode()
    assert 'value="VA_ADMIN"' in page
    assert 'value="SA_' not in page
    assert "Engineering" in page
    assert "DEFAULT" not in page
    assert "alice@acme.example" not in client.get(reverse("accounts:users", args=("acme.example",))).content.decode()


def test_a_clients_secret_is_shown_once(alice_client, pages):
    for headers in ({}, HTMX):
        answer = alice_client.post(pages["create-api-client"], {"name": "erp", "role": "SA_USER"}, **headers)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        secret = re.findall(r'data-copy="([^"]+)"', answer.content.decode())[1]
        client = ApiClient.objects.latest("pk")
        assert secret not in alice_client.get(pages["api-clients"]).content.decode()
        assert client.client_id in alice_client.get(pages["api-clients"]).content.decode()
    revoke = reverse("accounts:revoke-api-client", args=("acme.example", client.pk))
    assert alice_client.post(revoke).status_code == 302
    client.refresh_from_db()
    assert client.revoked_at


def test_a_request_is_made_and_approved_in_the_portal(mallory_client, alice_client, acme, mallory, engineering):
    for _, status in ((1, 302), (2, 422)):
        answer = mallory_client.post("/requests/access/", {"domain": "acme.example", "note": "please"})
        assert answer.status_code == status
    assert "acme.example" in mallory_client.get("/requests/").content.decode()
    row = AccessRequest.objects.get()
    assert mallory.email in alice_client.get("/accounts/acme.example/manage/access-requests/").content.decode()
    url = reverse("accounts:approve-request", args=("acme.example", row.pk))
    assert alice_client.post(url, {"role": "VA_VIEWER", "virtual_account": engineering.pk}).status_code == 302
    assert mallory_client.get("/accounts/acme.example/manage/").status_code == 200
    assert alice_client.post(url, {"role": "SA_VIEWER"}).status_code == 422


def test_a_new_account_is_asked_for(mallory_client, acme):
    form = {"domain": "Hive.example", "name": "Hive"}
    assert mallory_client.post("/requests/new-account/", form).status_code == 302
    assert AccessRequest.objects.get().domain == "hive.example"
    taken = mallory_client.post("/requests/new-account/", {"domain": "acme.example", "name": "x"})
    assert taken.status_code == 422
    unknown = mallory_client.post("/requests/access/", {"domain": "nowhere.example"})
    assert "There is no Smart Account nowhere.example" in unknown.content.decode()


def test_virtual_accounts_are_managed(alice_client, acme, pages):
    form = {"name": "Lab", "description": "West", "access_level": "PRIVATE"}
    assert alice_client.post(pages["create-virtual-account"], form).status_code == 302
    row = VirtualAccount.objects.get(name="Lab")
    change = reverse("accounts:change-virtual-account", args=("acme.example", row.pk))
    assert alice_client.post(change, {**form, "name": "Lab 2"}).status_code == 302
    assert "Lab 2" in alice_client.get(pages["virtual-accounts"]).content.decode()
    delete = reverse("accounts:delete-virtual-account", args=("acme.example", row.pk))
    assert "Users lose the roles" in alice_client.get(delete).content.decode()
    assert alice_client.post(delete).status_code == 302
    assert alice_client.get(delete).status_code == 404


def test_the_account_is_renamed_and_the_agreement_accepted(alice_client, acme, pages):
    alice_client.post(pages["rename"], {"name": "Acme Ltd"})
    alice_client.post(pages["accept-agreement"])
    account = SmartAccount.objects.get(pk=acme.pk)
    assert account.name == "Acme Ltd"
    assert account.agreement_accepted_at


def test_what_people_write_is_never_markup(alice_client, acme, mallory, actor_of, now, pages):
    note = "<script>alert(1)</script>"
    AccessRequest.objects.update(note=note, status="declined", reason=note)
    page = alice_client.get(pages["access-requests"]).content.decode()
    assert note not in page
    assert "&lt;script&gt;" in page


def test_the_profile_is_kept(alice_client, alice):
    assert alice_client.post("/profile/", {"name": " Alice  A ", "time_zone": "Europe/Berlin"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.time_zone) == ("Alice A", "Europe/Berlin")
    assert alice_client.post("/profile/", {"name": "x", "time_zone": "Mars/Base"}).status_code == 422


@pytest.mark.parametrize("path", ["", "accounts/user/", "accounts/apiclient/", "accounts/event/", "mfa/authenticator/"])
def test_the_admin_is_for_inspection_by_operators(olivia_client, alice_client, acme, umbrella, path):
    assert olivia_client.get(f"/admin/{path}").status_code == 200
    assert alice_client.get(f"/admin/{path}").status_code == 302


def test_the_admin_shows_no_secret_and_changes_nothing(olivia_client, acme, alice, actor_of, now):
    client, _ = create_api_client(actor=actor_of(alice), smart_account=acme, role=Role.SA_USER, now=now)
    page = olivia_client.get(f"/admin/accounts/apiclient/{client.pk}/change/")
    assert page.status_code == 200
    assert client.client_secret not in page.content.decode()
    assert olivia_client.post(f"/admin/accounts/user/{alice.pk}/change/", {"name": "x"}).status_code == 403
    assert olivia_client.get("/admin/accounts/user/add/").status_code == 403


def test_the_number_of_queries_does_not_grow_with_the_rows(alice_client, acme, alice, actor_of, now, pages):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            alice_client.get(pages["users"])
        return len(captured)

    queries()  # the first visit also remembers the account in the session
    before = queries()
    for number in range(10):
        add_member(
            actor=actor_of(alice), smart_account=acme, email=f"u{number}@acme.example", role=Role.SA_USER, now=now
        )
    assert queries() == before
