"""The components in a real Chromium: what script does, keys, colours and what a screen reader is told."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from accounts.models import SmartAccount, User, VirtualAccount
from tests.accessibility import find_violations
from tests.conftest import NOW
from tests.programs import launch_chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/accounts/acme.example/inventory/"
PHONE, WIDEST = 360, 2560


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Playwright's loop runs in this thread, which Django takes for asynchronous code.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        chromium = launch_chromium(playwright)
        yield chromium
        chromium.close()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_page(browser: Browser, live_server: Any, alice: User, acme: SmartAccount) -> Iterator[Callable[..., Page]]:
    """A page in which alice is signed in; anything the console complains about fails the test."""
    VirtualAccount.objects.bulk_create(
        VirtualAccount(smart_account=acme, name=f"Site {number:02}", description="lab", created_at=NOW)
        for number in range(1, 60)
    )
    client = Client()
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    complaints: list[str] = []

    @cache
    def browse(width: int, theme: Any) -> BrowserContext:
        viewport: ViewportSize = {"width": width, "height": 800}
        context = browser.new_context(base_url=live_server.url, viewport=viewport, color_scheme=theme)
        contexts.callback(context.close)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        return context

    def open_(path: str, *, width: int = 1280, theme: str = "light") -> Page:
        page = browse(width, theme).new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    with ExitStack() as contexts:
        yield open_
    assert [text for text in complaints if "422" not in text] == []


def test_filtering_sorting_and_paging_replace_the_table_and_can_be_gone_back_from(open_page: Callable[..., Page]):
    page = open_page(LIST)
    page.evaluate("window.stayed = true")
    page.get_by_role("link", name="Name").press("Enter")
    expect(page).to_have_url(re.compile(r"\?sort=-name$"))
    expect(page.locator("tbody tr").first).to_contain_text("Site 59")
    expect(page.get_by_role("link", name="Name")).to_be_focused()
    page.get_by_role("searchbox").fill("site 07")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q=site(\+|%20)07&sort=-name$"))
    expect(page.locator("#live")).to_contain_text("1 row")
    assert page.evaluate("window.stayed")
    page.go_back()
    expect(page.locator("tbody tr").first).to_contain_text("Site 59")


def test_columns_are_chosen_without_leaving_the_page(open_page: Callable[..., Page]):
    page = open_page(LIST)
    page.get_by_text("Columns").click()
    page.get_by_role("checkbox", name="Identifier").check()
    expect(page.get_by_role("columnheader", name="Identifier")).to_be_visible()
    page.reload()
    expect(page.get_by_role("columnheader", name="Identifier")).to_be_visible()


def test_a_dialog_takes_the_focus_shows_mistakes_and_closes_by_escape(open_page: Callable[..., Page]):
    page = open_page("/accounts/acme.example/")
    opener = page.get_by_role("link", name="Ask for access")
    opener.click()
    dialog = page.get_by_role("dialog", name="Create a thing")
    expect(dialog.get_by_label("Description")).to_be_focused()
    dialog.get_by_label("Description").fill("taken")
    dialog.get_by_label("Quantity").fill("2")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_contain_text("There is one of this name.")
    expect(dialog.get_by_label("Description")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_success_in_a_dialog_shows_its_message_on_the_page(open_page: Callable[..., Page]):
    page = open_page("/accounts/acme.example/")
    page.get_by_role("link", name="Ask for access").click()
    page.get_by_label("Description").fill("new")
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(f"**{LIST}")
    expect(page.get_by_role("status").filter(has_text="The thing was created.")).to_be_visible()


def test_rows_are_chosen_one_by_one_in_ranges_and_all_and_changed_at_once(open_page: Callable[..., Page]):
    page = open_page("/accounts/acme.example/choose/")
    describe = page.get_by_role("button", name="Describe")
    bar = page.get_by_role("form", name="Chosen rows")
    expect(describe).to_be_disabled()
    page.get_by_label("All on this page").check()
    expect(bar).to_contain_text("50 selected")
    page.get_by_label("All on this page").uncheck()
    page.get_by_label("Select Site 03").press("Space")
    page.get_by_label("Select Site 06").click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 selected")
    describe.click()
    dialog = page.get_by_role("dialog", name="Describe 4 rows")
    dialog.get_by_label("Description").fill("taken")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("There is one of this name.")
    dialog.get_by_label("Description").fill("cellar")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="4 rows were described.")).to_be_visible()
    expect(page.locator("tbody tr", has_text="cellar")).to_have_count(4)


def test_after_turning_the_page_nothing_is_chosen(open_page: Callable[..., Page]):
    page = open_page("/accounts/acme.example/choose/")
    page.get_by_label("Select Site 03").check()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody")).to_contain_text("Site 59")
    expect(page.get_by_role("button", name="Describe")).to_be_disabled()
    expect(page.get_by_text("None selected")).to_be_visible()


def test_the_theme_follows_the_system_until_one_is_chosen(open_page: Callable[..., Page]):
    page = open_page("/accounts/acme.example/", theme="dark")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert [cookie["name"] for cookie in page.context.cookies() if cookie["name"] == "theme"] == []


def test_everything_is_reached_by_keys(open_page: Callable[..., Page]):
    page = open_page(LIST)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Search Acme")).to_be_focused()
    page.locator("summary", has_text="Alice").press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


def test_the_switcher_fetches_its_accounts_when_opened(open_page: Callable[..., Page]):
    page = open_page(LIST)
    page.locator(".switcher summary").click()
    page.locator(".switcher").get_by_role("link", name="Acme").click()
    page.wait_for_url("**/accounts/acme.example/")


@pytest.mark.parametrize(("width", "theme"), [(PHONE, "light"), (1280, "dark"), (WIDEST, "light")])
def test_pages_fit_and_are_accessible(open_page: Callable[..., Page], width: int, theme: str):
    chosen = "/accounts/acme.example/choose/"
    for path in (LIST, f"{LIST}?q=nothing", chosen, "/accounts/acme.example/create/", "/accounts/acme.example/wizard/"):
        page = open_page(path, width=width, theme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if width == WIDEST:
            continue  # the markup of the narrower ones
        assert find_violations(page, markup=width > PHONE) == [], path


def test_on_a_phone_rows_are_cards_that_name_their_values(open_page: Callable[..., Page]):
    page = open_page(LIST, width=360)
    first = page.locator("tbody tr").first
    box = first.bounding_box()
    assert box is not None
    assert box["height"] > 100
    assert first.locator("td").first.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Name"'
