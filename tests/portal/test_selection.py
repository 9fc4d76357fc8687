"""Choosing rows of a table and doing one thing with all of them, with and without script."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.views import MAX_SELECTED
from tests.conftest import NOW
from tests.portal.markup import check_page, parse_page

LIST = "/accounts/acme.example/choose/"
ACTION = "/accounts/acme.example/describe/"


@pytest.fixture
def sites(acme: SmartAccount) -> list[VirtualAccount]:
    return VirtualAccount.objects.bulk_create(
        VirtualAccount(smart_account=acme, name=f"Site {number}", created_at=NOW) for number in range(4)
    )


def keys_of(page: Any, form: str) -> list[str]:
    return page.xpath(f"//input[@name='selected'][@form='{form}']/@value")


def test_every_row_has_a_box_that_belongs_to_the_form_of_the_actions(alice_client: Client, sites: list[Any]):
    page = check_page(alice_client.get(LIST))
    (form,) = page.xpath("//form[@data-selection]")
    assert form.get("method") == "post"
    assert keys_of(page, form.get("id"))[-4:] == [str(site.pk) for site in sites]
    assert page.xpath(f"//input[@value='{sites[0].pk}']/@aria-label") == ["Select Site 0"]
    assert form.xpath(".//button/@formaction") == [ACTION]


def test_who_may_do_nothing_with_them_chooses_no_rows(carol_client: Client, sites: list[Any]):
    page = check_page(carol_client.get(LIST))
    assert not page.xpath("//form[@data-selection]")
    assert not page.xpath("//input[@name='selected']")


def test_boxes_are_no_column_of_files_and_cannot_be_hidden(alice_client: Client, sites: list[Any]):
    exported = b"".join(alice_client.get(f"{LIST}?export=csv").streaming_content)
    assert exported.decode("utf-8-sig").splitlines()[0].startswith("Name,")
    page = check_page(alice_client.get(f"{LIST}?columns=&columns=units"))
    assert [th.text_content().strip() for th in page.xpath("//th")] == ["Select", "Name", "Units"]
    assert not page.xpath("//input[@name='columns'][@value='select']")


def test_without_script_the_chosen_rows_go_through_a_page_to_the_service(alice_client: Client, sites: list[Any]):
    chosen = [site.pk for site in sites[:2]]
    opened = check_page(alice_client.post(ACTION, {"selected": chosen, "open": "1"}))
    assert "Describe 2 rows" in opened.text_content()
    assert not opened.xpath("//*[contains(@class, 'is-invalid')]")
    carried = opened.xpath("//form[@method='post']//input[@name='selected']/@value")
    assert carried == [str(key) for key in chosen]
    done = alice_client.post(ACTION, {"selected": carried, "description": "lab"}, follow=True)
    assert "2 rows were described." in check_page(done).text_content()
    assert sorted(VirtualAccount.objects.filter(description="lab").values_list("pk", flat=True)) == sorted(chosen)


def test_a_mistake_keeps_the_rows_chosen(alice_client: Client, sites: list[Any]):
    refused = alice_client.post(ACTION, {"selected": [sites[0].pk], "description": "taken"})
    page = check_page(refused, status=422)
    assert page.xpath("//input[@name='selected']/@value") == [str(sites[0].pk)]


def test_in_a_dialog_the_form_alone_is_sent(alice_client: Client, sites: list[Any]):
    answer = alice_client.post(
        ACTION, {"selected": [sites[0].pk], "open": "1"}, headers={"HX-Request": "true", "HX-Target": "dialog"}
    )
    assert b"<html" not in answer.content
    assert parse_page(answer).xpath("//input[@name='selected']")


@pytest.mark.parametrize("data", [{}, {"open": "1"}, {"selected": ""}])
def test_no_row_leads_back_to_the_table_with_a_word(alice_client: Client, acme: SmartAccount, data: dict[str, str]):
    assert "Choose one or more rows first." in check_page(alice_client.post(ACTION, data, follow=True)).text_content()


def test_the_address_of_an_action_alone_leads_back_to_the_table(alice_client: Client, acme: SmartAccount):
    assert alice_client.get(ACTION).headers["Location"] == LIST


def test_more_rows_than_a_page_can_hold_are_refused(alice_client: Client, acme: SmartAccount):
    answer = alice_client.post(ACTION, {"selected": list(range(MAX_SELECTED + 1)), "open": "1"})
    check_page(answer, status=400)


def test_a_key_sent_twice_counts_once(alice_client: Client, sites: list[Any]):
    opened = alice_client.post(ACTION, {"selected": [sites[0].pk, sites[0].pk], "open": "1"})
    assert "Describe 1 rows" in check_page(opened).text_content()
