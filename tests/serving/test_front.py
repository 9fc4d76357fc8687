"""Lanes before Django: who waits for whom, and that no answer changes."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from cssm.common.middleware import Proxies, may_be_read
from cssm.serving import front as front_module
from cssm.serving.front import READ_AHEAD, Front
from cssm.serving.gateway import build_environ, call
from cssm.serving.lanes import Lane
from cssm.serving.sorting import open_envelope
from cssm.serving.streams import Streams
from tests.serving.visitors import CutOff, Visitor

DEVICES, SOAP = "/licservice/license", "/its/service/oddce/services/DDCEService"
OVER_LIMIT = b" " * (1024 * 1024 + 1)


def message(request_type: str, token: str = "") -> bytes:
    text = json.dumps({"header": {"request_type": request_type}, "data": {"id_token": token}})
    return json.dumps({"request": text, "signature": None}).encode()


def envelope(content: bytes) -> bytes:
    return b"<Envelope><Body><message>%b</message></Body></Envelope>" % base64.b64encode(content)


class Office:
    """A WSGI application whose registrations wait at a door."""

    def __init__(self) -> None:
        self.door, self.entered = threading.Event(), threading.Event()
        self.served: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        body = open_envelope(environ["wsgi.input"].read())
        name = environ["HTTP_X_NAME"] if "HTTP_X_NAME" in environ else environ["PATH_INFO"]
        if b'"REGISTRATION' in body:
            self.entered.set()
            assert self.door.wait(10)
        self.served.append(name)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [name.encode()]


def stand(
    application: Any,
    *,
    registrar: Any = None,
    tell: Callable[[str], None] = lambda event: None,
    comes_safely: Callable[[Any], bool] = lambda environ: True,
) -> Front:
    return Front(
        partial(call, application),
        register=partial(call, registrar or application),
        begin=partial(tell, "begun"),
        end=partial(tell, "ended"),
        registrations=Lane("registrations", threads=1),
        messages=Lane("messages", threads=1),
        long_messages=Streams(application, threads=1),
        others=Streams(application, threads=1),
        comes_safely=comes_safely,
    )


@pytest.fixture
def _no_requests_of_a_server() -> Iterator[None]:
    """A request's beginning and end leave the connection of the other tests alone, as with Django's own client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def office() -> Office:
    return Office()


def run(application: Any, play: Callable[[Front], Awaitable[Any]], **options: Any) -> Any:
    async def limited() -> Any:
        front = stand(application, **options)
        try:
            return await asyncio.wait_for(play(front), 20)
        finally:
            await asyncio.to_thread(front.close)

    return asyncio.run(limited())


def named(visitor: Visitor, name: str) -> Visitor:
    visitor.scope["headers"].append((b"x-name", name.encode()))
    return visitor


async def seated(office: Office, front: Front) -> "asyncio.Task[Visitor]":
    """A registration that is in work and stays so."""
    first = asyncio.create_task(named(Visitor(DEVICES, message("REGISTRATION", "crowd")), "first").call(front))
    assert await asyncio.to_thread(office.entered.wait, 10)
    return first


@pytest.mark.parametrize(
    "other",
    [
        lambda: Visitor(DEVICES, message("AUTHORIZATION")),
        lambda: Visitor(DEVICES, message("DEREGISTRATION")),
        lambda: Visitor(SOAP, envelope(message("AUTHORIZATION")), kind="text/xml"),
        lambda: Visitor(DEVICES, b" " * (READ_AHEAD + 1)),
        lambda: Visitor("/login/", b"name=alice", kind="application/x-www-form-urlencoded"),
        lambda: Visitor("/services/api/v2/accounts", method="GET"),
    ],
)
def test_nobody_else_waits_for_registrations(office: Office, other: Callable[[], Visitor]):
    async def play(front: Front) -> None:
        first = await seated(office, front)
        crowd = [asyncio.create_task(Visitor(DEVICES, message("REGISTRATION", "crowd")).call(front)) for _ in range(50)]
        answered = await other().call(front)
        assert answered.status == 200
        assert not first.done()
        office.door.set()
        assert {visitor.status for visitor in await asyncio.gather(first, *crowd)} == {200}

    run(office, play)


@pytest.mark.parametrize("in_envelope", [False, True])
def test_a_tenants_one_registration_does_not_wait_for_anothers_thousands(office: Office, in_envelope: bool):
    async def play(front: Front) -> None:
        await seated(office, front)
        crowd = [named(Visitor(DEVICES, message("REGISTRATION", "crowd")), f"crowd {n}") for n in range(20)]
        single = Visitor(DEVICES, message("REGISTRATION", "single"))
        if in_envelope:
            single = Visitor(SOAP, envelope(message("REGISTRATION", "single")), kind="text/xml")
        waiting = [asyncio.create_task(visitor.call(front)) for visitor in [*crowd, named(single, "single")]]
        while front._registrations.waiting < len(waiting):
            await asyncio.sleep(0)
        office.door.set()
        await asyncio.gather(*waiting)

    run(office, play)
    assert office.served[:4] == ["first", "crowd 0", "single", "crowd 1"]


@pytest.mark.parametrize("in_envelope", [False, True])
def test_registrations_are_answered_elsewhere_and_all_else_is_not(in_envelope: bool):
    def say(text: bytes) -> Any:
        def application(_environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [text]

        return application

    def visit(request_type: str) -> Visitor:
        if in_envelope:
            return Visitor(SOAP, envelope(message(request_type)), kind="text/xml")
        return Visitor(DEVICES, message(request_type))

    async def play(front: Front) -> list[bytes]:
        kinds = ["REGISTRATION", "AUTHORIZATION", "RENEWAL"]
        return [(await visit(kind).call(front)).body for kind in kinds]

    assert run(say(b"here"), play, registrar=say(b"elsewhere")) == [b"elsewhere", b"here", b"here"]


def test_who_goes_away_before_its_turn_is_not_served(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(front_module, "PATIENCE", 0.0)

    async def play(front: Front) -> None:
        first = await seated(office, front)
        gone = named(Visitor(DEVICES, message("REGISTRATION", "crowd")), "gone")
        stays = named(Visitor(DEVICES, message("REGISTRATION", "crowd")), "stays")
        waiting = [asyncio.create_task(visitor.call(front)) for visitor in (gone, stays)]
        while front._registrations.waiting < 2:
            await asyncio.sleep(0)
        gone.leave()
        await waiting[0]
        assert gone.sent == []
        office.door.set()
        await asyncio.gather(first, waiting[1])

    run(office, play)
    assert office.served == ["first", "stays"]


def test_what_is_in_work_goes_on_to_its_end_whoever_leaves(office: Office):
    async def play(front: Front) -> None:
        first = await seated(office, front)
        second = named(Visitor(DEVICES, message("REGISTRATION", "crowd")), "second")
        waiting = asyncio.create_task(second.call(front))
        while front._registrations.waiting < 1:
            await asyncio.sleep(0)
        office.entered.clear()
        office.door.set()
        await first
        second.leave()
        await waiting
        assert (await Visitor(DEVICES, message("REGISTRATION", "crowd")).call(front)).status == 200

    run(office, play)
    assert office.served[0] == "first"


def test_a_long_message_waits_in_the_network_until_a_thread_reads_it():
    """Thousands of them would fill the memory."""
    entered, door = threading.Event(), threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        entered.set()
        assert door.wait(10)
        start_response("200 OK", [])
        return [b"%d" % len(environ["wsgi.input"].read())]

    async def play(front: Front) -> None:
        first = asyncio.create_task(Visitor(DEVICES, b" " * (READ_AHEAD + 1)).call(front))
        assert await asyncio.to_thread(entered.wait, 10)
        second = Visitor(DEVICES, b" " * (READ_AHEAD + 2))
        waiting = asyncio.create_task(second.call(front))
        # Its place in the queue is taken as soon as it is looked at.
        await asyncio.sleep(0)
        assert second.asked == 0
        door.set()
        assert [(await task).body for task in (first, waiting)] == [b"65537", b"65538"]

    run(application, play)


def test_shutting_down_answers_what_was_taken(office: Office):
    told: list[str] = []

    async def play(front: Front) -> None:
        first = await seated(office, front)
        asked: list[str] = ["lifespan.startup", "lifespan.shutdown"]

        async def receive() -> Any:
            if asked[0] == "lifespan.shutdown":
                office.door.set()
            return {"type": asked.pop(0)}

        async def send(event: Any) -> None:
            told.append(event["type"])

        await front({"type": "lifespan"}, receive, send)
        assert told == ["begun", "lifespan.startup.complete", "ended", "lifespan.shutdown.complete"]
        assert (await first).body == b"first"
        assert "registrations-1" not in {thread.name for thread in threading.enumerate()}

    run(office, play, tell=told.append)


# --- the same answers as without lanes ----


BODIES: dict[str, Callable[[], Visitor]] = {
    "no message": lambda: Visitor(DEVICES, b"junk"),
    "nothing": lambda: Visitor(DEVICES, b""),
    "no outer form": lambda: Visitor("/SmartTransport", b'{"request": 1}'),
    "malformed inside": lambda: Visitor(DEVICES, message("REGISTRATION", "x")),
    "another content type": lambda: Visitor(DEVICES, b"junk", kind="text/plain"),
    "longer than is read ahead": lambda: Visitor(DEVICES, b" " * (READ_AHEAD + 1)),
    "too long": lambda: Visitor(DEVICES, *[OVER_LIMIT[: 1 << 18]] * 5),
    "announced as too long": lambda: Visitor(DEVICES, b"", length=17 << 20),
    "length that is none": lambda: _with_length(Visitor(DEVICES, b"junk"), b"4x"),
    "in a SOAP envelope": lambda: Visitor(SOAP, envelope(message("REGISTRATION", "x")), kind="text/xml"),
    "no SOAP envelope": lambda: Visitor(SOAP, b"junk", kind="application/soap+xml"),
    "SOAP that is too long": lambda: Visitor(SOAP, *[OVER_LIMIT[: 1 << 18]] * 5, kind="text/xml"),
    "asked, not posted": lambda: Visitor(DEVICES, method="GET"),
    "description": lambda: _with_query(Visitor(SOAP, method="GET"), b"wsdl"),
}


def _with_length(visitor: Visitor, value: bytes) -> Visitor:
    visitor.scope["headers"][2] = (b"content-length", value)
    return visitor


def _with_query(visitor: Visitor, query: bytes) -> Visitor:
    visitor.scope["query_string"] = query
    return visitor


@pytest.mark.usefixtures("_no_requests_of_a_server")
@pytest.mark.parametrize("what", BODIES)
def test_the_answer_is_that_of_the_wsgi_application(what: str, settings: Any):
    settings.ALLOWED_HOSTS = ["testserver"]
    django_application = get_wsgi_application()
    plain = BODIES[what]()
    direct = call(django_application, build_environ(plain.scope), b"".join(plain.pieces))
    visitor = run(django_application, lambda front: BODIES[what]().call(front))
    assert visitor.status == direct.status
    assert _without_number(visitor.body) == _without_number(direct.body)
    numbers = {"x-correlation-id", "content-length"}
    ours, theirs = visitor.headers, {n.decode(): v.decode() for n, v in direct.headers}
    assert {n: v for n, v in ours.items() if n not in numbers} == {n: v for n, v in theirs.items() if n not in numbers}
    assert ours["x-correlation-id"] != theirs["x-correlation-id"]


def _without_number(body: bytes) -> bytes:
    return re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"", body)


@pytest.mark.parametrize("kind", ["REGISTRATION", "AUTHORIZATION"])
def test_over_plain_http_a_message_is_refused_before_it_is_read(settings: Any, kind: str):
    settings.PUBLIC_IS_HTTPS = True
    settings.TRUSTED_PROXIES = ["192.0.2.9"]
    settings.ALLOWED_HOSTS = ["testserver"]
    django_application = get_wsgi_application()

    def comes_safely(environ: Any) -> bool:
        return may_be_read(environ, Proxies.trusted())

    plain = run(django_application, Visitor(DEVICES, message(kind)).call, comes_safely=comes_safely)
    assert plain.status == 403
    assert b"HTTPS_REQUIRED" in plain.body
    assert plain.asked == 0
    forwarded = Visitor(DEVICES, message(kind))
    forwarded.scope["headers"].append((b"x-forwarded-proto", b"https"))
    read = run(django_application, forwarded.call, comes_safely=comes_safely)
    assert (read.status, read.asked) == (400, 1)
    assert b"This is not a device message" in read.body


def test_a_message_that_is_cut_off_reaches_nobody(office: Office):
    cut = run(office, CutOff(DEVICES, b'{"request": ', b"never").call)
    assert cut.status == 400
    assert b"MALFORMED" in cut.body
    assert office.served == []


def test_a_failure_is_told_without_its_reason(monkeypatch: pytest.MonkeyPatch):
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        raise LookupError("a secret")

    logged: list[str] = []
    for module in (front_module.log, front_module.Streams.__init__.__globals__["log"]):
        monkeypatch.setattr(module, "exception", logged.append, raising=False)

    async def play(front: Front) -> list[Visitor]:
        return [await visitor.call(front) for visitor in (Visitor(DEVICES, message("ACK")), Visitor("/", method="GET"))]

    for visitor in run(application, play):
        assert visitor.status == 500
        assert b"INTERNAL" in visitor.body
        assert b"secret" not in visitor.body
    assert logged == ["device_message_failed", "request_failed"]


@pytest.mark.parametrize("path", [DEVICES, "/login/"])
def test_the_client_is_told_to_django_and_no_header_passes_for_another(path: str):
    seen: list[dict[str, Any]] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    visitor = Visitor(path, message("ACK"))
    visitor.scope["headers"] += [
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x_forwarded_for", b"198.51.100.4"),
        (b"x_forwarded-proto", b"https"),
        (b"x-two", b"1"),
        (b"x-two", b"2"),
    ]
    visitor.scope["query_string"] = "next=/é&a=%C3%A9+%25".encode()
    run(application, visitor.call)
    environ = seen[0]
    assert environ["REMOTE_ADDR"] == "192.0.2.9"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert "HTTP_X_FORWARDED_PROTO" not in environ
    assert environ["HTTP_X_TWO"] == "1,2"
    assert environ["CONTENT_LENGTH"] == str(len(message("ACK")))
    assert environ["PATH_INFO"] == path
