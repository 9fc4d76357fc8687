"""Reports of failures: they reach Sentry where one is set, and hold nothing that a request brought."""

import logging
from secrets import token_hex
from typing import Any

import pytest
import sentry_sdk
from django.test import Client
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.transport import Transport

from accounts.models import SmartAccount
from cssm import settings as cssm_settings
from cssm.observation import configure_sentry, sentry_options

# Made at run time: a report quotes lines of source, and this file is one.
SECRET = token_hex(8)
DSN = "https://key@sentry.example/1"


class Capture(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events += [item.payload.json for item in envelope.items if item.type == "event"]


@pytest.fixture
def reports() -> Any:
    capture = Capture()
    options = {**sentry_options(DSN, environment="test"), "transport": capture}
    with sentry_sdk.isolation_scope():
        sentry_sdk.get_global_scope().set_client(sentry_sdk.Client(**options))
        yield capture.events
        sentry_sdk.get_global_scope().set_client(None)


def test_without_an_address_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: asked.append(options))
    configure_sentry("", environment="test")
    assert asked == []
    configure_sentry(DSN, environment="test")
    assert asked[0]["dsn"] == DSN


def test_a_report_names_the_failure_and_no_values(reports: list[Any]):
    def work(id_token: str) -> None:
        raise ValueError("what went wrong")

    try:
        work(SECRET)
    except ValueError:
        logging.getLogger("licensing").exception("device_message_failed", extra={"token": SECRET})
    [event] = reports
    assert event["exception"]["values"][0]["value"] == "what went wrong"
    assert SECRET not in str(event)


def test_a_failing_page_is_reported_without_what_the_visitor_sent(
    reports: list[Any], acme: SmartAccount, alice_client: Client, monkeypatch: pytest.MonkeyPatch
):
    DjangoIntegration.setup_once()
    monkeypatch.setattr("cssm.portal.views.home.Home.get", broken)
    alice_client.raise_request_exception = False
    response = alice_client.get(f"/?access_token={SECRET}", headers={"Authorization": f"Bearer {SECRET}"})
    assert response.status_code == 500
    [event] = [report for report in reports if "exception" in report]
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    for secret in (SECRET, alice_client.cookies["sessionid"].value, str(acme.domain)):
        assert secret not in str(event)


def broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("broken page")


def test_the_tests_themselves_report_nowhere():
    assert cssm_settings.SENTRY_DSN == ""
