"""What a license administrator does and sees, in a real Chromium against the running product."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.flows.stack import Stack, wait_for
from tests.flows.test_shortage_journey import LICENSE, Journey
from tests.programs import launch_chromium

pytestmark = [pytest.mark.browser]
VA = "Browser"


@pytest.fixture
def journey(stack: Stack, demo: dict[str, Any], tmp_path: Path) -> Journey:
    return Journey(stack, demo, tmp_path, VA)


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        page = browser.new_page(base_url=stack.url, viewport={"width": 1280, "height": 900})
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
        assert complaints == []


def sign_in(page: Page, demo: dict[str, Any], email: str) -> None:
    password = next(user["password"] for user in demo["users"] if user["email"] == email)
    page.goto("/login/")
    page.locator("input[name=login]").fill(email)
    page.locator("input[name=password]").fill(password)
    page.locator("main button[type=submit]").first.click()
    page.wait_for_url("**/accounts/acme.example/")


def test_an_administrator_creates_a_token_and_sees_the_device_the_shortage_and_its_cure(
    page: Page, journey: Journey, demo: dict[str, Any]
):
    journey.order(1, "BROWSER-1")
    sign_in(page, demo, "alice@acme.example")

    page.goto(f"/accounts/acme.example/inventory/{VA}/general/")
    page.get_by_role("link", name="New token").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Description").fill("Made in a browser")
    dialog.get_by_role("button", name="Create token").click()
    token = dialog.locator("#token-value").inner_text().strip()
    assert len(token) > 80
    dialog.get_by_role("link", name="Done").click()
    expect(page.get_by_role("table")).to_contain_text("Made in a browser")

    state = journey.register("BRW0000001", token)
    assert journey.authorize(state, 1) == "AUTHORIZED"
    page.locator("nav.tabs").get_by_role("link", name="Product Instances").click()
    expect(page.get_by_role("table")).to_contain_text("BRW0000001")

    assert journey.authorize(state, 3) == "OUT_OF_COMPLIANCE"
    page.locator("nav.tabs").get_by_role("link", name="Licenses").click()
    row = page.get_by_role("row", name=LICENSE)
    expect(row).to_contain_text("Out Of Compliance")
    expect(row).to_contain_text("-2")
    wait_for(lambda: journey.open_alerts(), seconds=20, what="the alert")
    page.goto("/accounts/acme.example/alerts/")
    expect(page.get_by_role("table")).to_contain_text(f"{VA}: {LICENSE}")

    journey.order(2, "BROWSER-2")
    page.goto(f"/accounts/acme.example/inventory/{VA}/licenses/")
    expect(page.get_by_role("row", name=LICENSE)).to_contain_text("In Compliance")
    page.get_by_role("link", name=LICENSE, exact=True).click()
    expect(dialog).to_contain_text("Changes of compliance")
    expect(dialog).to_contain_text("BROWSER-2")
    wait_for(lambda: journey.open_alerts() == [], seconds=20, what="the end of the alert")
