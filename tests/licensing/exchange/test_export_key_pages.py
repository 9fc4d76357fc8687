"""Where people see export authorization keys, and enter their return codes."""

import pytest

from licensing.models import Hold
from licensing.services.insight.explain import explain_pool
from tests.licensing.exchange.export_cast import key_of, return_code
from tests.licensing.stock import live


@pytest.fixture(autouse=True)
def key(registered, hsec):
    return key_of(registered, 2)


def test_a_pool_explains_what_is_held_by_a_key(hsec, engineering, admin, now):
    pool = live(hsec, engineering, now)
    found = explain_pool(pool=pool, actor=admin, now=now)
    assert [(part.quantity, part.request_code) for part in found.reservations] == [(2, None)]


def test_the_page_of_the_instance_shows_it_and_takes_its_return_code(
    alice_client, registered, key, hsec, engineering, now
):
    url = f"/accounts/acme.example/inventory/Engineering/instances/{registered.piid}/"
    page = alice_client.get(url).content.decode()
    assert "Export authorization keys" in page
    assert "Router US Export Lic. for DNA" in page
    action = f"{url}export-keys/return/"
    assert action in page
    assert alice_client.post(action, {"code": "nonsense"}).status_code == 422
    assert alice_client.post(action, {"code": return_code(registered, key)}).status_code == 302
    assert not Hold.objects.exists()
    assert "Export authorization keys" not in alice_client.get(url).content.decode()


def test_the_board_leads_to_the_instance(alice_client, registered):
    page = alice_client.get("/accounts/acme.example/inventory/all/reservations/").content.decode()
    assert "Export key" in page
    assert f"/inventory/Engineering/instances/{registered.piid}/" in page
    assert f"/reservations/{registered.piid}/" not in page
    gone = alice_client.get(f"/accounts/acme.example/inventory/Engineering/reservations/{registered.piid}/")
    assert gone.status_code == 404
