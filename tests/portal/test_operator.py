from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import AccessRequest, Membership, SmartAccount, User
from accounts.services.access_requests import request_new_account
from accounts.services.actors import actor_for_user
from accounts.states import RequestStatus
from cssm.common.permissions import Role
from tests.conftest import NOW
from tests.portal.markup import check_page

PAGES = ("", "requests/", "keys/", "jobs/", "accounts/acme.example/flags/")


@pytest.fixture
def wish(mallory: User) -> AccessRequest:
    return request_new_account(
        actor=actor_for_user(mallory), domain="initech.example", name="Initech", note="please", now=NOW
    )


@pytest.mark.parametrize("page", PAGES)
def test_only_operators_enter_the_operator_area(alice_client: Client, olivia_client: Client, client: Client, page: str):
    check_page(olivia_client.get(f"/operator/{page}"))
    check_page(alice_client.get(f"/operator/{page}"), status=403)
    assert client.get(f"/operator/{page}").status_code == 302


def test_the_operator_sees_every_account(olivia_client: Client, acme: SmartAccount, umbrella: SmartAccount):
    page = check_page(olivia_client.get("/operator/"))
    domains = {cell.text_content() for cell in page.xpath("//td[@data-label='Domain']")}
    assert domains == {"acme.example", "umbrella.example"}


def test_approving_a_request_creates_the_account(olivia_client: Client, wish: AccessRequest):
    page = check_page(olivia_client.get("/operator/requests/"))
    assert page.xpath(f"//a[@href='/operator/requests/{wish.pk}/approve/'][@data-dialog]")
    check_page(olivia_client.get(f"/operator/requests/{wish.pk}/approve/"))
    assert not SmartAccount.objects.filter(domain="initech.example").exists()
    olivia_client.post(f"/operator/requests/{wish.pk}/approve/")
    assert Membership.objects.get(smart_account__domain="initech.example").role == Role.SA_ADMIN
    again = check_page(olivia_client.post(f"/operator/requests/{wish.pk}/approve/"), status=422)
    assert again.xpath("//div[@role='alert']")


def test_declining_needs_a_reason(olivia_client: Client, wish: AccessRequest):
    url = f"/operator/requests/{wish.pk}/decline/"
    check_page(olivia_client.post(url, {"reason": " "}), status=422)
    olivia_client.post(url, {"reason": "Not a customer."})
    wish.refresh_from_db()
    assert (wish.status, wish.reason) == (RequestStatus.DECLINED, "Not a customer.")


def test_others_decide_nothing(alice_client: Client, wish: AccessRequest):
    for verb in ("approve", "decline"):
        assert alice_client.post(f"/operator/requests/{wish.pk}/{verb}/", {"reason": "x"}).status_code == 403
    wish.refresh_from_db()
    assert wish.status == RequestStatus.PENDING


def test_the_operator_changes_the_flags_of_an_account(olivia_client: Client, acme: SmartAccount):
    olivia_client.post("/operator/accounts/acme.example/flags/", {"slr": "on", "export_status": "restricted"})
    acme.refresh_from_db()
    assert (acme.slr_enabled, acme.plr_enabled, acme.export_status) == (True, False, "restricted")
    check_page(olivia_client.post("/operator/accounts/acme.example/flags/", {"export_status": "?"}), status=422)
    check_page(olivia_client.get("/operator/accounts/nobody.example/flags/"), status=404)


def test_the_list_of_accounts_costs_no_more_with_more_of_them(
    olivia_client: Client, acme: SmartAccount, umbrella: SmartAccount, django_assert_max_num_queries: Callable[..., Any]
):
    with django_assert_max_num_queries(8):
        olivia_client.get("/operator/")
