"""Ordinary device messages past Django: the same answers, and everything else goes Django's way."""

import io
import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pytest
import structlog
from django.core.wsgi import get_wsgi_application
from prometheus_client import REGISTRY

from cssm.common.middleware import Proxies, parse_networks
from cssm.serving.door import Door
from cssm.serving.gateway import Answer, call
from licensing.models import ProductInstance
from licensing.views.exchange import take_message
from tests.licensing.device_driver import Reply

pytestmark = pytest.mark.django_db


def environ(body: bytes, **changes: str) -> dict[str, Any]:
    described = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/licservice/license",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        **changes,
    }
    return {key: value for key, value in described.items() if value != "absent"}


def no_django(_environ: Any, _start: Any) -> Any:
    raise AssertionError("This went Django's way.")


def door(
    application: Any, now: datetime, *, take: Callable[..., Any] = take_message, trusted: tuple[str, ...] = ()
) -> Door:
    """The connection is the test's, and no request's."""
    proxies = Proxies(parse_networks(trusted))
    return Door(application, take=take, proxies=proxies, clock=lambda: now, between=lambda: None)


def counted(status: str = "2xx") -> float:
    return REGISTRY.get_sample_value("portal_request_seconds_count", {"kind": "device", "status": status}) or 0.0


@pytest.mark.parametrize("path", ["/licservice/license", "/SmartTransport"])
def test_a_product_registers_without_django(device, token, path):
    body = device.request("REGISTRATION", device.registration(token))
    before = counted()
    answer = door(no_django, device.now)(environ(body, PATH_INFO=path), body)
    headers = dict(answer.headers)
    assert (answer.status, headers[b"content-type"]) == (200, b"application/json")
    assert headers[b"content-length"] == str(len(answer.body)).encode()
    reply = Reply(answer.body)
    assert reply.code is None
    device.learn(reply)
    assert reply.is_by(device.signing_cert)
    assert ProductInstance.objects.count() == 1
    assert counted() == before + 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b" ", 400), (b"nonsense", 400), (b"{}", 400), (b'{"request": 1}', 400), (b" " * (1024 * 1024 + 1), 413)],
)
def test_what_is_refused_is_refused_in_the_same_words_as_by_django(body, status, now):
    ours = door(no_django, now)(environ(body), body)
    theirs = call(get_wsgi_application(), environ(body), body)
    found = [json.loads(answer.body) for answer in (ours, theirs)]
    for answer, content in zip((ours, theirs), found, strict=True):
        assert (answer.status, content.pop("correlationId")) == (
            status,
            dict(answer.headers)[b"x-correlation-id"].decode(),
        )
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"CONTENT_TYPE": "application/json; charset=utf-8"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": "absent"},
        {"PATH_INFO": "/its/service/oddce/services/DDCEService"},
        {"PATH_INFO": "//SmartTransport"},
        {"REQUEST_METHOD": "GET"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ],
)
def test_whatever_is_unusual_goes_djangos_way(changes, now):
    def take(*_: Any, **__: Any) -> Any:
        raise AssertionError("This did not go Django's way.")

    seen = []

    def django(environ: Any, start: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        start("200 OK", [("X-By", "Django")])
        return [b"its"]

    answer = door(django, now, take=take)(environ(b"{}", **changes), b"{}")
    assert (answer, seen) == (Answer(200, [(b"x-by", b"Django")], b"its"), [b"{}"])


@pytest.mark.parametrize(("trusted", "source"), [((), "192.0.2.7"), (("192.0.2.0/24",), "198.51.100.9")])
def test_what_is_wrong_counts_against_the_client_and_not_its_proxy(trusted, source, now):
    seen = []

    def take(body: bytes, *, source_ip: str, correlation_id: str, now: datetime) -> tuple[HTTPStatus, bytes]:
        seen.append((body, source_ip, now, structlog.contextvars.get_contextvars()["correlation_id"] == correlation_id))
        return HTTPStatus.OK, b"{}"

    door(no_django, now, take=take, trusted=trusted)(environ(b"{}", HTTP_X_FORWARDED_FOR="198.51.100.9"), b"{}")
    assert seen == [(b"{}", source, now, True)]
    assert "correlation_id" not in structlog.contextvars.get_contextvars()


def test_a_connection_is_looked_after_before_and_after_whatever_happens(now):
    seen: list[str] = []

    def take(*_: Any, **__: Any) -> Any:
        seen.append("taken")
        raise ZeroDivisionError

    fragile = Door(no_django, take=take, proxies=Proxies(()), clock=lambda: now, between=lambda: seen.append("between"))
    with pytest.raises(ZeroDivisionError):
        fragile(environ(b"{}"), b"{}")
    assert seen == ["between", "taken", "between"]
