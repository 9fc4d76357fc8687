"""Requests and answers of any length, a piece at a time, by threads that wait for their clients."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote_from_bytes
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from a2wsgi import WSGIMiddleware

from cssm.serving.gateway import FAILURE, Receive, Scope, Send, keep_plain_names, send_answer

log = structlog.get_logger(__name__)

LINK: Final = "cssm.link"
ASCII: Final = bytes(range(33, 127)).decode()


class Link:
    """One request's connection: tells when the client is gone, which a2wsgi does not ask about.

    A body that breaks off raises `ConnectionResetError` in whoever reads it: its end is not where it stopped.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_gone = False
        self.has_begun = False
        names = {name for name, value in scope["headers"] if value != b"0"}
        self._is_read = not names & {b"content-length", b"transfer-encoding"}
        self._receive, self._send = receive, send
        self._pieces = 0
        self._watcher: asyncio.Task[None] | None = None

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
            raise ConnectionResetError("The client went away before its request was read.")
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        self.has_begun = True
        if message["type"] == "http.response.body":
            self._pieces += 1
            # A page is one piece and an end. Only who sends more is worth being told.
            if self._pieces == 2 and message.get("more_body") and self._is_read:
                self._watcher = asyncio.get_running_loop().create_task(self._watch())
        if not self.is_gone:
            await self._send(message)

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True


class _Pieces:
    """An answer that ends where its client has gone."""

    def __init__(self, pieces: Iterable[bytes], link: Link) -> None:
        self._pieces, self._link = pieces, link

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._link.is_gone:
                return
            yield piece

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class Streams:
    """An ASGI application: the WSGI one, in threads of its own."""

    def __init__(self, application: WSGIApplication, *, threads: int) -> None:
        self._application = application
        call: Any = self._call  # its types are not the standard library's
        self._inner: Any = WSGIMiddleware(call, workers=threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what the application raised after its answer had begun: the server then breaks the connection off."""
        link = Link(scope, receive, send)
        scope = {
            **scope,
            LINK: link,
            "headers": keep_plain_names(scope["headers"]),
            # Some clients send letters here as they are; taken as what they stand for they are the same address.
            "query_string": quote_from_bytes(scope["query_string"], safe=ASCII).encode(),
        }
        try:
            await self._inner(scope, link.receive, link.send)
        except Exception:
            if link.is_gone:
                return
            if link.has_begun:
                raise
            log.exception("request_failed")
            await send_answer(send, FAILURE)
        finally:
            link.close()

    def close(self) -> None:
        """End the threads after what they do now, and wait for that."""
        self._inner.executor.shutdown()

    def _call(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr
        return _Pieces(self._application(environ, start_response), environ["asgi.scope"][LINK])
