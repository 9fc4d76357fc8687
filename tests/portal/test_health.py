from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from kombu.exceptions import OperationalError

from pki.services.authorities import bootstrap_authorities
from tests.conftest import NOW
from tests.keys import use_checked_in_keys
from tests.portal.markup import check_page


def test_alive_needs_nothing(client: Client):
    response = client.get("/healthz")
    assert response.json() == {"status": "ok"}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.fixture
def keys(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=NOW)


def test_ready_with_database_broker_and_keys(client: Client, keys: None):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert {name: part["ok"] for name, part in response.json()["parts"].items()} == {
        "database": True,
        "broker": True,
        "keys": True,
    }


def test_not_ready_without_keys(client: Client, db: None):
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "bootstrap" in response.json()["parts"]["keys"]["problem"]


def test_not_ready_without_a_broker(client: Client, keys: None, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("redis://:secret@broker.example refused")

    monkeypatch.setattr("kombu.Connection.ensure_connection", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["broker"]["ok"] is False
    assert "secret" not in response.content.decode()


def test_not_ready_without_a_database(client: Client, keys: None, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any) -> None:
        raise DatabaseError("password of portal@db.example")

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", refuse)
        response = client.get("/readyz")
    assert response.status_code == 503
    assert "password" not in response.content.decode()


def test_the_error_page_of_a_broken_view_needs_nothing_that_may_be_broken(client: Client):
    client.raise_request_exception = False
    response = client.get("/broken/")
    assert response.status_code == 500
    page = check_page(response, status=500)
    assert "Something went wrong" in page.text_content()
    assert "broken on purpose" not in page.text_content()


def test_programs_get_errors_as_json(client: Client, db: None):
    response = client.get("/onprem/nowhere")
    assert response.status_code == 404
    assert response.json()["code"] == "NOT_FOUND"


def test_a_wrong_address_has_a_page(client: Client, db: None):
    page = check_page(client.get("/nowhere/"), status=404)
    assert "There is no such page" in page.text_content()
