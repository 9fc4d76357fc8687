"""The ASGI application: reads device messages before a thread is needed for them, and gives each to its lane."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final
from wsgiref.types import WSGIApplication, WSGIEnvironment

import structlog

from cssm.common.middleware import DEVICE_PATHS
from cssm.serving.gateway import CUT_OFF, FAILURE, Receive, Scope, Send, build_environ, call, send_answer
from cssm.serving.lanes import Job, Lane
from cssm.serving.sorting import is_registration, key_of_token, open_envelope
from cssm.serving.streams import Streams

log = structlog.get_logger(__name__)

READ_AHEAD: Final = 64 * 1024
"""Bytes of the longest message that is read before its turn comes. Longer ones (only reports are) wait in the network:
thousands that wait here must not fill the memory."""
JSON_PATHS: Final = frozenset({"/licservice/license", "/SmartTransport"})


class Front:
    """Registrations, other device messages, long device messages, and everything else: none waits for another kind.

    `comes_safely` tells by the WSGI environment whether a request's body may be read at all.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        registrations: Lane,
        messages: Lane,
        long_messages: Streams,
        others: Streams,
        comes_safely: Callable[[WSGIEnvironment], bool],
    ) -> None:
        self._application = application
        self._registrations, self._messages = registrations, messages
        self._long_messages, self._others = long_messages, others
        self._comes_safely = comes_safely

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"There is nothing of type {scope['type']} here.")
        elif scope["path"] in DEVICE_PATHS and scope["method"] == "POST":
            await self._take_message(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _take_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = build_environ(scope)
        length = environ.get("CONTENT_LENGTH", "")
        if not length.isdecimal() or int(length) > READ_AHEAD or not self._comes_safely(environ):
            await self._long_messages(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            # It may be gone altogether, or have stopped sending only.
            await send_answer(send, CUT_OFF)
            return
        message = body if scope["path"] in JSON_PATHS else open_envelope(body)
        work = partial(call, self._application, environ, body)
        if is_registration(message):
            lane, job = self._registrations, self._registrations.add(key_of_token(message), work)
        else:
            lane, job = self._messages, self._messages.add(None, work)
        if lane.is_behind and not await _wait_while_there(lane, job, receive):
            return
        try:
            answer = await job.future
        except Exception:
            log.exception("device_message_failed")
            answer = FAILURE
        await send_answer(send, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server asks to shut down when all that it took is answered."""
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    def close(self) -> None:
        for part in (self._registrations, self._messages, self._long_messages, self._others):
            part.close()


async def _read(receive: Receive) -> bytes | None:
    """The whole body; nothing where it was cut off."""
    message = await receive()
    pieces: list[bytes] = []
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
    return None


async def _wait_while_there(lane: Lane, job: Job, receive: Receive) -> bool:
    """False where the client went away before its turn came, and nothing was done.

    Once a job is begun it goes on to its end: the client then asks again and gets the same answer.
    """
    gone = asyncio.ensure_future(_see_off(receive))
    await asyncio.wait({job.future, gone}, return_when=asyncio.FIRST_COMPLETED)
    if gone.done() and not job.future.done() and lane.drop(job):
        return False
    gone.cancel()
    return True


async def _see_off(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
