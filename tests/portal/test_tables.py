import csv
import io
from typing import Any

import openpyxl
import pytest
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.tables import ActionsColumn, Table
from tests.conftest import NOW
from tests.portal.markup import check_page, parse_page
from tests.portal.pages import SampleTable

URL = "/accounts/acme.example/inventory/"
PART = {"HX-Request": "true", "HX-Target": "table-sample"}


@pytest.fixture
def many(acme: SmartAccount) -> None:
    VirtualAccount.objects.bulk_create(
        VirtualAccount(
            smart_account=acme,
            name=f"Site {number:03}",
            description=f"floor {number % 7}",
            access_level="PRIVATE" if number % 10 == 0 else "PUBLIC",
            created_at=NOW,
        )
        for number in range(1, 121)
    )


def names(response: Any) -> list[str]:
    return [link.text_content() for link in parse_page(response).xpath("//tbody//tr/td[1]//a")]


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def read_csv(response: Any) -> list[list[str]]:
    text = body_of(response).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def test_a_table_shows_a_page_and_the_total(alice_client: Client, many: None):
    response = alice_client.get(URL)
    page = check_page(response)
    assert len(names(response)) == 50
    assert page.xpath("string(//p[@class='table-count'])").strip().startswith("121 rows")


def test_pages_of_any_sorting_show_every_row_once(alice_client: Client, many: None):
    for sort in ("description", "-description", "name", "-units"):
        seen = [
            n for page in range(1, 7) for n in names(alice_client.get(f"{URL}?sort={sort}&per_page=25&page={page}"))
        ]
        # The last page is shown again for a page that does not exist.
        assert len(set(seen)) == 121, sort


@pytest.mark.parametrize("sort", ["", "description", "-description,name", "password"])
def test_rows_that_compare_equal_keep_their_order_from_page_to_page(db: None, sort: str):
    table = SampleTable(VirtualAccount.objects.all())
    table.sort(sort)
    assert table.data.data.query.order_by[-1] == "pk"
    assert len(table.data.data.query.order_by) > 1


def test_sorting_by_a_heading_is_told_to_screen_readers(alice_client: Client, many: None):
    page = check_page(alice_client.get(f"{URL}?sort=-name"))
    assert page.xpath("//th[@aria-sort='descending']//a/text()")[0] == "Name"
    assert names(alice_client.get(f"{URL}?sort=-name"))[0] == "Site 120"


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-3", "page=x", "page=99999999", "per_page=0", "per_page=100000", "sort=password", "sort=--x"],
)
def test_absurd_parameters_show_the_nearest_page(alice_client: Client, many: None, query: str):
    response = alice_client.get(f"{URL}?{query}")
    check_page(response)
    assert 0 < len(names(response)) <= 50


def test_search_finds_rows_that_hold_every_word(alice_client: Client, many: None):
    found = names(alice_client.get(f"{URL}?q=SITE+floor+13"))
    assert found == ["Site 013", "Site 113"]


def test_filters_narrow_and_a_wrong_choice_is_named(alice_client: Client, many: None):
    assert len(names(alice_client.get(f"{URL}?access_level=PRIVATE"))) == 12
    page = check_page(alice_client.get(f"{URL}?access_level=NONE"))
    assert page.xpath("//span[@class='filter-error']")


def test_an_empty_table_says_what_to_do_and_a_filtered_one_why(alice_client: Client, acme: SmartAccount):
    filtered = check_page(alice_client.get(f"{URL}?q=nothing+like+this"))
    assert "Nothing matches this filter" in filtered.text_content()
    VirtualAccount.objects.filter(is_default=True).update(is_default=False, deleted_at=NOW)
    empty = check_page(alice_client.get(URL))
    assert empty.xpath("//div[@class='empty']//a[@href='/nowhere/'][@data-dialog]")


def test_htmx_gets_the_table_alone(alice_client: Client, many: None):
    part = alice_client.get(f"{URL}?sort=-name", headers=PART)
    assert b"<html" not in part.content
    assert parse_page(part).get("id") == "table-sample"
    back = alice_client.get(URL, headers={**PART, "HX-History-Restore-Request": "true"})
    assert b"<html" in back.content


def headings(response: Any) -> list[str]:
    return [th.text_content().strip() for th in parse_page(response).xpath("//th")]


def test_chosen_columns_are_kept_for_the_person(alice_client: Client, bob_client: Client, many: None):
    assert headings(alice_client.get(URL)) == ["Name", "Description", "Level", "Units", "Created"]
    chosen = alice_client.get(f"{URL}?columns=&columns=uuid&columns=units&columns=no_such")
    assert headings(chosen) == headings(alice_client.get(URL)) == ["Name", "Units", "Identifier"]
    assert "Description" in headings(bob_client.get(URL))


def test_csv_holds_all_rows_of_the_columns_on_show(alice_client: Client, many: None):
    response = alice_client.get(f"{URL}?export=csv&columns=&columns=units&sort=-name&q=site")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = read_csv(response)
    assert rows[0] == ["Name", "Units"]
    assert len(rows) == 121
    assert rows[1][0] == "Site 120"
    assert int(rows[1][1]) < 0


def test_csv_begins_with_the_mark_that_spreadsheets_look_for(alice_client: Client, acme: SmartAccount):
    response = alice_client.get(f"{URL}?export=csv")
    assert body_of(response).startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(alice_client: Client, acme: SmartAccount, start: str):
    poison = f"{start}HYPERLINK(1)"
    VirtualAccount.objects.filter(smart_account=acme).update(description=poison)
    rows = read_csv(alice_client.get(f"{URL}?export=csv"))
    assert rows[1][1] == f"'{poison}"
    book = openpyxl.load_workbook(io.BytesIO(body_of(alice_client.get(f"{URL}?export=xlsx"))))
    cell = book.active.cell(row=2, column=2)
    assert cell.data_type == "s"


def test_xlsx_keeps_numbers_as_numbers_and_times_as_text(alice_client: Client, many: None):
    book = openpyxl.load_workbook(io.BytesIO(body_of(alice_client.get(f"{URL}?export=xlsx"))))
    rows = list(book.active.iter_rows(values_only=True))
    assert rows[0] == ("Name", "Description", "Level", "Units", "Created")
    assert len(rows) == 122
    assert isinstance(rows[2][3], int)
    assert rows[2][2] == "Fine"
    assert rows[2][4] == "2026-03-02T09:30:00Z"


def test_an_unknown_kind_of_file_is_refused(alice_client: Client, acme: SmartAccount):
    check_page(alice_client.get(f"{URL}?export=exe"), status=400)


def test_a_template_of_actions_sees_its_row_and_its_table():
    class Rows(Table):
        actions = ActionsColumn("nowhere.html")

    table = Rows([{"name": "one"}])
    row = table.rows[0]
    context = table.columns["actions"].column.get_context_data(
        record=row.record, table=table, value=None, bound_column=table.columns["actions"], bound_row=row
    )
    assert context["table"] is table
    assert context["record"] == {"name": "one"}


def test_cells_are_escaped(alice_client: Client, acme: SmartAccount):
    VirtualAccount.objects.filter(smart_account=acme).update(description="<script>alert(1)</script>")
    page = check_page(alice_client.get(URL))
    assert "<script>alert(1)</script>" in page.text_content()


def test_a_page_of_a_table_costs_a_fixed_number_of_queries(
    alice_client: Client, many: None, django_assert_max_num_queries: Any
):
    alice_client.get(URL)
    with django_assert_max_num_queries(8):
        alice_client.get(f"{URL}?per_page=100")


def test_deep_pages_are_the_same_rows_as_without_the_short_cut(alice_client: Client, many: None, monkeypatch: Any):
    plain = names(alice_client.get(f"{URL}?per_page=25&page=3&sort=-description"))
    monkeypatch.setattr("cssm.common.tables.DEEP_ROW", 1)
    assert names(alice_client.get(f"{URL}?per_page=25&page=3&sort=-description")) == plain
    assert len(plain) == 25
