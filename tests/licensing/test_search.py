"""The search of an account: one box for Virtual Accounts, licenses and product instances."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.tags import set_virtual_account_tags
from cssm.common.actor import SYSTEM
from cssm.common.permissions import Role
from licensing.models import Pool, ProductInstance
from licensing.services.devices.tags import tag_instances, tag_pools
from licensing.states import InstanceState
from licensing.views.search import FEW, MANY
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, make_instance, make_license
from tests.portal.markup import check_page

SEARCH = "/accounts/acme.example/search/"


def instance(virtual_account: VirtualAccount, hostname: str, udi: str = "") -> ProductInstance:
    made = make_instance(virtual_account, NOW)
    made.hostname, made.udi = hostname, udi or made.udi
    made.save(update_fields=["hostname", "udi"])
    return made


@pytest.fixture
def stock(acme: SmartAccount, engineering: VirtualAccount, default_va: VirtualAccount) -> None:
    """The same license and a router in Engineering and in DEFAULT; Engineering's are tagged."""
    license = make_license("regid.routing", NOW)
    for virtual_account, name in ((engineering, "edge-1"), (default_va, "edge-2")):
        deliver(virtual_account, line(license), now=NOW)
        instance(virtual_account, f"{name}.acme.example", f"C9300-24UX:FCW{name[-1]}")
    own = {"virtual_account": engineering}
    set_virtual_account_tags(actor=SYSTEM, virtual_account=engineering, names=["Lab West"], now=NOW)
    tag_pools(actor=SYSTEM, smart_account=acme, pools=Pool.objects.filter(**own), add=["Lab West"], now=NOW)
    tag_instances(
        actor=SYSTEM, smart_account=acme, instances=ProductInstance.objects.filter(**own), add=["Lab West"], now=NOW
    )


def found(client: Client, text: str, **query: Any) -> dict[str, list[str]]:
    """What the page shows, by group."""
    page = check_page(client.get(SEARCH, {"q": text, **query}))
    return {
        section.xpath("string(h2)").strip(): [" ".join(item.text_content().split()) for item in section.xpath(".//li")]
        for section in page.xpath("//section[@class='search-group']")
    }


def test_a_tag_finds_everything_that_has_it(alice_client: Client, stock: None):
    results = found(alice_client, "lab west")
    assert list(results) == ["Virtual Accounts", "Licenses", "Product Instances"]
    assert results["Licenses"] == ["regid.routing name Lab West regid.routing in Engineering"]
    assert results["Product Instances"] == ["edge-1.acme.example Registered Lab West C9300-24UX:FCW1 in Engineering"]


@pytest.mark.parametrize("text", ["FCW1", "fcw1", "C9300 edge-1", "EDGE-1.acme", "24ux:fcw1 lab"])
def test_an_instance_is_found_by_serial_number_udi_and_host_name(alice_client: Client, stock: None, text: str):
    results = found(alice_client, text)
    assert list(results) == ["Product Instances"]
    assert len(results["Product Instances"]) == 1


def test_licenses_are_found_by_name_and_entitlement_tag_in_every_virtual_account(alice_client: Client, stock: None):
    assert len(found(alice_client, "Routing NAME")["Licenses"]) == 2
    assert found(alice_client, "engineer") == {"Virtual Accounts": ["Engineering Lab West"]}


def test_one_finds_only_what_one_may_see(bob_client: Client, mallory_client: Client, stock: None):
    results = found(bob_client, "e")
    assert results["Virtual Accounts"] == ["Engineering Lab West"]
    assert [len(results[group]) for group in ("Licenses", "Product Instances")] == [1, 1]
    assert found(bob_client, "edge-2") == {}
    check_page(mallory_client.get(SEARCH, {"q": "edge"}), status=404)
    own = check_page(mallory_client.get("/accounts/umbrella.example/search/", {"q": "edge"}))
    assert "Nothing is called that" in own.text_content()


def test_a_product_that_is_gone_and_a_deleted_virtual_account_are_not_found(
    alice_client: Client, engineering: VirtualAccount, stock: None
):
    ProductInstance.objects.update(state=InstanceState.REMOVED, ended_at=NOW)
    VirtualAccount.objects.filter(pk=engineering.pk).update(deleted_at=NOW)
    assert set(found(alice_client, "lab")) == {"Licenses"}


def test_a_group_shows_the_first_and_leads_to_all_page_by_page(alice_client: Client, engineering: VirtualAccount):
    for number in range(MANY + 3):
        instance(engineering, f"core-{number}")
    page = check_page(alice_client.get(SEARCH, {"q": "core-"}))
    assert len(page.xpath("//section//li")) == FEW
    (link,) = page.xpath("//section//a[starts-with(text(), 'All Product Instances')]/@href")
    first = check_page(alice_client.get(f"{SEARCH}{link}"))
    (following,) = first.xpath("//a[@rel='next']/@href")
    last = check_page(alice_client.get(f"{SEARCH}{following}"))
    names = [name for page in (first, last) for name in page.xpath("//section//li/a[@data-dialog]/text()")]
    assert len(names) == len(set(names)) == MANY + 3
    assert last.xpath("//a[@rel='prev']")
    assert not last.xpath("//a[@rel='next']")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=",
        "q=%00",
        "q=%25",
        "q=_",
        "q=' OR 1=1 --",
        "q=" + "x " * 300,
        "q=core&in=secrets",
        "q=e&in=licenses&page=x",
        "q=e&in=licenses&page=0",
        "q=e&in=licenses&page=99999999999",
    ],
)
def test_absurd_input_is_answered_by_a_sound_page(alice_client: Client, stock: None, query: str):
    check_page(alice_client.get(f"{SEARCH}?{query}"))


def test_wildcards_of_the_database_are_plain_characters(alice_client: Client, stock: None):
    assert found(alice_client, "%") == found(alice_client, "FCW_") == {}


def test_the_box_stands_on_every_page_of_those_who_may_look(alice_client: Client, carol: User, carol_client: Client):
    for path in ("", "inventory/", "manage/"):
        page = check_page(alice_client.get(f"/accounts/acme.example/{path}"))
        assert page.xpath("//header//form[@action='/accounts/acme.example/search/']//input[@data-account-search]")
    Membership.objects.filter(user=carol).update(role=Role.SA_APPROVER, virtual_account=None)
    page = check_page(carol_client.get("/accounts/acme.example/manage/"))
    assert not page.xpath("//input[@data-account-search]")
    check_page(carol_client.get(SEARCH), status=403)


def test_a_search_costs_a_fixed_number_of_queries(
    alice_client: Client, engineering: VirtualAccount, stock: None, django_assert_max_num_queries: Any
):
    alice_client.get(SEARCH, {"q": "e"})
    for number in range(FEW):
        instance(engineering, f"edge-{number}")
    with django_assert_max_num_queries(10):
        alice_client.get(SEARCH, {"q": "e lab"})
