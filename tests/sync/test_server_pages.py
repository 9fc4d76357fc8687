"""The pages of on-prem servers: the list of an account, one server, what it holds and has, what was exchanged."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from cssm.common.permissions import Role
from licensing.models import License, Origin, ProductInstance
from pki.models import RootRequest
from pki.services import root_queue
from sync.models import OnPremServer, ServerCertificate
from sync.services.three_tier import hold_three_tier
from sync.states import ServerHealth
from tests.portal.markup import check_page, parse_page
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

ONPREM = "/accounts/acme.example/onprem/"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at(travel: Any) -> Any:
    return travel


@pytest.fixture
def synchronized(registered: Plant, license: License) -> Plant:
    registered.synchronize(
        account(
            1,
            "Engineering",
            instance(7, uses={"tag_a": 3}, hostname="edge-7"),
            instance(8, uses={"tag_a": 2}, ip_address="10.0.0.8"),
        )
    )
    return registered


def page_of(plant: Plant, tail: str = "") -> str:
    return f"{ONPREM}{plant.server.uuid}/{tail}"


def text_of(page: Any) -> str:
    return " ".join(" ".join(page.itertext()).split())


def row_of(page: Any, name: str) -> str:
    rows = [text_of(row) for row in page.xpath("//tbody/tr") if name in row.text_content()]
    assert len(rows) == 1, rows
    return rows[0]


def test_an_empty_list_says_what_to_do_to_whoever_may(alice_client: Client, carol_client: Client, authorities: None):
    page = check_page(alice_client.get(ONPREM))
    assert "New On-Prem" in page.xpath("string(//div[contains(@class, 'empty')])")
    assert page.xpath(f"//a[@href='{ONPREM}new/']")
    assert not check_page(carol_client.get(ONPREM)).xpath(f"//a[@href='{ONPREM}new/']")
    assert page.xpath("//nav[contains(@class, 'side-nav')]//a[@aria-current='page']/@href") == [ONPREM]


def test_the_list_tells_status_deadline_licenses_and_devices(
    synchronized: Plant, carol: User, client_of: Callable[[User], Client], travel: Any
):
    def look(query: str = "") -> Any:
        return client_of(carol).get(f"{ONPREM}{query}")

    assert row_of(check_page(look()), "Plant 7").startswith(
        "Plant 7 Synchronized Engineering just now Overdue in 30 days 5 2"
    )
    travel.shift(29 * DAY)
    assert "Overdue in 24 hours" in row_of(parse_page(look()), "Plant 7")
    travel.shift(DAY)
    assert "Synchronization overdue" in row_of(parse_page(look()), "Plant 7")
    assert "Removal in 60 days" in row_of(parse_page(look("?status=overdue")), "Plant 7")
    assert not parse_page(look("?status=current")).xpath("//tbody/tr")
    export = b"".join(look("?export=csv"))
    assert b"Plant 7,Synchronization overdue,Engineering," in export
    assert b"Removal 2026-05-31 09:30" in export


def test_the_status_in_the_database_is_that_of_the_server(registered: Plant, now: datetime):
    moments = [now + days * DAY + step for days in (0, 30, 60, 90) for step in (-timedelta(seconds=1), timedelta())]
    for change in ({}, {"last_sync_at": now + DAY}, {"last_sync_at": now - DAY}, {"state": "removed"}):
        OnPremServer.objects.update(**change)
        for moment in moments:
            row = OnPremServer.objects.with_health(moment).get()
            assert (ServerHealth(row.health), row.heard) == (row.health_at(moment), row.heard_at), (change, moment)


def test_more_servers_ask_the_database_no_more(registered: Plant, carol_client: Client, engineering: VirtualAccount):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert carol_client.get(f"{ONPREM}?status=all").status_code == 200
        return len(queries)

    count()
    before = count()
    account, moment = engineering.smart_account, registered.now
    for number in range(8):
        OnPremServer.objects.create(
            smart_account=account, virtual_account=engineering, uuid=uuid4(), name=f"Plant {number}", lcs_key=b"x",
            state="registered", registered_at=moment,
            origin=Origin.objects.create(name=f"origin {number}", smart_account=account),
        )  # fmt: skip
    assert count() == before


def test_servers_of_others_are_in_no_list_and_have_no_page(
    synchronized: Plant, mallory_client: Client, client_of: Callable[[User], Client], acme: SmartAccount, now: datetime
):
    assert mallory_client.get(ONPREM).status_code == 404
    own = "/accounts/umbrella.example/onprem/"
    assert "Plant 7" not in mallory_client.get(own).content.decode()
    assert mallory_client.get(f"{own}{synchronized.server.uuid}/").status_code == 404
    sales = VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=now)
    dave = User.objects.create_user("dave@acme.example", None, date_joined=now)
    Membership.objects.create(user=dave, smart_account=acme, virtual_account=sales, role=Role.VA_ADMIN, created_at=now)
    assert not parse_page(client_of(dave).get(ONPREM)).xpath("//tbody/tr")
    assert client_of(dave).get(page_of(synchronized)).status_code == 404


def test_the_page_shows_all_eight_certificates_to_download(registered: Plant, carol_client: Client):
    page = check_page(carol_client.get(page_of(registered)))
    links = page.xpath("//section[@aria-labelledby='certificates-title']//td[@class='actions']/a/@href")
    names = {link.rpartition("/")[2].removesuffix(".pem") for link in links}
    assert names == {
        "id_cert", "sub_ca_cert", "signing_cert", "local_sub_ca_cert_1_1", "tg_ssl_cert", "tg_issuer_cert",
        "satellite_cert", "ssms_ssl_cert",
    }  # fmt: skip
    answer = carol_client.get(page_of(registered, "certificates/id_cert.pem"))
    assert answer.content.decode() == registered.server.id_cert
    serial = ServerCertificate.objects.get(kind="id_cert").certificate.serial
    assert f"CN={registered.server.uuid} {serial} 02 Mar 2027 PEM" in text_of(page)
    assert carol_client.get(page_of(registered, "certificates/local_sub_ca_cert.pem")).status_code == 404


def test_the_3_tier_certificate_is_counted_down_held_and_shown_once_signed(
    registered: Plant, carol_client: Client, olivia: User, travel: Any, now: datetime
):
    def panel() -> str:
        page = parse_page(carol_client.get(page_of(registered)))
        return text_of(page.xpath("//section[@aria-labelledby='three-tier-title']")[0])

    assert "It is signed in 48 hours , at 2026-03-04 09:30 UTC" in panel()
    assert "products with newer agents register to the server at once" in panel()
    travel.shift(timedelta(hours=47))
    assert "It is signed in 1 hour , at" in panel()
    hold_three_tier(actor=actor_for_user(olivia), server=registered.row, reason="identity not clear", now=now)
    assert "Held by the operator. identity not clear" in panel()
    RootRequest.objects.update(state="waiting")
    travel.shift(timedelta(hours=2))
    assert "Due since 1 hour ago" in panel()
    assert root_queue.sign_due(now=now + timedelta(hours=49)) == 1
    assert panel().startswith("3-tier certificate Signed.")
    assert carol_client.get(page_of(registered, "certificates/local_sub_ca_cert.pem")).status_code == 200


def test_local_accounts_are_shown_with_their_links_and_why_there_is_none(
    plant: Plant, bob: User, bob_client: Client, license: License
):
    plant.register(actor=actor_for_user(bob))
    plant.synchronize(account(1, "Engineering"), account(2, "Lab", instance(9)))
    page = check_page(bob_client.get(page_of(plant)))
    linked, held = (text_of(row) for row in page.xpath("//section[@aria-labelledby='accounts-title']//tbody/tr"))
    assert linked == "Engineering 1 Engineering –"
    assert "Lab 2 not linked Link Lab There is no Virtual Account" in held
    assert "1 product instance counts nowhere until it is linked." in held


def test_instances_of_other_virtual_accounts_are_not_shown(
    registered: Plant, bob_client: Client, alice_client: Client, acme: SmartAccount, now: datetime
):
    VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=now)
    registered.synchronize(account(1, "Engineering", instance(7)), account(2, "Sales", instance(8)))
    tab = page_of(registered, "instances/")
    seen = [text_of(check_page(client.get(tab)).xpath("//table")[0]) for client in (alice_client, bob_client)]
    assert [("FCW7" in text, "FCW8" in text) for text in seen] == [(True, True), (True, False)]
    page = text_of(check_page(bob_client.get(page_of(registered))))
    assert "Sales 2 a Virtual Account that you do not see" in page
    assert "Product Instances 1" in page


def test_the_history_tells_who_uploaded_what_and_what_it_changed(synchronized: Plant, alice_client: Client):
    synchronized.upload(synchronized.write(account(1, "Engineering", instance(7)), full=True), dry_run=True)
    page = check_page(alice_client.get(page_of(synchronized, "exchanges/")))
    rows = [text_of(row) for row in page.xpath("//tbody/tr")]
    assert sorted(row.split("just now ")[-1].split(" alice")[0] for row in rows) == [
        "Registration Applied",
        "Synchronization, full Compared, not applied",
        "Synchronization, incremental Applied",
    ]
    compared, applied = (next(row for row in rows if word in row) for word in ("Compared", "incremental"))
    assert "alice@acme.example 2 0 0 0" in applied
    assert "alice@acme.example 0 1" in compared
    filtered = parse_page(alice_client.get(page_of(synchronized, "exchanges/?kind=registration")))
    assert len(filtered.xpath("//tbody/tr")) == 1
    assert b"alice@acme.example" in b"".join(alice_client.get(page_of(synchronized, "exchanges/?export=csv")))


def test_what_privacy_keeps_back_is_told(synchronized: Plant, carol_client: Client):
    page = check_page(carol_client.get(page_of(synchronized)))
    panel = text_of(page.xpath("//section[@aria-labelledby='privacy-title']")[0])
    assert "Devices 2 Host names known of 1 IP addresses known of 1 MAC addresses not sent" in panel


def test_a_server_is_renamed_by_those_who_may(synchronized: Plant, bob_client: Client, carol_client: Client):
    url = page_of(synchronized, "rename/")
    assert carol_client.post(url, {"name": "x"}).status_code == 403
    assert bob_client.post(url, {"name": " "}).status_code == 422
    assert bob_client.post(url, {"name": "Plant  seven"}).status_code == 302
    assert "Plant seven" in row_of(parse_page(bob_client.get(ONPREM)), "Plant seven")
    response = synchronized.synchronize(account(1, "Engineering"))
    assert response[":satellite_name"] == "Plant seven"


def test_removing_a_server_tells_first_what_it_takes_along(
    synchronized: Plant, bob_client: Client, carol_client: Client
):
    url = page_of(synchronized, "remove/")
    assert carol_client.get(url).status_code == 403
    told = text_of(check_page(bob_client.get(url)))
    assert "product instances, 2 in all" in told
    assert "licenses that they use, 5 in all" in told
    assert synchronized.row.state == "registered", "asking changes nothing"
    assert bob_client.post(url).status_code == 302
    assert (synchronized.row.state, ProductInstance.objects.active().count()) == ("removed", 0)
    assert not parse_page(bob_client.get(ONPREM)).xpath("//tbody/tr")
    assert "Removed" in row_of(parse_page(bob_client.get(f"{ONPREM}?status=removed")), "Plant 7")
    page = check_page(bob_client.get(page_of(synchronized)))
    assert "register it anew under “New On-Prem”" in text_of(page)
    assert "revoked" in text_of(page.xpath("//section[@aria-labelledby='certificates-title']")[0])
    assert bob_client.post(url).status_code == 422


def test_alerts_lead_to_the_page_of_the_server(registered: Plant, carol_client: Client, now: datetime):
    dispatch(now=now)
    path = Alert.objects.get().path
    assert path == page_of(registered)
    assert carol_client.get(path).status_code == 200


def test_a_product_names_the_server_it_reports_through(
    synchronized: Plant, carol_client: Client, client_of: Callable[[User], Client], acme: SmartAccount, now: datetime
):
    edge = ProductInstance.objects.get(hostname="edge-7")
    dialog = f"/accounts/acme.example/inventory/Engineering/instances/{edge.piid}/"
    assert check_page(carol_client.get(dialog)).xpath(f"//a[@href='{page_of(synchronized)}']/text()") == ["Plant 7"]
    table = carol_client.get("/accounts/acme.example/inventory/Engineering/instances/?columns=reports")
    assert "through Plant 7" in text_of(check_page(table))
    sales = VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=now)
    ProductInstance.objects.filter(pk=edge.pk).update(virtual_account=sales)
    dave = User.objects.create_user("dave@acme.example", None, date_joined=now)
    Membership.objects.create(user=dave, smart_account=acme, virtual_account=sales, role=Role.VA_USER, created_at=now)
    page = check_page(client_of(dave).get(dialog.replace("Engineering", "Sales")))
    assert "Reports through Plant 7" in text_of(page)
    assert not page.xpath(f"//a[@href='{page_of(synchronized)}']")


def test_an_operator_signs_early_and_holds_with_a_reason(
    registered: Plant, olivia_client: Client, alice_client: Client, now: datetime
):
    assert alice_client.get("/operator/onprem/").status_code == 403
    page = check_page(olivia_client.get("/operator/onprem/"))
    assert "Plant 7 acme.example" in row_of(page, "Plant 7")
    base = f"/operator/onprem/{registered.server.uuid}/"
    assert olivia_client.post(f"{base}hold/", {"reason": ""}).status_code == 422
    assert olivia_client.post(f"{base}hold/", {"reason": "call first"}).status_code == 302
    assert root_queue.sign_due(now=now + 3 * DAY) == 0
    assert olivia_client.post(f"{base}sign/", {"reason": "called"}).status_code == 302
    assert root_queue.sign_due(now=now) == 1
    assert olivia_client.post(f"{base}sign/", {"reason": "again"}).status_code == 422
    assert not parse_page(olivia_client.get("/operator/onprem/")).xpath("//tbody/tr")
    assert "Signed" in row_of(parse_page(olivia_client.get("/operator/onprem/?three_tier=all")), "Plant 7")
