"""The file inbox and the page of an exchange, as people with their roles see and use them."""

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import License, ProductInstance
from sync.models import Exchange
from sync.services import imports, staging
from sync.services.imports import Keeper
from sync.services.queue import delete_old_files, work_exchanges
from sync.states import ExchangeState
from sync.views import files
from tests.keys import load_keys
from tests.portal.markup import check_page
from tests.sync.conftest import Plant, parse
from tests.sync.files import account, instance, pack, sign

INBOX = "/accounts/acme.example/onprem/upload/"
InUse = Callable[..., int]

pytestmark = pytest.mark.usefixtures("travel")


def drop(client: Client, *contents: bytes, part: bool = False, **fields: str) -> Any:
    """Files sent as the form sends them; `part` as the script does."""
    named = [SimpleUploadedFile(f"file-{number}.yaml", data) for number, data in enumerate(contents, 1)]
    headers = {"HX-Request": "true"} if part else {}
    return client.post(INBOX, {"files": named, **fields}, headers=headers)


def told(response: Any) -> list[str]:
    page = check_page(response)
    return [" ".join(row.text_content().split()) for row in page.xpath("//ul[contains(@class, 'upload-list')]/li")]


def page_of(exchange: Exchange) -> str:
    return f"/accounts/acme.example/onprem/{exchange.server.uuid}/exchanges/{exchange.pk}/"


def many(count: int, quantity: int = 1) -> str:
    return account(1, "Engineering", *(instance(n, uses={"tag_a": quantity}) for n in range(1, count + 1)))


@pytest.fixture
def second(registered: Plant, engineering: VirtualAccount, now: datetime) -> Plant:
    keys = load_keys()
    plant = Plant(
        registered.actor, engineering, now, uuid="11111111-1111-4111-8111-111111111111", host="p8.acme.example",
        name="Plant 8", key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    plant.register()
    return plant


@pytest.fixture
def waiting(registered: Plant, license: License) -> Exchange:
    return registered.upload(registered.write(many(30)), in_background=True)


# --- the inbox ----


def test_files_of_several_servers_are_each_told_what_became_of_them(
    alice_client: Client, registered: Plant, second: Plant, license: License, in_use: InUse
):
    good, packed = registered.write(many(3)), pack(second.write(account(1, "Engineering", instance(9))))
    wrong = second.server.synchronization_content(many(1).replace("quantity: 1", "quantity: 0x1"), full=True)
    rows = told(
        drop(
            alice_client, good, packed, sign(wrong, second.server.key, second.server.id_cert), b"hello", good,
            second.server.registration(),
        )
    )  # fmt: skip
    assert [("Plant 7" in row, "Plant 8" in row) for row in rows] == [
        (True, False), (False, True), (False, True), (False, False), (True, False), (False, False),
    ]  # fmt: skip
    assert "Applied" in rows[0]
    assert "3 added, 0 removed, 0 changed" in rows[0]
    assert "Applied" in rows[1]
    assert "Refused" in rows[2]
    assert ":consumed_quantity:WRONG_TYPE" in rows[2]
    assert "SIGNATURE_INVALID" in rows[3]
    assert "changes nothing a second time" in rows[4]
    assert "New On-Prem" in rows[5]
    assert in_use() == 3


def test_with_script_each_file_is_answered_by_its_own_line(alice_client: Client, registered: Plant, license: License):
    response = drop(alice_client, registered.write(many(2)), part=True)
    assert b"<html" not in response.content
    assert response.content.count(b"<li") == 1
    assert b"2 added" in response.content


def test_a_large_file_goes_on_in_the_background_and_names_its_progress(
    alice_client: Client, registered: Plant, license: License, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imports, "DIRECT_UP_TO", 1000)
    [row] = told(drop(alice_client, registered.write(many(3))))
    exchange = Exchange.objects.open().get()
    assert "in the background" in row
    assert "Progress" in row
    check_page(alice_client.get(page_of(exchange)))


def test_a_small_file_waits_behind_the_earlier_ones_of_its_server(
    alice_client: Client, waiting: Exchange, registered: Plant, in_use: InUse, now: datetime
):
    told(drop(alice_client, registered.write(many(5), full=True)))
    assert [row.state for row in Exchange.objects.open()] == ["waiting", "waiting"]
    assert work_exchanges(now=now) == 2
    assert in_use() == 5


def test_a_long_form_does_not_keep_its_sender_waiting(
    alice_client: Client, registered: Plant, second: Plant, license: License, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "SECONDS_DIRECT", -1.0)
    rows = told(drop(alice_client, registered.write(many(1)), second.write(account(1, "Engineering", instance(9)))))
    assert ["Progress" in row for row in rows] == [True, True]


def test_a_file_of_another_company_says_nothing_of_its_server(
    alice_client: Client, registered: Plant, umbrella: SmartAccount, mallory: User, now: datetime
):
    keys = load_keys()
    theirs = Plant(
        actor_for_user(mallory), VirtualAccount.objects.get(smart_account=umbrella), now,
        uuid="22222222-2222-4222-8222-222222222222", host="p.umbrella.example", name="Secret lab",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    theirs.register()
    known = theirs.write(account(1, "DEFAULT", instance(7)))
    unknown = sign(theirs.server.synchronization_content(), keys[1], "-----BEGIN CERTIFICATE-----\nAAAA\n")
    rows = told(drop(alice_client, known, unknown))
    assert rows[0].replace("file-1", "file-2") == rows[1]
    assert "UNKNOWN_SERVER" in rows[0]
    assert "Secret lab" not in rows[0]
    assert ProductInstance.objects.count() == 0


def test_a_server_of_a_virtual_account_that_one_may_not_manage_is_not_reached(
    bob_client: Client, bob: User, admin_actor: Any, default_va: VirtualAccount, authorities: None, now: datetime
):
    plant = Plant(admin_actor, default_va, now)
    plant.register()
    [row] = told(drop(bob_client, plant.write(account(1, "DEFAULT", instance(1)))))
    assert "UNKNOWN_SERVER" in row
    assert ProductInstance.objects.count() == 0


def test_our_own_files_are_for_the_server(alice_client: Client, registered: Plant):
    ours = b"".join(imports.StoredFile(Exchange.objects.get(), imports.Side.RESPONSE))
    [row] = told(drop(alice_client, ours))
    assert "install it there" in row


def test_nothing_chosen_is_said_and_a_viewer_does_not_get_in(
    alice_client: Client, carol_client: Client, acme: SmartAccount
):
    assert b"Choose one or more files first" in drop(alice_client).content
    assert carol_client.get(INBOX).status_code == 403
    assert drop(carol_client, b"x").status_code == 403


def test_the_inbox_lists_what_came_before_and_finds_it(alice_client: Client, registered: Plant, second: Plant):
    registered.synchronize(account(1, "Engineering"))
    page = check_page(alice_client.get(INBOX, {"q": "plant 8"}))
    assert [row.text_content() for row in page.xpath("//tbody/tr/td[2]")] == ["Plant 8"]
    exported = alice_client.get(INBOX, {"export": "csv", "state": "applied"})
    assert b"".join(exported.streaming_content).count(b"Plant 7") == 2


# --- dry run and difference ----


def test_a_dry_run_shows_what_would_change_and_is_applied_from_its_page(
    alice_client: Client, registered: Plant, license: License, in_use: InUse
):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 2}), instance(6)))
    data = registered.write(account(1, "Engineering", instance(7, uses={"tag_a": 5}), instance(8)), full=True)
    [row] = told(drop(alice_client, data, dry_run="1"))
    assert "Applying it would mean: 1 added, 1 removed, 0 changed" in row
    compared = Exchange.objects.get(is_dry_run=True)
    page = check_page(alice_client.get(page_of(compared)))
    assert "Nothing was changed." in page.text_content()
    figures = [cell.text_content() for cell in page.xpath("//tbody/tr/td")]
    assert figures == ["License A", "Engineering", "2", "5", "0", "-5", "Out Of Compliance"]
    assert in_use() == 2
    confirm = alice_client.get(f"{page_of(compared)}apply/").content
    assert b"Removed: 1" in confirm
    response = alice_client.post(f"{page_of(compared)}apply/")
    applied = Exchange.objects.get(state=ExchangeState.APPLIED, digest=compared.digest)
    assert (response.status_code, response.headers["Location"]) == (302, page_of(applied))
    assert in_use() == 5
    again = alice_client.post(f"{page_of(applied)}apply/")
    assert b"Only a file that was compared can be applied" in again.content


def test_a_dry_run_that_another_file_overtook_is_refused_with_what_to_do(
    alice_client: Client, registered: Plant, license: License, in_use: InUse
):
    compared = registered.upload(registered.write(many(2), full=True), dry_run=True)
    registered.synchronize(many(4), full=True)
    response = alice_client.post(f"{page_of(compared)}apply/")
    assert response.status_code == 422
    assert b"Upload the newest file of the server" in response.content
    assert in_use() == 4


def test_the_difference_lists_every_instance_and_is_exported(alice_client: Client, registered: Plant, license: License):
    registered.synchronize(many(3))
    rows = [
        instance(1, uses={"tag_a": 4}), instance(2, uses={"tag_a": 1}, hostname="new-name"),
        instance(9, uses={"tag_a": 2}), instance(10, udi_serial_number="FCW9"),
    ]  # fmt: skip
    exchange = registered.upload(registered.write(account(1, "Engineering", *rows), full=True))
    lists = f"{page_of(exchange)}instances/"
    export = b"".join(alice_client.get(lists, {"export": "csv"}).streaming_content).decode("utf-8-sig")
    cells = [(row[0], row[1], row[3]) for row in csv.reader(io.StringIO(export))][1:]
    assert cells == [
        ("C9300-24UX:FCW1", "Uses otherwise", "'+3 License A"),
        ("C9300-24UX:FCW2", "Changed", ""),
        ("C9300-24UX:FCW9", "Added", ""),
        ("C9300-24UX:FCW9", "Added", ""),
        ("C9300-24UX:FCW3", "Removed", "−1 License A"),
        ("C9300-24UX:FCW9", "Not counted", "The server has this product twice; the one registered later counts."),
    ]
    page = check_page(alice_client.get(lists, {"change": "removed"}))
    assert [cell.text_content() for cell in page.xpath("//tbody/tr/td[1]")] == ["C9300-24UX:FCW3"]
    assert b"fcw2" in alice_client.get(lists, {"q": "fcw2"}).content.lower()
    check_page(alice_client.get(f"{page_of(exchange)}licenses/"))
    workbook: Any = alice_client.get(f"{page_of(exchange)}licenses/", {"export": "xlsx"})
    assert b"".join(workbook).startswith(b"PK")
    workbook.close()


def test_an_exchange_says_who_uploaded_it_and_gives_both_files_for_90_days(
    alice_client: Client, carol_client: Client, registered: Plant, license: License, alice: User, now: datetime,
    travel: Any,
):  # fmt: skip
    data = registered.write(many(2))
    exchange = registered.upload(data)
    page = alice_client.get(page_of(exchange))
    assert alice.label in check_page(page).text_content()
    request = alice_client.get(f"{page_of(exchange)}request/")
    response = alice_client.get(f"{page_of(exchange)}response/")
    assert b"".join(request.streaming_content) == data
    assert "attachment" in request.headers["Content-Disposition"]
    assert parse(b"".join(response.streaming_content))[":type"] == "synchronization_response"
    assert "Response for the server" not in check_page(carol_client.get(page_of(exchange))).text_content()
    assert carol_client.get(f"{page_of(exchange)}response/").status_code == 403
    delete_old_files(now=now + timedelta(days=90))
    assert "deleted 90 days after" in check_page(alice_client.get(page_of(exchange))).text_content()
    assert alice_client.get(f"{page_of(exchange)}request/").status_code == 404


# --- progress ----


def test_the_progress_page_reads_the_row_alone_and_ends_at_the_result(
    alice_client: Client, waiting: Exchange, now: datetime, travel: Any, monkeypatch: pytest.MonkeyPatch
):
    half, shown = waiting.content_length // 2, []

    def look(self: Keeper, bytes_read: int, rows: int) -> None:
        values = {"bytes_read": half, "rows_staged": 15}
        Exchange.objects.filter(pk=waiting.pk).update(**values)
        travel.shift(timedelta(seconds=30))
        part = alice_client.get(f"{page_of(waiting)}progress/", headers={"HX-Request": "true"})
        shown.append(" ".join(part.content.decode().split()))

    monkeypatch.setattr(Keeper, "beat", look)
    page = check_page(alice_client.get(page_of(waiting)))
    assert page.xpath("//*[@id='exchange-progress']/@hx-get") == [f"{page_of(waiting)}progress/"]
    work_exchanges(now=now)
    assert "Being read" in shown[0]
    assert f"{half:,} of" in shown[0]
    assert "about 90 seconds left" in shown[0] or "about 2 minutes left" in shown[0]
    assert "Cancel this file" in shown[0]
    done = alice_client.get(f"{page_of(waiting)}progress/", headers={"HX-Request": "true"})
    assert done.headers["HX-Redirect"] == page_of(waiting)
    assert "What it changed" in check_page(alice_client.get(page_of(waiting))).text_content()


def test_a_file_is_cancelled_from_its_page_until_it_is_applied(
    alice_client: Client, carol_client: Client, waiting: Exchange, in_use: InUse, now: datetime
):
    assert carol_client.post(f"{page_of(waiting)}cancel/").status_code == 403
    assert b"Cancel this file" not in carol_client.get(page_of(waiting)).content
    alice_client.post(f"{page_of(waiting)}cancel/")
    assert work_exchanges(now=now) == 0
    waiting.refresh_from_db()
    assert (waiting.state, in_use()) == (ExchangeState.CANCELLED, 0)
    assert "Nothing was changed" in check_page(alice_client.get(page_of(waiting))).text_content()


def test_what_is_applied_is_not_cancelled_any_more(alice_client: Client, registered: Plant, license: License):
    exchange = registered.upload(registered.write(many(2)))
    assert b"too late to cancel" in alice_client.post(f"{page_of(exchange)}cancel/").content


def test_a_refused_file_shows_line_key_code_and_message(
    alice_client: Client, registered: Plant, license: License, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(staging, "BEGINNING", 0)
    content = registered.server.synchronization_content(many(2).replace("quantity: 1", "quantity: 0x1", 1))
    exchange = registered.upload(sign(content, registered.server.key, registered.server.id_cert), in_background=True)
    work_exchanges(now=now)
    cells = check_page(alice_client.get(page_of(exchange))).xpath("//tbody/tr[1]/td")
    what, line, where, code = [cell.text_content() for cell in cells]
    assert (code, where) == (
        "WRONG_TYPE",
        ":virtual_accounts:[0]:product_instances:[0]:license:[0]:consumed_quantity:",
    )
    assert int(line) > 40
    assert what


def test_the_page_of_an_exchange_is_below_its_own_server(
    alice_client: Client, mallory_client: Client, registered: Plant, second: Plant
):
    exchange = Exchange.objects.filter(server=registered.row).get()
    wrong = page_of(exchange).replace(str(registered.row.uuid), str(second.row.uuid))
    assert alice_client.get(wrong).status_code == 404
    assert mallory_client.get(page_of(exchange)).status_code == 404
