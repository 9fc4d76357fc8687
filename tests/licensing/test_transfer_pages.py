"""Transferring licenses in the portal: entered, reviewed with what compliance becomes, done once."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import SmartAccount, User, VirtualAccount
from licensing.models import Allocation, License, OwnershipRecord, Pool, PurchaseLine
from licensing.services.pools.rebuild import check_pools
from tests.conftest import NOW
from tests.licensing.families import import_cuwl, reserve
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use
from tests.portal.markup import check_page, parse_page

pytestmark = pytest.mark.django_db
VA = "/accounts/acme.example/inventory/Engineering/"
WIZARD, FILE = f"{VA}licenses/transfer/", f"{VA}licenses/transfer/file/"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def dna(engineering: VirtualAccount) -> Pool:
    """Engineering owns 10 without end and 5 that end in a month, and uses 4."""
    license = make_license("DNA-1", NOW)
    ends = (NOW + timedelta(days=30)).strftime("%Y-%m-%d")
    deliver(engineering, line(license, 10), line(license, 5, licenseType="TERM", endDate=ends), now=NOW)
    use(make_instance(engineering, NOW), license, 4, NOW)
    return Pool.objects.get(license=license, virtual_account=engineering)


@pytest.fixture
def sales(acme: SmartAccount) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=acme, name="Sales & Co", created_at=NOW)


def text_of(page: Any) -> str:
    return " ".join(" ".join(page.itertext()).split())


def go(client: Client, response: Any) -> Any:
    """The page that a redirect leads to."""
    assert response.status_code == 302, response.content.decode()[:2000]
    return check_page(client.get(response.headers["Location"]))


def key_of(page: Any) -> str:
    return page.xpath("//form[@data-busy]//input[@name='key']/@value")[0]


def rows(*lines: dict[str, Any]) -> dict[str, Any]:
    """As the form of lines posts them."""
    return {f"{number}-{name}": value for number, row in enumerate(lines, 1) for name, value in row.items()}


def begin(client: Client, *pools: Pool, **query: Any) -> Any:
    return go(client, client.get(WIZARD, {"license": ",".join(str(pool.pk) for pool in pools), **query}))


def review(client: Client, *lines: dict[str, Any], **further: Any) -> Any:
    return go(client, client.post(f"{WIZARD}?step=lines", {**rows(*lines), **further}))


def transfer(client: Client, page: Any) -> Any:
    return client.post(f"{WIZARD}?step=review", {"key": key_of(page)})


def test_a_license_goes_to_several_accounts_after_a_look_at_both_sides(
    alice_client: Client, dna: Pool, engineering: VirtualAccount, default_va: VirtualAccount, sales: VirtualAccount
):
    use(make_instance(default_va, NOW), dna.license, 2, NOW)
    page = begin(alice_client, dna)
    assert "11 free of 15" in text_of(page)
    page = review(
        alice_client,
        {"pool": dna.pk, "quantity": "2", "target": "DEFAULT"},
        {"pool": dna.pk, "quantity": "3", "target": "Sales & Co", "license_type": "TERM"},
    )
    text = text_of(page)
    assert "Engineering DNA-1 name 15 → 10 4 11 → 6" in text
    assert "DEFAULT DNA-1 name 0 → 2 2 -2 → 0 Out Of Compliance → In Compliance" in text
    assert not Allocation.objects.exists(), "nothing moves before it is confirmed"
    done = text_of(go(alice_client, transfer(alice_client, page)))
    assert "5 licenses were transferred from Engineering to DEFAULT, Sales & Co" in done
    moved = PurchaseLine.objects.exclude(parent=None).order_by("pk")
    assert [(row.virtual_account, row.quantity, row.license_type) for row in moved] == [
        (default_va, 2, "perpetual"),
        (sales, 3, "term"),
    ]
    assert live(dna.license, engineering, NOW).now_purchased == 10
    assert check_pools(now=NOW) == []


def test_a_second_press_of_the_button_shows_what_the_first_one_did(alice_client: Client, dna: Pool):
    begin(alice_client, dna)
    page = review(alice_client, {"pool": dna.pk, "quantity": "5", "target": "DEFAULT", "license_type": "TERM"})
    first = transfer(alice_client, page)
    second = transfer(alice_client, page)
    assert first.headers["Location"] == second.headers["Location"]
    assert OwnershipRecord.objects.filter(kind="transfer").count() == 1


def test_what_was_entered_in_another_window_is_not_what_this_button_does(alice_client: Client, dna: Pool):
    begin(alice_client, dna)
    old = review(alice_client, {"pool": dna.pk, "quantity": "1", "target": "DEFAULT"})
    review(alice_client, {"pool": dna.pk, "quantity": "5", "target": "DEFAULT"})
    page = go(alice_client, transfer(alice_client, old))
    assert "Other answers were entered here meanwhile" in text_of(page)
    assert not Allocation.objects.exists()


def test_chosen_rows_begin_the_wizard_with_a_line_each(
    alice_client: Client, dna: Pool, engineering: VirtualAccount, default_va: VirtualAccount
):
    deliver(engineering, line(make_license("DNA-2", NOW), 3), now=NOW)
    other = Pool.objects.get(license__tag="DNA-2")
    bar = check_page(alice_client.get(f"{VA}licenses/")).xpath("//form[@data-selection]")[0]
    assert WIZARD in bar.xpath(".//button/@formaction")
    page = go(alice_client, alice_client.post(WIZARD, {"open": "1", "selected": [dna.pk, other.pk, "nonsense"]}))
    assert page.xpath("//input[@name='1-pool']/@value") == [str(dna.pk)]
    assert page.xpath("//input[@name='2-pool']/@value") == [str(other.pk)]
    lines = ({"pool": dna.pk, "quantity": "1"}, {"pool": other.pk, "quantity": "3", "target": "DEFAULT"})
    go(alice_client, transfer(alice_client, review(alice_client, *lines, all_to="DEFAULT")))
    assert live(dna.license, default_va, NOW).now_purchased == 1
    assert live(other.license, default_va, NOW).now_purchased == 3
    from_dialog = alice_client.post(WIZARD, {"open": "1", "selected": [dna.pk]}, headers={"HX-Request": "true"})
    assert from_dialog.headers["HX-Redirect"] == WIZARD


def test_a_license_gets_another_line_without_losing_what_was_filled_in(alice_client: Client, dna: Pool):
    begin(alice_client, dna)
    line_ = {"pool": dna.pk, "quantity": "7", "target": "DEFAULT", "license_type": "TERM"}
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", {**rows(line_), "add": "1"}))
    assert page.xpath("//input[@name='1-quantity']/@value") == ["7"]
    assert page.xpath("//select[@name='1-license_type']/option[@selected]/@value") == ["TERM"]
    assert page.xpath("//input[@name='2-pool']/@value") == [str(dna.pk)]
    assert page.xpath("//input[@name='2-quantity']/@autofocus") == ["autofocus"]


def test_the_dialog_of_one_license_leads_to_its_review(alice_client: Client, dna: Pool, default_va: VirtualAccount):
    table = check_page(alice_client.get(f"{VA}licenses/"))
    url = f"{VA}licenses/{dna.pk}/transfer/"
    assert table.xpath(f"//a[@href='{url}'][@data-dialog]")
    assert parse_page(alice_client.get(f"{VA}licenses/{dna.pk}/", headers={"HX-Request": "true"})).xpath(
        f"//a[@href='{url}'][@data-dialog]"
    )
    part = alice_client.get(url, headers={"HX-Request": "true"})
    assert "11 of 15 in Engineering are free" in part.content.decode()
    wrong = alice_client.post(url, {"quantity": "12", "target": "DEFAULT"}, headers={"HX-Request": "true"})
    assert wrong.status_code == 422
    assert "only 11 are free" in wrong.content.decode()
    form = {"quantity": "2", "target": "DEFAULT", "license_type": "TERM", "precedence": "SHORTEST_TERM_FIRST"}
    right = alice_client.post(url, form, headers={"HX-Request": "true"})
    page = check_page(alice_client.get(right.headers["HX-Redirect"]))
    assert "Shortest term first" in text_of(page)
    go(alice_client, transfer(alice_client, page))
    assert live(dna.license, default_va, NOW).now_purchased == 2


@pytest.mark.parametrize("quantity", ["0", "-1", "1" + "0" * 30, "1.5", "1,5", "three", "٣"])
def test_a_quantity_that_is_none_is_refused_at_its_line(alice_client: Client, dna: Pool, quantity: str):
    begin(alice_client, dna)
    form = rows(
        {"pool": dna.pk, "quantity": "1", "target": "DEFAULT"},
        {"pool": dna.pk, "quantity": quantity, "target": "DEFAULT"},
    )
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", form), status=422)
    assert "A quantity is" in text_of(page.xpath("//*[@id='id_2-quantity_error']")[0])
    dialog = alice_client.post(f"{VA}licenses/{dna.pk}/transfer/", {"quantity": quantity, "target": "DEFAULT"})
    assert "A quantity is" in text_of(check_page(dialog, status=422))
    assert not Allocation.objects.exists()


def test_a_transfer_that_would_break_the_pool_next_month_is_refused_with_the_date(alice_client: Client, dna: Pool):
    begin(alice_client, dna)
    form = rows({"pool": dna.pk, "quantity": "9", "target": "DEFAULT"})
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", form), status=422)
    assert "from 2026-04-01 on only 6 of these 9 would be free" in text_of(page)
    csv = f"entitlementTag,quantity,targetVirtualAccount\r\n{dna.license.tag},9,DEFAULT\r\n"
    page = check_page(alice_client.post(f"{FILE}?step=file", {"text": csv}), status=422)
    assert "2 quantity DNA-1 name: from 2026-04-01 on only 6" in text_of(page)
    assert not Allocation.objects.exists()


def test_what_was_taken_meanwhile_is_told_on_the_review_and_at_the_button(
    alice_client: Client, dna: Pool, engineering: VirtualAccount
):
    begin(alice_client, dna)
    page = review(alice_client, {"pool": dna.pk, "quantity": "5", "target": "DEFAULT"})
    use(make_instance(engineering, NOW), dna.license, 9, NOW)
    pressed = check_page(transfer(alice_client, page), status=422)
    assert "5 asked for, but only 2 are free" in text_of(pressed)
    again = check_page(alice_client.get(f"{WIZARD}?step=review"))
    assert "Nothing can be transferred as it is." in text_of(again)
    assert not again.xpath("//form[@data-busy]//button[@type='submit']")
    assert not Allocation.objects.exists()


@pytest.mark.parametrize("target", ["Engineering", "engineering", "Theirs", "Nowhere"])
def test_to_itself_to_a_stranger_and_to_nobody_is_refused(
    alice_client: Client, dna: Pool, umbrella: SmartAccount, target: str
):
    VirtualAccount.objects.create(smart_account=umbrella, name="Theirs", created_at=NOW)
    begin(alice_client, dna)
    form = rows({"pool": dna.pk, "quantity": "1", "target": target})
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", form), status=422)
    assert page.xpath("//*[@id='id_1-target_error']")
    assert not Allocation.objects.exists()


def test_nobody_chooses_what_is_not_theirs(
    bob_client: Client,
    carol_client: Client,
    mallory_client: Client,
    client_of: Callable[[User], Client],
    dna: Pool,
    default_va: VirtualAccount,
):
    deliver(default_va, line(dna.license, 3), now=NOW)
    foreign = Pool.objects.get(virtual_account=default_va)
    assert carol_client.get(WIZARD).status_code == 403
    assert mallory_client.get(WIZARD).status_code == 404
    response = bob_client.get(WIZARD, {"license": foreign.pk})
    assert response.headers["Location"] == f"{VA}licenses/"
    assert bob_client.get(f"{VA}licenses/{foreign.pk}/transfer/").status_code == 404
    assert "DEFAULT" not in bob_client.get(f"{VA}licenses/{dna.pk}/transfer/").content.decode()
    begin(bob_client, dna)
    form = rows({"pool": dna.pk, "quantity": "1", "target": "DEFAULT"})
    assert bob_client.post(f"{WIZARD}?step=lines", form).status_code == 422
    assert not carol_client.get(f"{VA}licenses/").content.decode().count("/transfer/")


def test_what_is_reserved_or_lent_stays(alice_client: Client, engineering: VirtualAccount, default_va: VirtualAccount):
    licenses = import_cuwl(NOW)
    deliver(engineering, line(licenses["CUWL"], 10), now=NOW)
    reserve(engineering, licenses["CUWL"], 3, NOW)
    use(make_instance(engineering, NOW), licenses["EPLUS"], 2, NOW)
    pool = Pool.objects.get(license__tag="CUWL")
    assert "5 free of 10" in text_of(begin(alice_client, pool))
    form = rows({"pool": pool.pk, "quantity": "6", "target": "DEFAULT"})
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", form), status=422)
    assert "6 asked for, but only 5 are free; the others are in use, reserved or lent." in text_of(page)


def test_what_has_expired_cannot_be_transferred(alice_client: Client, engineering: VirtualAccount):
    old = make_license("OLD", NOW)
    dates = {"startDate": "2020-01-01", "endDate": "2021-01-01"}
    deliver(engineering, line(old, 5, licenseType="TERM", **dates), now=NOW)
    pool = Pool.objects.get(license=old)
    begin(alice_client, pool)
    form = rows({"pool": pool.pk, "quantity": "1", "target": "DEFAULT"})
    page = check_page(alice_client.post(f"{WIZARD}?step=lines", form), status=422)
    assert "5 have expired" in text_of(page)


def test_the_cure_of_a_shortage_begins_the_wizard_filled_in(
    alice_client: Client, dna: Pool, default_va: VirtualAccount, sales: VirtualAccount
):
    use(make_instance(sales, NOW), dna.license, 3, NOW)
    short = Pool.objects.get(virtual_account=sales)
    explain = check_page(
        alice_client.get(f"/accounts/acme.example/inventory/Sales%20%26%20Co/licenses/{short.pk}/explain/")
    )
    (link,) = [a for a in explain.xpath("//section[@aria-labelledby='cures-title']//a") if "Transfer" in text_of(a)]
    assert text_of(link) == "Transfer 3"
    page = go(alice_client, alice_client.get(link.get("href")))
    assert page.xpath("//input[@name='1-quantity']/@value") == ["3"]
    assert page.xpath("//select[@name='1-target']/option[@selected]/@value") == ["Sales & Co"]
    line_ = {"pool": dna.pk, "quantity": "3", "target": "Sales & Co"}
    go(alice_client, transfer(alice_client, review(alice_client, line_)))
    assert live(dna.license, sales, NOW).now_balance == 0


# --- by file ---


def upload(client: Client, content: bytes) -> Any:
    file = BytesIO(content)
    file.name = "lines.csv"
    return client.post(f"{FILE}?step=file", {"file": file})


LINES = "license;quantity;targetVirtualAccount\r\nDNA-1 name;2;DEFAULT\r\n;;\r\nDNA-1 name;1;Sales & Co\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_is_reviewed_and_transferred_whatever_its_encoding(
    alice_client: Client, dna: Pool, default_va: VirtualAccount, sales: VirtualAccount, encoding: str
):
    VirtualAccount.objects.filter(pk=sales.pk).update(name="Café")
    page = go(alice_client, upload(alice_client, LINES.replace("Sales & Co", "Café").encode(encoding)))
    assert "Café DNA-1 name 0 → 1" in text_of(page)
    done = alice_client.post(f"{FILE}?step=review", {"key": key_of(page)})
    assert "3 licenses were transferred from Engineering to Café, DEFAULT" in text_of(go(alice_client, done))
    assert live(dna.license, default_va, NOW).now_purchased == 2


def test_the_template_is_sent_back_filled_in(alice_client: Client, dna: Pool, default_va: VirtualAccount):
    License.objects.update(display_name='=HYPERLINK("x"), "quoted"')
    response = alice_client.get(f"{WIZARD}template.csv")
    assert response["Content-Type"].startswith("text/csv")
    header, row = response.content.decode("utf-8-sig").splitlines()
    assert row.startswith('"\'=HYPERLINK(""x""), ""quoted""",DNA-1,,11,,,')
    filled = f"{header}\r\n{row.replace(',11,,,', ',11,4,DEFAULT,')}\r\n"
    page = go(alice_client, alice_client.post(f"{FILE}?step=file", {"text": filled}))
    go(alice_client, alice_client.post(f"{FILE}?step=review", {"key": key_of(page)}))
    assert live(dna.license, default_va, NOW).now_purchased == 4


def test_every_wrong_line_of_a_file_is_named_and_nothing_is_transferred(alice_client: Client, dna: Pool):
    content = (
        "license,quantity,targetVirtualAccount,licenseType\n"
        "DNA-1 name,1,DEFAULT,\n"
        "DNA-1 name,0,DEFAULT,\n"
        "Unknown,1,DEFAULT,\n"
        "DNA-1 name,1,Nowhere,\n"
        "DNA-1 name,1,DEFAULT,ETERNAL\n"
    )
    page = check_page(upload(alice_client, content.encode()), status=422)
    table = page.xpath("//*[@aria-label='What is wrong, line by line']//tbody/tr")
    assert [row.xpath("./td[1]")[0].text_content() for row in table] == ["3", "4", "5", "6"]
    assert "4 lines are wrong. Nothing was transferred." in text_of(page)
    assert not Allocation.objects.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The submitted file is empty."),
        (b"\xff\xfe\x00", "cut off or broken"),
        (b"a,b\n1,2\n", "There is no column"),
        (b"license,quantity,targetVirtualAccount\n", "there is nothing to transfer"),
        (b'license,quantity,targetVirtualAccount\n"open,1,DEFAULT\n', "This is not CSV"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(alice_client: Client, dna: Pool, content: bytes, words: str):
    page = check_page(upload(alice_client, content), status=422)
    assert words in text_of(page)


def test_a_file_of_a_million_lines_is_refused_with_the_number_of_its_lines(alice_client: Client, dna: Pool):
    content = b"entitlementTag,quantity,targetVirtualAccount\n" + b"DNA-1,1,DEFAULT\n" * 1_000_000
    page = check_page(upload(alice_client, content), status=422)
    assert "about 1,000,001 lines; a transfer has at most 998" in text_of(page)


def test_a_text_too_long_to_paste_is_refused_with_what_to_do(alice_client: Client, dna: Pool):
    text = "entitlementTag,quantity,targetVirtualAccount\n" + "DNA-1,1,DEFAULT\n" * 200_000
    page = check_page(alice_client.post(f"{FILE}?step=file", {"text": text}), status=400)
    assert "too large" in text_of(page)


def test_a_file_chosen_anew_takes_the_place_of_the_lines_of_the_first(
    alice_client: Client, dna: Pool, sales: VirtualAccount
):
    def choose(quantity: int, **fields: str) -> Any:
        text = f"license,quantity,targetVirtualAccount\nDNA-1 name,{quantity},{sales.name}\n"
        file = SimpleUploadedFile("lines.csv", text.encode())
        return alice_client.post(f"{FILE}?step=file", {"file": file, **fields})

    assert choose(2).status_code == 302
    (shown,) = check_page(alice_client.get(f"{FILE}?step=file")).xpath("//textarea[@name='text']/text()")
    assert choose(3, text=shown.lstrip()).status_code == 302
    review = check_page(alice_client.get(f"{FILE}?step=review"))
    assert review.xpath("//td[@data-label='Quantity']/text()") == ["3"]
    refused = check_page(choose(4, text=f"{shown}and more"), status=422)
    assert "one of the two" in refused.text_content()
