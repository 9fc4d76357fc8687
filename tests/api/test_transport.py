"""Which way a request came, from whom, and whether it may come that way."""

import uuid
from typing import Any, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cssm.common.middleware import PortalRequest, TransportMiddleware
from tests.api.conftest import BASE

MACHINE_PATHS = [
    "/licservice/license",
    "/SmartTransport",
    "/its/service/oddce/services/DDCEService",
    "/Transportgateway/services/DeviceRequestHandler",
    "/onprem/v1/x/synchronizations",
    "/as/token.oauth2",
    "/oauth2/default/v1/token",
    "/oauth/token",
    "/backend/oauth/token",
    BASE + "/v2/accounts",
    "/" + BASE + "/v2/accounts",
    "/api/v1/accounts/search",
    "/backend/api/v1/accounts/search",
]


class Unread:
    """A body that must not be asked for."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")


@pytest.fixture
def https(settings: Any) -> Any:
    settings.PUBLIC_IS_HTTPS = True
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "192.0.2.7"]
    settings.ALLOWED_HOSTS = ["testserver"]
    return settings


def pass_through(request: HttpRequest, **meta: Any) -> HttpResponse:
    """What the rest of the product would see, as an answer."""

    def seen(inner: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{inner.scheme} {cast(PortalRequest, inner).client_ip}")

    request.META.update(meta)
    answer = TransportMiddleware(seen)(request)
    assert isinstance(answer, HttpResponse)
    return answer


@pytest.mark.parametrize("path", MACHINE_PATHS)
def test_a_program_on_plain_http_is_refused_before_its_body_is_read(https: Any, path: str):
    request = RequestFactory().post("/", b"{}", content_type="application/json")
    request.path_info = path
    request._stream = cast(Any, Unread())
    answer = pass_through(request)
    assert answer.status_code == 403
    assert b"HTTPS_REQUIRED" in answer.content
    assert "Location" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/login/", "/pki/root.crl", "/static/x.css", "/healthz"])
def test_people_and_revocation_lists_are_not_refused(https: Any, path: str):
    assert pass_through(RequestFactory().get(path)).status_code == 200


def test_without_https_in_the_public_address_plain_http_is_fine(db: None, settings: Any):
    settings.PUBLIC_IS_HTTPS = False
    assert Client().get(BASE + "/v2/accounts").status_code == 401


def test_over_https_the_call_is_answered(https: Any, db: None):
    assert Client().get(BASE + "/v2/accounts", secure=True).status_code == 401
    assert Client().post("/oauth/token", secure=True).status_code == 400


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [
        ("10.1.2.3", "https", "https"),
        ("192.0.2.7", "HTTPS", "https"),
        ("::ffff:10.1.2.3", "https", "https"),
        ("10.1.2.3", "http", "http"),
        ("10.1.2.3", "https, http", "http"),
        ("10.1.2.3", "", "http"),
        ("198.51.100.4", "https", "http"),
        ("", "https", "http"),
        ("not an address", "https", "http"),
    ],
)
def test_the_forwarded_scheme_counts_only_from_a_trusted_proxy(https: Any, peer: str, forwarded: str, scheme: str):
    request = RequestFactory().get("/")
    answer = pass_through(request, REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO=forwarded)
    assert answer.content.decode().split(" ")[0] == scheme
    assert request.is_secure() == (scheme == "https")
    machine = RequestFactory().get("/api/v1/accounts/search")
    refused = pass_through(machine, REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO=forwarded).status_code == 403
    assert refused == (scheme == "http")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.4", "203.0.113.9", "198.51.100.4"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, nonsense, 10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "2001:db8::1", "2001:db8::1"),
        ("::ffff:198.51.100.4", "", "198.51.100.4"),
    ],
)
def test_the_clients_address_is_the_last_hop_that_no_trusted_proxy_made(
    https: Any, peer: str, forwarded: str, client: str
):
    answer = pass_through(RequestFactory().get("/"), REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert answer.content.decode().split(" ")[1] == client


def test_a_body_without_a_length_is_not_taken_for_an_empty_one(settings: Any):
    request = RequestFactory().post("/api/v1/accounts/search")
    del request.META["CONTENT_LENGTH"]
    assert pass_through(request, HTTP_TRANSFER_ENCODING="chunked").status_code == 411
    request.META["CONTENT_LENGTH"] = "0"
    assert pass_through(request).status_code == 200


def test_every_answer_carries_its_own_correlation_id(db: None):
    answers = [Client().get(BASE + "/v2/accounts", headers={"X-Correlation-ID": "mine"}) for _ in range(2)]
    ids = {answer.headers["X-Correlation-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(uuid.UUID(one) for one in ids)


def test_a_device_message_goes_straight_to_its_view(settings: Any):
    settings.ROOT_URLCONF = "tests.api.device_urls"

    def never(request: HttpRequest) -> HttpResponse:
        raise AssertionError("the rest of the chain was asked")

    answer = TransportMiddleware(never)(RequestFactory().post("/licservice/license", b"x", "application/json"))
    assert isinstance(answer, HttpResponse)
    assert answer.content == b"127.0.0.1"
    assert "X-Correlation-ID" in answer.headers


def test_a_proxy_that_is_no_address_stops_the_start(settings: Any):
    settings.TRUSTED_PROXIES = ["proxy.example"]
    with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES"):
        TransportMiddleware(lambda request: HttpResponse())
