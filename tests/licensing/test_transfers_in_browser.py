"""Transfers and the hierarchy in a real Chromium: by keys alone, on a phone, in both colours, with a screen reader."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import SmartAccount, User, VirtualAccount
from licensing.models import License, Pool, ProductInstance
from licensing.services.pools.fold import fold_due
from tests.accessibility import find_violations
from tests.conftest import NOW
from tests.licensing.families import import_cuwl
from tests.licensing.stock import deliver, line, live, make_instance, use
from tests.portal.test_in_browser import browser, open_page  # noqa: F401  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
VA = "/accounts/acme.example/inventory/Engineering/"
LICENSES, WIZARD = f"{VA}licenses/", f"{VA}licenses/transfer/"
PHONE = 360
SIZES = [(PHONE, "light"), (1280, "dark")]


@pytest.fixture
def cuwl(engineering: VirtualAccount, transactional_db: None) -> dict[str, License]:
    """Engineering owns 100 CUWL, of which 10 are used and 50 lent, and 20 that end; DEFAULT is 3 short."""
    licenses = import_cuwl(NOW)
    ends = {"licenseType": "TERM", "startDate": "2026-01-01", "endDate": "2036-01-01"}
    deliver(engineering, line(licenses["CUWL"], 100), line(licenses["CUWL"], 20, **ends), now=NOW)
    device = make_instance(engineering, NOW)
    ProductInstance.objects.filter(pk=device.pk).update(hostname="edge-1.acme.example")
    use(device, licenses["CUWL"], 10, NOW)
    use(device, licenses["EPLUS"], 50, NOW)
    default = VirtualAccount.objects.get(smart_account=engineering.smart_account, is_default=True)
    use(make_instance(default, NOW), licenses["CUWL"], 3, NOW)
    fold_due(now=NOW)
    return licenses


@pytest.fixture
def as_operator(acme: SmartAccount) -> None:
    """alice runs the installation, too."""
    User.objects.update(is_staff=True)


def look(page: Page, name: str, width: int) -> None:
    """Fits, and is accessible; a picture is kept where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    # On a phone the markup is the same.
    assert find_violations(page, markup=width > PHONE) == [], name


def test_a_license_is_transferred_by_keys_alone(open_page: Callable[..., Page], cuwl: Any, default_va: VirtualAccount):  # noqa: F811  # the fixture
    page = open_page(LICENSES)
    page.get_by_role("link", name="Transfer CUWL").press("Enter")
    dialog = page.get_by_role("dialog", name="Transfer CUWL")
    expect(dialog.get_by_label("Quantity")).to_be_focused()
    page.keyboard.type("61")
    dialog.get_by_label("Transfer to").select_option("DEFAULT")
    page.keyboard.press("Tab")
    dialog.get_by_role("button", name="Continue").press("Enter")
    expect(dialog).to_contain_text("61 asked for, but only 60 are free")
    dialog.get_by_label("Quantity").fill("5")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{WIZARD}?step=review")
    expect(page.get_by_role("region", name="Licenses before and after")).to_contain_text("-3 → 2")
    page.get_by_role("button", name="Transfer").press("Enter")
    page.wait_for_url("**/licenses/transfers/*/")
    expect(page.get_by_role("status").first).to_contain_text("5 licenses were transferred from Engineering to DEFAULT")
    assert live(cuwl["CUWL"], default_va, NOW).now_purchased == 5


def test_chosen_rows_get_lines_and_another_one_by_its_button(open_page: Callable[..., Page], cuwl: Any):  # noqa: F811  # the fixture
    page = open_page(LICENSES)
    page.get_by_label("Select CUWL").check()
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.wait_for_url(f"**{WIZARD}")
    page.get_by_label("Quantity, line 1: CUWL").fill("2")
    page.get_by_role("button", name="Another line for CUWL").click()
    expect(page.get_by_label("Quantity, line 2: CUWL")).to_be_focused()
    expect(page.get_by_label("Quantity, line 1: CUWL")).to_have_value("2")
    page.get_by_label("Quantity, line 2: CUWL").fill("0")
    page.get_by_label("Transfer to", exact=True).select_option("DEFAULT")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Quantity, line 2: CUWL")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Quantity, line 2: CUWL")).to_be_focused()


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_the_pages_of_a_transfer_fit_and_are_accessible(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    cuwl: dict[str, License],
    width: int,
    theme: str,
):
    pools = {pool.license.tag: pool.pk for pool in Pool.objects.filter(virtual_account__name="Engineering")}
    page = open_page(LICENSES, width=width, theme=theme)
    look(page, "licenses", width)
    page.get_by_role("link", name="Transfer CUWL").click()
    expect(page.get_by_role("dialog").get_by_label("Quantity")).to_be_focused()
    look(page, "dialog", width)
    page.goto(f"{WIZARD}?license={pools['CUWL']},{pools['EPLUS']}&quantity=4&target=DEFAULT")
    look(page, "lines", width)
    page.get_by_role("button", name="Continue").click()
    look(page, "lines-refused", width)
    page.get_by_label("Quantity, line 2: Enhanced Plus").fill("")
    page.get_by_label("Transfer to, line 2: Enhanced Plus").select_option("")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**?step=review")
    look(page, "review", width)
    page.get_by_role("button", name="Transfer").click()
    page.wait_for_url("**/licenses/transfers/*/")
    look(page, "result", width)
    page.goto(f"{WIZARD}file/")
    look(page, "file", width)
    page.get_by_label("Or paste the lines here").fill(
        "license,quantity,targetVirtualAccount\nCUWL,0,DEFAULT\nCUWL,1,Mars"
    )
    page.get_by_role("button", name="Continue").click()
    look(page, "file-refused", width)


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_the_pages_of_moving_instances_fit_and_are_accessible(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    cuwl: dict[str, License],
    width: int,
    theme: str,
):
    page = open_page(f"{VA}instances/", width=width, theme=theme)
    look(page, "instances", width)
    page.get_by_role("link", name="Transfer edge-1").click()
    look(page, "move-target", width)
    page.get_by_label("Transfer to").select_option("DEFAULT")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**?step=review")
    look(page, "move-review", width)
    page.get_by_role("button", name="Transfer").click()
    expect(page.get_by_text("1 of 1 product instance was transferred")).to_be_visible()
    look(page, "move-done", width)


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_the_pages_of_the_hierarchy_fit_and_are_accessible(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    cuwl: dict[str, License],
    as_operator: None,
    width: int,
    theme: str,
):
    page = open_page("/operator/families/", width=width, theme=theme)
    look(page, "families", width)
    page.get_by_role("link", name="CUWL").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("CUWL")
    look(page, "family", width)
    page.get_by_role("link", name="Change what is higher than Enhanced Plus").click()
    expect(page.get_by_label("Next higher license")).to_be_visible()
    look(page, "higher", width)
    page.get_by_label("Next higher license").select_option("")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**?step=review")
    look(page, "higher-review", width)
