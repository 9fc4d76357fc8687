"""`/metrics`: for this machine itself, or with the token; never for whom a proxy on this machine speaks."""

from typing import Any

import pytest
from django.test import Client

from licensing.services.pools.fold import fold_due
from tests.conftest import NOW
from tests.licensing.stock import make_instance, make_license, use

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-the-collector"


def get(**headers: Any) -> Any:
    return Client().get("/metrics", **headers)


def test_this_machine_reads_them():
    response = get(REMOTE_ADDR="127.0.0.1")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert get(REMOTE_ADDR="::1").status_code == 200


@pytest.mark.parametrize(
    "header",
    ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_REAL_IP"],
)
def test_whom_a_proxy_on_this_machine_speaks_for_does_not(header: str):
    assert get(REMOTE_ADDR="127.0.0.1", **{header: "127.0.0.1"}).status_code == 403


def test_another_machine_needs_the_token(settings: Any):
    assert get(REMOTE_ADDR="192.0.2.1").status_code == 403
    settings.METRICS_TOKEN = TOKEN
    assert get(REMOTE_ADDR="192.0.2.1").status_code == 403
    assert get(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 200
    assert get(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION=f"Bearer {TOKEN}x").status_code == 403
    assert get(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION=TOKEN).status_code == 403


def test_an_empty_token_opens_nothing(settings: Any):
    settings.METRICS_TOKEN = ""
    assert get(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION="Bearer ").status_code == 403


def test_they_tell_the_work_and_no_names(acme: Any, engineering: Any):
    use(make_instance(engineering, NOW), make_license("ROUTER", NOW), 1, NOW)
    before = get(REMOTE_ADDR="127.0.0.1").content.decode()
    fold_due(now=NOW)
    after = get(REMOTE_ADDR="127.0.0.1").content.decode()
    assert 'portal_waiting_rows{work="unfolded use"} 1.0' in before
    assert 'portal_waiting_rows{work="unfolded use"} 0.0' in after
    assert "portal_pools_out_of_compliance 1.0" in after
    assert 'portal_product_instances{state="registered"} 1.0' in after
    assert "acme" not in after
    assert "ROUTER" not in after


def test_requests_are_counted_by_who_asks():
    client = Client()
    client.get("/healthz")
    client.post("/SmartTransport", b"{", content_type="application/json")
    client.post("/oauth/token", b"{}", content_type="application/json")
    client.get("/services/api/smart-accounts-and-licensing/v2/accounts")
    figures = get(REMOTE_ADDR="127.0.0.1").content.decode()
    for labels in ('kind="portal",status="2xx"', 'kind="device",status="4xx"', 'kind="token",status="4xx"'):
        assert f"portal_request_seconds_count{{{labels}}}" in figures
    assert 'portal_request_seconds_count{kind="api",status="4xx"}' in figures
