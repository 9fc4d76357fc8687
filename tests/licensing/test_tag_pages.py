"""Tags in the portal: columns, filters, the search box of each table, one dialog, many rows, the page of words."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import AccountTag, Event, SmartAccount, VirtualAccount
from accounts.services.tags import create_tag, set_virtual_account_tags
from cssm.common.actor import SYSTEM
from licensing.models import Pool, ProductInstance
from licensing.services.devices.tags import tag_instances, tag_pools
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, make_instance, make_license
from tests.portal.markup import check_page

ACCOUNT = "/accounts/acme.example/"
VA = f"{ACCOUNT}inventory/Engineering/"


@pytest.fixture
def pools(engineering: VirtualAccount) -> list[Pool]:
    licenses = [make_license(tag, NOW) for tag in ("alpha", "beta", "gamma")]
    deliver(engineering, *(line(license) for license in licenses), now=NOW)
    return list(Pool.objects.order_by("license__tag"))


@pytest.fixture
def instances(engineering: VirtualAccount) -> list[ProductInstance]:
    made = [make_instance(engineering, NOW) for _ in range(3)]
    for number, instance in enumerate(made):
        instance.hostname = f"core-{number}"
        instance.save(update_fields=["hostname"])
    return made


def tag(acme: SmartAccount, *, pools: Any = (), instances: Any = (), add: list[str]) -> None:
    tag_pools(actor=SYSTEM, smart_account=acme, pools=pools, add=add, now=NOW)
    tag_instances(actor=SYSTEM, smart_account=acme, instances=instances, add=add, now=NOW)


def tags_of(row: Any) -> list[str]:
    return sorted(found.name for found in row.tags.all())


def rows_of(page: Any) -> list[str]:
    return [row.text_content() for row in page.xpath("//tbody/tr")]


def test_tags_stand_in_the_tables_and_in_their_files(
    bob_client: Client, acme: SmartAccount, pools: list[Pool], instances: list[Any]
):
    tag(acme, pools=pools[:1], instances=instances[:1], add=["west", "Prod"])
    for path in (f"{VA}licenses/", f"{VA}instances/"):
        page = check_page(bob_client.get(path))
        marks = page.xpath("//td[@data-label='Tags']//a[@class='tag']")
        assert [(mark.text, mark.get("href")) for mark in marks] == [("Prod", "?tagged=Prod"), ("west", "?tagged=west")]
        exported = b"".join(bob_client.get(f"{path}?export=csv").streaming_content).decode()
        assert '"Prod, west"' in exported


def test_a_tag_narrows_the_table_and_the_search_box_finds_it(
    bob_client: Client, acme: SmartAccount, pools: list[Pool], instances: list[Any]
):
    tag(acme, pools=pools[:2], instances=instances[1:], add=["west", "western"])
    tag(acme, pools=pools[2:], instances=instances[:1], add=["süd & nord"])
    for path, names in ((f"{VA}licenses/", ("alpha", "beta")), (f"{VA}instances/", ("core-1", "core-2"))):
        for query in ("tagged=west", "q=WEST", f"q=west+{names[0][:3]}", "tagged=western&q=west"):
            found = rows_of(check_page(bob_client.get(f"{path}?{query}")))
            assert len(found) == (1 if query.endswith("alp") else 2), (path, query)
            assert names[0] in "".join(found)
        assert len(rows_of(check_page(bob_client.get(f"{path}?tagged=s%C3%BCd+%26+nord")))) == 1
        assert check_page(bob_client.get(f"{path}?tagged=unknown")).xpath("//span[@class='filter-error']")


def test_virtual_accounts_are_found_by_tag_with_their_figures_unspoilt(
    alice_client: Client, engineering: VirtualAccount, pools: list[Pool], instances: list[Any]
):
    set_virtual_account_tags(actor=SYSTEM, virtual_account=engineering, names=["lab", "lab 2", "laboratory"], now=NOW)
    for query in ("q=lab", "tagged=lab"):
        (row,) = check_page(alice_client.get(f"{ACCOUNT}inventory/?{query}")).xpath("//tbody/tr")
        assert row.xpath("string(td[@data-label='Licenses'])") == "3"
        assert row.xpath("string(td[@data-label='Product Instances'])") == "3"


def test_the_tags_of_one_thing_are_changed_in_its_dialog(
    bob_client: Client, acme: SmartAccount, pools: list[Pool], instances: list[Any]
):
    tag(acme, pools=pools[:1], instances=instances[:1], add=["old", "kept"])
    for row, path in ((pools[0], f"licenses/{pools[0].pk}"), (instances[0], f"instances/{instances[0].piid}")):
        asked = check_page(bob_client.get(f"{VA}{path}/tags/"))
        assert asked.xpath("//input[@name='tags']/@value") == ["kept, old"]
        done = bob_client.post(f"{VA}{path}/tags/", {"tags": "kept, , New one,KEPT"}, follow=True)
        assert "were saved" in check_page(done).text_content()
        assert tags_of(row) == ["New one", "kept"]
    said = [event.message for event in Event.objects.filter(name__endswith=".tags_changed").order_by("-pk")[:2]]
    assert said[1] == "The tags of alpha name were changed: added New one; removed old."


def test_a_tag_that_cannot_be_is_refused_beside_the_field(bob_client: Client, pools: list[Pool]):
    answer = bob_client.post(f"{VA}licenses/{pools[0].pk}/tags/", {"tags": f"ok, {'x' * 61}"})
    page = check_page(answer, status=422)
    assert "1 to 60 printable characters" in page.xpath("string(//*[@id='error_1_id_tags'])")
    assert not AccountTag.objects.exists()


@pytest.mark.parametrize("kind", ["licenses", "instances"])
def test_many_rows_are_tagged_at_once(
    bob_client: Client, acme: SmartAccount, pools: list[Pool], instances: list[Any], kind: str
):
    tag(acme, pools=pools[:1], instances=instances[:1], add=["old"])
    rows: list[Any] = pools if kind == "licenses" else instances
    table = check_page(bob_client.get(f"{VA}{kind}/"))
    keys = table.xpath("//tbody//input[@name='selected']/@value")[:2]
    assert set(keys) == {str(getattr(row, "piid", row.pk)) for row in rows[:2]}
    [address] = table.xpath("//form[@data-selection]//button[normalize-space()='Tag']/@formaction")
    form = check_page(bob_client.post(address, {"selected": keys, "open": "1"}))
    assert form.xpath("//input[@name='remove']/@value") == ["old"]
    done = bob_client.post(address, {"selected": keys, "add": "west, prod", "remove": "old"}, follow=True)
    assert "The tags of 2" in check_page(done).text_content()
    assert [tags_of(row) for row in rows] == [["prod", "west"], ["prod", "west"], []]


def test_nothing_to_add_or_take_off_is_said(bob_client: Client, pools: list[Pool]):
    answer = bob_client.post(f"{VA}licenses/tags/", {"selected": [pools[0].pk], "add": " , "})
    assert "Say which tags" in check_page(answer, status=422).text_content()


@pytest.mark.parametrize("key", ["0", "x", "9" * 30, "-1", "1e3"])
def test_a_row_that_is_not_there_stops_all(bob_client: Client, pools: list[Pool], instances: list[Any], key: str):
    for kind, known in (("licenses", str(pools[0].pk)), ("instances", str(instances[0].piid))):
        check_page(bob_client.post(f"{VA}{kind}/tags/", {"selected": [known, key], "add": "west"}), status=404)
    assert tags_of(pools[0]) == tags_of(instances[0]) == []


def test_virtual_accounts_are_tagged_by_administrators(
    alice_client: Client, bob_client: Client, engineering: VirtualAccount, default_va: VirtualAccount
):
    check_page(alice_client.get(f"{VA}tags/"))
    alice_client.post(f"{VA}tags/", {"tags": "lab"})
    both = {"selected": [engineering.pk, default_va.pk], "add": "west", "remove": "lab"}
    done = alice_client.post(f"{ACCOUNT}tags/virtual-accounts/", both, follow=True)
    assert "The tags of 2 Virtual Accounts were changed." in check_page(done).text_content()
    assert tags_of(engineering) == tags_of(default_va) == ["west"]
    page = check_page(bob_client.get(f"{ACCOUNT}inventory/"))
    assert not page.xpath("//form[@data-selection] | //td[@data-label='Tags']//a[@data-dialog]")


def test_a_viewer_sees_tags_and_cannot_change_them(
    carol_client: Client, acme: SmartAccount, pools: list[Pool], instances: list[Any]
):
    tag(acme, pools=pools, instances=instances, add=["west"])
    for kind, path in (("licenses", pools[0].pk), ("instances", instances[0].piid)):
        page = check_page(carol_client.get(f"{VA}{kind}/"))
        assert page.xpath("//a[@class='tag']")
        assert not page.xpath("//form[@data-selection] | //td[@data-label='Tags']//a[@data-dialog]")
        check_page(carol_client.post(f"{VA}{kind}/tags/", {"selected": [path], "add": "x"}), status=403)
        check_page(carol_client.post(f"{VA}{kind}/{path}/tags/", {"tags": ""}), status=403)
    assert tags_of(pools[0]) == tags_of(instances[0]) == ["west"]


def test_bob_reaches_nothing_in_another_virtual_account(
    bob_client: Client, acme: SmartAccount, default_va: VirtualAccount, pools: list[Pool]
):
    deliver(default_va, line(pools[0].license), now=NOW)
    foreign, hidden = Pool.objects.get(virtual_account=default_va), make_instance(default_va, NOW)
    other = f"{ACCOUNT}inventory/DEFAULT/"
    for path, data in (
        (f"{other}licenses/{foreign.pk}/tags/", {"tags": "x"}),
        (f"{other}licenses/tags/", {"selected": [foreign.pk], "add": "x"}),
        (f"{VA}licenses/{foreign.pk}/tags/", {"tags": "x"}),
        (f"{VA}licenses/tags/", {"selected": [pools[0].pk, foreign.pk], "add": "x"}),
        (f"{VA}instances/{hidden.piid}/tags/", {"tags": "x"}),
        (f"{VA}instances/tags/", {"selected": [hidden.piid], "add": "x"}),
    ):
        check_page(bob_client.post(path, data), status=404)
    assert tags_of(foreign) == tags_of(pools[0]) == tags_of(hidden) == []


def test_mallory_sees_and_touches_nothing_of_acme(mallory_client: Client, acme: SmartAccount, pools: list[Pool]):
    word = create_tag(actor=SYSTEM, smart_account=acme, name="secret project", now=NOW)
    for path in (
        "manage/tags/",
        f"manage/tags/{word.pk}/rename/",
        f"manage/tags/{word.pk}/delete/",
        "search/?q=secret",
    ):
        check_page(mallory_client.get(f"{ACCOUNT}{path}"), status=404)
    own = f"/accounts/umbrella.example/manage/tags/{word.pk}/"
    check_page(mallory_client.post(f"{own}rename/", {"name": "x"}), status=404)
    check_page(mallory_client.post(f"{own}delete/"), status=404)
    assert "secret" not in check_page(mallory_client.get("/accounts/umbrella.example/manage/tags/")).text_content()
    taken = mallory_client.post(
        "/accounts/umbrella.example/inventory/DEFAULT/licenses/tags/", {"selected": [pools[0].pk], "add": "x"}
    )
    check_page(taken, status=404)
    word.refresh_from_db()
    assert word.name == "secret project"


def test_the_page_of_words_counts_what_the_person_may_see(
    alice_client: Client,
    bob_client: Client,
    acme: SmartAccount,
    default_va: VirtualAccount,
    pools: list[Pool],
    instances: list[Any],
):
    assert "No tags yet" in check_page(alice_client.get(f"{ACCOUNT}manage/tags/")).text_content()
    set_virtual_account_tags(actor=SYSTEM, virtual_account=default_va, names=["west"], now=NOW)
    tag(acme, pools=pools[:2], instances=[*instances, make_instance(default_va, NOW)], add=["west"])

    def counts(client: Client) -> list[str]:
        (row,) = check_page(client.get(f"{ACCOUNT}manage/tags/")).xpath("//tbody/tr")
        names = ("Virtual Accounts", "Licenses", "Product Instances")
        return [row.xpath(f"string(td[@data-label='{name}'])") for name in names]

    assert counts(alice_client) == ["1", "2", "4"]
    assert counts(bob_client) == ["0", "2", "3"]


def test_words_are_made_renamed_and_deleted_with_a_warning(alice_client: Client, acme: SmartAccount, pools: list[Pool]):
    alice_client.post(f"{ACCOUNT}manage/tags/add/", {"name": "west"})
    word = AccountTag.objects.get()
    tag(acme, pools=pools, add=["west"])
    refused = alice_client.post(f"{ACCOUNT}manage/tags/{word.pk}/rename/", {"name": "a,b"})
    assert "no comma" in check_page(refused, status=422).text_content()
    alice_client.post(f"{ACCOUNT}manage/tags/{word.pk}/rename/", {"name": "West coast"})
    assert tags_of(pools[0]) == ["West coast"]
    asked = check_page(alice_client.get(f"{ACCOUNT}manage/tags/{word.pk}/delete/"))
    assert "taken off 3 licenses" in asked.text_content()
    alice_client.post(f"{ACCOUNT}manage/tags/{word.pk}/delete/")
    assert tags_of(pools[0]) == []


def test_tags_cost_a_fixed_number_of_queries(
    bob_client: Client, acme: SmartAccount, instances: list[Any], pools: list[Pool], django_assert_max_num_queries: Any
):
    tag(acme, pools=pools, instances=instances, add=["west", "prod"])
    bob_client.get(f"{VA}instances/")
    for kind in ("licenses", "instances"):
        with django_assert_max_num_queries(18):
            bob_client.get(f"{VA}{kind}/?q=we")
