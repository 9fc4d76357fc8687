"""A device message as a WSGI call: the body is there already, and the answer is taken whole."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from typing import Any, Final, NamedTuple
from wsgiref.types import WSGIApplication, WSGIEnvironment

Headers = list[tuple[bytes, bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


AnswerMessage = Callable[[WSGIEnvironment, bytes], Answer]
"""Called in a thread, with a message's environment and the whole of its body."""


def _refusal(status: int, code: str, message: str) -> Answer:
    content = {"status": "ERROR", "statusMessage": message, "code": code, "errors": []}
    return Answer(status, [(b"content-type", b"application/json")], json.dumps(content).encode())


FAILURE: Final = _refusal(500, "INTERNAL", "Something went wrong on our side.")
CUT_OFF: Final = _refusal(400, "MALFORMED", "The body ended before its length.")


async def send_answer(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def keep_plain_names(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without headers that have an underscore in their name: in WSGI they would pass for those with a dash, and what a
    client claims for what a proxy says."""
    return [header for header in headers if b"_" not in header[0]]


def glance(scope: Scope) -> WSGIEnvironment:
    """As much of the environment as says how long a message is and by which way it came. The rest can wait until it is
    its turn; in a burst, who sends one stands behind all that is done for the others before."""
    client = scope.get("client")
    environ: WSGIEnvironment = {"wsgi.url_scheme": scope["scheme"]}
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
    for name, value in scope["headers"]:
        if key := _GLANCED.get(name):
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


_GLANCED: Final = {b"content-length": "CONTENT_LENGTH", b"x-forwarded-proto": "HTTP_X_FORWARDED_PROTO"}


def build_environ(scope: Scope) -> WSGIEnvironment:
    """PEP 3333, without a body."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for name, value in keep_plain_names(scope["headers"]):
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def call(application: WSGIApplication, environ: WSGIEnvironment, body: bytes) -> Answer:
    environ["wsgi.input"] = BytesIO(body)
    begun: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _failure: Any = None) -> Any:
        begun[:] = int(status[:3]), headers

    pieces = application(environ, start_response)
    try:
        content = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    status, headers = begun
    named = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Answer(status, named, content)
