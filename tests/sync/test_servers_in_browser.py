"""On-prem servers in a real Chromium: registered from the empty list to the file, on a phone and a desk."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.clock import read_clock
from licensing.models import License, LicenseFamily
from pki.services.authorities import bootstrap_authorities
from tests.keys import use_checked_in_keys
from tests.licensing.test_transfers_in_browser import look
from tests.portal.test_in_browser import browser, open_page  # noqa: F401  # fixtures
from tests.sync.conftest import Plant, parse
from tests.sync.files import account, instance

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ONPREM = "/accounts/acme.example/onprem/"


@pytest.fixture
def plant(
    acme: SmartAccount,
    engineering: VirtualAccount,
    alice: User,
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Plant:
    now = read_clock()
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=now)
    family = LicenseFamily.objects.create(name="a")
    License.objects.create(tag="tag_a", family=family, display_name="License A", default_type="perpetual")
    return Plant(actor_for_user(alice), engineering, now)


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (1280, "dark")])
def test_a_server_is_registered_and_looked_at(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    plant: Plant,
    tmp_path: Path,
    width: int,
    theme: str,
):
    page = open_page(ONPREM, width=width, theme=theme)
    look(page, "onprem-empty", width)
    page.get_by_role("link", name="New On-Prem").first.click()
    bad, good = tmp_path / "bad.yaml", tmp_path / "registration.yaml"
    good.write_bytes(plant.server.registration())
    bad.write_bytes(plant.server.registration(lcs_csr="-"))
    page.get_by_label("Registration file").set_input_files(bad)
    page.get_by_label("Virtual Account").select_option("Engineering")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("region", name="What is wrong with the file")).to_contain_text("CSR_INVALID")
    look(page, "onprem-refused", width)
    page.get_by_label("Registration file").set_input_files(good)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**?step=review")
    look(page, "onprem-review", width)
    page.get_by_role("button", name="Register the server").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the authorization file").click()
    assert download.value.suggested_filename.startswith("authorization_response_Plant_7")
    look(page, "onprem-authorization", width)
    plant.server.install(parse(download.value.path().read_bytes()))
    plant.now = plant.generated = read_clock()
    plant.synchronize(
        account(1, "Engineering", *(instance(n, uses={"tag_a": n}, hostname=f"edge-{n}") for n in (7, 8)))
    )
    for tail, name in (("", "server"), ("instances/", "instances"), ("exchanges/", "history"), ("../", "list")):
        page.goto(f"{ONPREM}{plant.server.uuid}/{tail}")
        look(page, f"onprem-{name}", width)
    page.goto(f"{ONPREM}{plant.server.uuid}/")
    page.get_by_role("link", name="Remove", exact=True).click()
    expect(page.get_by_role("dialog", name="Remove Plant 7")).to_contain_text("product instances, 2 in all")
    look(page, "onprem-remove", width)


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1280, "light")])
def test_an_operator_holds_the_3_tier_certificate_and_signs_it_early(
    open_page: Callable[..., Page],  # noqa: F811  # the fixture
    plant: Plant,
    alice: User,
    width: int,
    theme: str,
):
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    plant.register()
    page = open_page("/operator/onprem/", width=width, theme=theme)
    look(page, "operator-onprem", width)
    for what, told in (("Hold", "is held"), ("Sign", "is being signed")):
        page.get_by_role("link", name=f"{what} the 3-tier certificate of Plant 7").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Reason")).to_be_focused()
        expect(dialog).to_contain_text("is due on" if what == "Hold" else "is held; it was due on")
        look(page, f"operator-onprem-{what.lower()}", width)
        dialog.get_by_label("Reason").fill("asked for by telephone")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text(told)
