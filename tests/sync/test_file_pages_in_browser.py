"""The file inbox in a real Chromium: files dropped onto the page, each told what became of it."""

import base64
import os
from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from licensing.models import License
from tests.accessibility import find_violations
from tests.programs import launch_chromium
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

PHONE = 360
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DROP = """([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  zone.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def page(live_server: LiveServer, alice: User) -> Iterator[Page]:
    """Alice is signed in; anything the console complains about fails the test."""
    client = Client()
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        chromium = launch_chromium(playwright)
        context = chromium.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        chromium.close()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    assert complaints == []


def check(page: Page) -> None:
    """It fits a phone and a desk, and a screen reader has nothing to complain of."""
    for width in (PHONE, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
        assert find_violations(page, markup=width > PHONE) == [], page.url


def test_files_are_dropped_compared_applied_and_shown(page: Page, registered: Plant, license: License):
    rows = [instance(id, uses={"tag_a": id}) for id in range(1, 40)]
    files = [("plant7.yaml", registered.write(account(1, "Engineering", *rows))), ("notes.txt", b"hello")]
    page.goto("/accounts/acme.example/onprem/upload/")
    page.get_by_label("Show what they would change first").check()
    zone = page.locator("[data-upload-zone]")
    zone.evaluate(f"(zone, files) => ({DROP})([zone, files])", [[n, base64.b64encode(d).decode()] for n, d in files])
    results = page.get_by_role("list").filter(has_text="plant7.yaml")
    expect(results).to_contain_text("39 added, 0 removed, 0 changed")
    expect(results).to_contain_text("SIGNATURE_INVALID")
    expect(page.locator("[data-upload-tally]")).to_have_text("2 files: 1 Compared, not applied · 1 Refused")
    expect(page.get_by_role("table", name="Files")).to_contain_text("only compared")
    check(page)
    page.get_by_role("link", name="What it would change").click()
    expect(page.locator("h1")).to_contain_text("Compared, not applied")
    page.get_by_role("link", name="Apply this file").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(page.get_by_role("link", name="Response for the server")).to_be_visible()
    check(page)
    page.get_by_role("link", name="All product instances that it changes").click()
    expect(page.get_by_role("table")).to_contain_text("+39 License A")
    waiting = registered.upload(registered.write(account(1, "Engineering"), full=True), in_background=True)
    page.goto(f"/accounts/acme.example/onprem/{waiting.server.uuid}/exchanges/{waiting.pk}/")
    expect(page.get_by_role("link", name="Cancel this file")).to_be_visible()
    check(page)
    page.get_by_role("link", name="Cancel this file").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the file").click()
    expect(page.locator("h1")).to_contain_text("Cancelled")
