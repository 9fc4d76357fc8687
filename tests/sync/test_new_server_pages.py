"""New On-Prem: a file is checked, its effect reviewed, its server registered, and the answer downloaded."""

import gzip
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import SmartAccount, VirtualAccount
from sync.models import Exchange, OnPremServer, ServerCertificate
from sync.services.storage import StoredFile
from sync.states import Side
from tests.keys import load_keys
from tests.portal.markup import check_page
from tests.sync.conftest import Plant
from tests.sync.files import Server, sign
from tests.sync.test_server_pages import ONPREM, page_of, text_of

NEW = f"{ONPREM}new/"


@pytest.fixture(autouse=True)
def _at(travel: Any) -> Any:
    return travel


def choose(client: Client, data: bytes, virtual_account: VirtualAccount, **fields: str) -> Any:
    file = SimpleUploadedFile("registration.yaml", data)
    return client.post(f"{NEW}?step=file", {"file": file, "virtual_account": str(virtual_account.pk), **fields})


def press(client: Client) -> Any:
    """The button of the review, as the page has it."""
    page = check_page(client.get(f"{NEW}?step=review"))
    return client.post(f"{NEW}?step=review", {"key": page.xpath("//input[@name='key']/@value")[0]})


def problems(page: Any) -> list[tuple[str, ...]]:
    rows = page.xpath("//div[@aria-label='What is wrong with the file']//tbody/tr")
    return [tuple(text_of(cell) for cell in row.xpath("./td")) for row in rows]


def nothing_happened() -> bool:
    return not (OnPremServer.objects.exists() or Exchange.objects.exists() or ServerCertificate.objects.exists())


def test_a_server_is_registered_and_its_authorization_file_downloaded(
    authorities: None, bob_client: Client, engineering: VirtualAccount
):
    page = check_page(bob_client.get(NEW))
    assert page.xpath("//select[@name='virtual_account']/option/text()") == ["Engineering"], "his only one"
    data = Server().registration()
    answer = choose(bob_client, gzip.compress(data), engineering, name="Plant  north")
    assert (answer.status_code, answer["Location"]) == (302, f"{NEW}?step=review")
    review = text_of(check_page(bob_client.get(answer["Location"])))
    assert "On-Prem name Plant north UUID 0f2e4c1a" in review
    assert "HTTPS certificates for plant7.acme.example, ui.plant7.acme.example" in review
    assert "signed after 48 hours" in review
    assert nothing_happened(), "only reviewed so far"
    done = press(bob_client)
    server = OnPremServer.objects.get()
    assert (done.status_code, done["Location"]) == (302, f"{server.path}authorization/")
    assert (server.name, server.virtual_account) == ("Plant north", engineering)
    page = check_page(bob_client.get(done["Location"]))
    assert "Plant north is registered" in text_of(page)
    file = bob_client.get(f"{done['Location']}?download")
    exchange = Exchange.objects.get()
    assert b"".join(file) == b"".join(StoredFile(exchange, Side.RESPONSE))
    assert "authorization_response_Plant_north" in file["Content-Disposition"]
    assert len(b"".join(StoredFile(exchange, Side.REQUEST))) == len(data)


def test_a_second_press_leads_to_the_same_file(authorities: None, bob_client: Client, engineering: VirtualAccount):
    choose(bob_client, Server().registration(), engineering)
    key = check_page(bob_client.get(f"{NEW}?step=review")).xpath("//input[@name='key']/@value")[0]
    answers = [bob_client.post(f"{NEW}?step=review", {"key": key}) for _ in range(2)]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Exchange.objects.count() == 1
    choose(bob_client, Server().registration(), engineering)
    page = check_page(bob_client.get(f"{NEW}?step=review"))
    assert ("registered before" in text_of(page)) or ("known with this key" in text_of(page))


def test_every_problem_of_a_file_is_shown_with_its_line_and_nothing_is_registered(
    authorities: None, bob_client: Client, engineering: VirtualAccount
):
    server = Server()
    content = server.registration_content().replace(':satellite_name: "Plant 7"', ":satellite_name: []\n:colour: red")
    answer = choose(bob_client, sign(content, server.key), engineering)
    page = check_page(answer, status=422)
    found = problems(page)
    assert [(line, key) for line, key, _ in found] == [("3", ":satellite_name:"), ("4", ":colour:")]
    assert [text.rpartition(" ")[2] for _, _, text in found] == ["WRONG_TYPE", "UNKNOWN_KEY"]
    assert "2 things are wrong with this file. Nothing was registered." in text_of(page)
    assert nothing_happened()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "The submitted file is empty"),
        (b"hello", "SIGNATURE_INVALID"),
        (Server().registration().replace(b"Plant 7", b"Plant 8"), "SIGNATURE_INVALID"),
        (b"x" * (512 * 1024 + 1), "It has more than 524288 bytes"),
        (gzip.compress(b" " * (512 * 1024 + 1)), "TOO_LARGE"),
    ],
)
def test_what_is_no_registration_file_is_refused(
    authorities: None, bob_client: Client, engineering: VirtualAccount, data: bytes, code: str
):
    page = check_page(choose(bob_client, data, engineering), status=422)
    assert code in text_of(page)
    assert nothing_happened()


def test_a_server_of_another_customer_is_refused(registered: Plant, mallory_client: Client, umbrella: SmartAccount):
    theirs = VirtualAccount.objects.get(smart_account=umbrella)
    data = Server(host="plant.umbrella.example").registration()
    url = "/accounts/umbrella.example/onprem/new/"
    answer = mallory_client.post(
        f"{url}?step=file", {"file": SimpleUploadedFile("r.yaml", data), "virtual_account": str(theirs.pk)}
    )
    assert "SERVER_REGISTERED_ELSEWHERE" in text_of(check_page(answer, status=422))
    assert OnPremServer.objects.get().smart_account.domain == "acme.example"


def test_another_key_of_a_known_server_has_to_be_confirmed(
    registered: Plant, bob_client: Client, engineering: VirtualAccount
):
    keys = load_keys()
    stranger = Server(key=keys[3], tg_key=keys[4], ssms_key=keys[5])
    assert choose(bob_client, stranger.registration(), engineering)["Location"] == f"{NEW}?step=anew"
    page = check_page(bob_client.get(f"{NEW}?step=review"))
    assert "Plant 7 is registered with another key" in text_of(page), "no way around the question"
    of = page.xpath("//input[@name='of']/@value")[0]
    refused = check_page(bob_client.post(f"{NEW}?step=anew", {"of": of}), status=422)
    assert "Tick this, or keep the server as it is." in text_of(refused)
    assert registered.row.registration == 1
    assert bob_client.post(f"{NEW}?step=anew", {"of": of, "confirm": "on"})["Location"] == f"{NEW}?step=review"
    other = Server(key=keys[6], tg_key=keys[4], ssms_key=keys[5])
    choose(bob_client, other.registration(), engineering)
    page = check_page(bob_client.get(f"{NEW}?step=review"))
    assert "Plant 7 is registered with another key" in text_of(page), "the consent was for another file"
    of = page.xpath("//input[@name='of']/@value")[0]
    bob_client.post(f"{NEW}?step=anew", {"of": of, "confirm": "on"})
    assert press(bob_client)["Location"] == page_of(registered, "authorization/")
    assert registered.row.registration == 2


def test_a_server_that_came_to_be_known_meanwhile_is_not_registered_anew_unasked(
    plant: Plant, bob_client: Client, engineering: VirtualAccount
):
    keys = load_keys()
    choose(bob_client, Server(key=keys[3], tg_key=keys[4], ssms_key=keys[5]).registration(), engineering)
    key = check_page(bob_client.get(f"{NEW}?step=review")).xpath("//input[@name='key']/@value")[0]
    plant.register()
    answer = check_page(bob_client.post(f"{NEW}?step=review", {"key": key}), status=422)
    assert "is registered with another key" in text_of(answer)
    assert plant.row.registration == 1


def test_a_viewer_does_not_get_in(authorities: None, carol_client: Client, registered: Plant):
    assert carol_client.get(NEW).status_code == 403
    assert carol_client.get(page_of(registered, "authorization/?download")).status_code == 403


def test_a_virtual_account_that_one_does_not_manage_is_no_choice(
    authorities: None, bob_client: Client, default_va: VirtualAccount
):
    check_page(choose(bob_client, Server().registration(), default_va), status=422)
    assert nothing_happened()
