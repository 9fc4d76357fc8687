"""Follows every link of the portal, as each of the cast, and looks at every page and dialog it finds."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from accounts.models import AccessRequest, SmartAccount, User, VirtualAccount
from accounts.services.access_requests import request_new_account
from accounts.services.actors import actor_for_user
from licensing.services.devices.tokens import create_token
from tests.conftest import NOW
from tests.portal.markup import check_page, parse_page

# Not pages of ours: files, what signs out, and Django's admin with its own policy.
LEFT_OUT = ("/logout/", "/admin/", "/api/", "/static/", "/account/single-sign-on/")
MOST_PAGES = 150


@pytest.fixture(autouse=True)
def _whole_portal(_component_pages: None, settings: Any) -> None:
    settings.ROOT_URLCONF = "cssm.urls"


@pytest.fixture
def furnished(acme: SmartAccount, alice: User, bob: User, mallory: User, engineering: VirtualAccount) -> AccessRequest:
    """Something on most pages, so that rows and their actions are drawn too."""
    create_token(actor=actor_for_user(alice), virtual_account=engineering, description="lab", now=NOW)
    return request_new_account(
        actor=actor_for_user(mallory), domain="initech.example", name="Initech", note="please", now=NOW
    )


def crawl(client: Client, start: str) -> dict[str, int]:
    """The status of every page that links lead to, each checked on the way; query strings are left out."""
    seen: dict[str, int] = {}
    waiting = [start]
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        if path in seen or path.startswith(LEFT_OUT):
            continue
        response = client.get(path)
        seen[path] = response.status_code
        if response.status_code == 302:
            waiting.append(urlsplit(response.headers["Location"]).path)
        elif response.headers["Content-Type"].startswith("text/html"):
            page = check_page(response)
            waiting += [urlsplit(urljoin(path, href)).path for href in page.xpath("//a/@href") if "://" not in href]
            check_dialogs(client, page.xpath("//a[@data-dialog]/@href"))
    return seen


def check_dialogs(client: Client, links: list[str]) -> None:
    for link in links:
        response = client.get(link, headers={"HX-Request": "true", "HX-Target": "dialog"})
        assert response.status_code == 200, link
        part = parse_page(response)
        assert b"<html" not in response.content, link
        assert part.xpath("//*[@id='dialog-title']"), link


@pytest.mark.parametrize(("who", "least"), [("alice", 25), ("bob", 10), ("carol", 8), ("olivia", 8), ("mallory", 4)])
def test_no_link_of_the_portal_is_broken_and_every_page_is_sound(
    request: pytest.FixtureRequest, furnished: AccessRequest, client_of: Callable[[User], Client], who: str, least: int
):
    seen = crawl(client_of(request.getfixturevalue(who)), "/")
    assert {path: status for path, status in seen.items() if status not in (200, 302)} == {}
    assert len(seen) >= least, sorted(seen)


def test_the_pages_before_signing_in_are_sound(client: Client, db: None):
    seen = crawl(client, "/login/")
    assert {"/login/", "/signup/"} <= set(seen)
