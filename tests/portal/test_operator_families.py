"""The operator's pages about the hierarchy of licenses."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import VirtualAccount
from licensing.models import HierarchyVersion, License
from licensing.services.pools.fold import fold_due
from tests.conftest import NOW
from tests.licensing.families import import_cuwl
from tests.licensing.stock import deliver, line, make_instance, make_license, use
from tests.portal.markup import check_page


@pytest.fixture
def cuwl(db: None) -> dict[str, License]:
    return import_cuwl(NOW)


def text_of(page: Any) -> str:
    return " ".join(" ".join(page.itertext()).split())


def test_families_are_listed_as_trees_and_single_licenses_are_found_by_name(
    olivia_client: Client, cuwl: dict[str, License]
):
    make_license("ROUTER", NOW)
    page = check_page(olivia_client.get("/operator/families/"))
    (row,) = page.xpath("//tbody/tr")
    assert text_of(row).startswith("CUWL CUWL Enhanced Plus Enhanced 3 1")
    assert "ROUTER name" not in text_of(page)
    assert "ROUTER name" in text_of(check_page(olivia_client.get("/operator/families/?q=ROUTER")))
    assert "ROUTER name" in text_of(check_page(olivia_client.get("/operator/families/?kind=all")))
    assert "CUWL" in text_of(check_page(olivia_client.get("/operator/families/?q=ENH")))


def test_a_change_is_reviewed_with_the_accounts_whose_compliance_it_changes_and_kept_in_the_history(
    olivia_client: Client, cuwl: dict[str, License], engineering: VirtualAccount
):
    deliver(engineering, line(cuwl["CUWL"], 10), now=NOW)
    use(make_instance(engineering, NOW), cuwl["EPLUS"], 3, NOW)
    fold_due(now=NOW)
    family = f"/operator/families/{cuwl['CUWL'].family_id}/"
    url = f"/operator/licenses/{cuwl['EPLUS'].pk}/higher/"
    assert check_page(olivia_client.get(family)).xpath(f"//a[@href='{url}']")
    form = check_page(olivia_client.get(url))
    assert form.xpath("//select[@name='higher']/option[@selected]/@value") == ["CUWL"]
    answer = olivia_client.post(f"{url}?step=higher", {"higher": ""})
    review = check_page(olivia_client.get(answer.headers["Location"]))
    assert "1 Virtual Account changes compliance." in text_of(review)
    assert "acme.example Engineering Enhanced Plus 0 → -3 In Compliance → Out Of Compliance" in text_of(review)
    assert HierarchyVersion.objects.count() == 1
    key = review.xpath("//input[@name='key']/@value")[0]
    for _ in range(2):
        assert olivia_client.post(f"{url}?step=review", {"key": key}).headers["Location"] == family
    assert HierarchyVersion.objects.filter(family=cuwl["CUWL"].family).count() == 2
    page = text_of(check_page(olivia_client.get(family)))
    assert "Enhanced Plus : CUWL → none" in page.replace("Plus:", "Plus :")


def test_what_changes_nothing_cannot_be_confirmed(olivia_client: Client, cuwl: dict[str, License]):
    answer = olivia_client.post(f"/operator/licenses/{cuwl['EPLUS'].pk}/higher/?step=higher", {"higher": "CUWL"})
    review = check_page(olivia_client.get(answer.headers["Location"]))
    assert "It is like this already" in text_of(review)
    assert not review.xpath("//main//button[@type='submit']")


def test_a_cycle_is_refused_on_the_page_with_its_names(olivia_client: Client, cuwl: dict[str, License]):
    url = f"/operator/licenses/{cuwl['CUWL'].pk}/higher/?step=higher"
    page = check_page(olivia_client.post(url, {"higher": "ENH"}), status=422)
    assert "CUWL (CUWL) → Enhanced (ENH) → Enhanced Plus (EPLUS) → CUWL (CUWL)" in text_of(page)


def test_where_licenses_are_many_the_tag_is_typed(
    olivia_client: Client, cuwl: dict[str, License], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cssm.portal.views.operator_families.MOST_CHOICES", 1)
    url = f"/operator/licenses/{cuwl['ENH'].pk}/higher/"
    assert check_page(olivia_client.get(url)).xpath("//input[@name='higher'][@type='text']/@value") == ["EPLUS"]
    page = check_page(olivia_client.post(f"{url}?step=higher", {"higher": "NONE"}), status=422)
    assert 'No license has the tag "NONE".' in text_of(page)
    assert olivia_client.post(f"{url}?step=higher", {"higher": "CUWL"}).status_code == 302


def test_families_and_licenses_that_are_none_are_not_found(olivia_client: Client, cuwl: dict[str, License]):
    assert olivia_client.get("/operator/families/999999/").status_code == 404
    assert olivia_client.get("/operator/licenses/999999/higher/").status_code == 404
