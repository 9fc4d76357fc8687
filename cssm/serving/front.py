"""The ASGI application: reads device messages before a thread is needed for them, and gives each to its lane."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final
from wsgiref.types import WSGIEnvironment

import structlog

from cssm.common.middleware import DEVICE_PATHS
from cssm.serving.gateway import (
    CUT_OFF,
    FAILURE,
    Answer,
    AnswerMessage,
    Receive,
    Scope,
    Send,
    build_environ,
    glance,
    send_answer,
)
from cssm.serving.lanes import Job, Lane
from cssm.serving.sorting import JSON_PATHS, is_registration, key_of_token, open_envelope
from cssm.serving.streams import Streams

log = structlog.get_logger(__name__)

READ_AHEAD: Final = 64 * 1024
"""Bytes of the longest message that is read before its turn comes. Longer ones (only reports are) wait in the network:
thousands that wait here must not fill the memory."""
PATIENCE: Final = 0.5
SPREAD: Final = 0.005
"""Seconds for which nobody asks whether a client that waits is still there, and more for each one before it: asked at
once for thousands that come in a burst, it would hold up everybody else."""
GONE: Final = object()
"""In place of an answer: nobody is there for it, and nothing was done."""


class Front:
    """Registrations, other device messages, long device messages, and everything else: none waits for another kind.

    `answer` is called in a thread with a message's WSGI environment and body, `register` with those of a registration;
    `begin` is called before the first and `end` after the last; `comes_safely` tells by the environment whether a
    request's body may be read at all.
    """

    def __init__(
        self,
        answer: AnswerMessage,
        *,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
        register: AnswerMessage,
        registrations: Lane,
        messages: Lane,
        long_messages: Streams,
        others: Streams,
        comes_safely: Callable[[WSGIEnvironment], bool],
    ) -> None:
        self._answer, self._register = answer, register
        self._begin, self._end = begin, end
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
        environ = glance(scope)
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
        if is_registration(message):
            lane, key, answer_message = self._registrations, key_of_token(message), self._register
        else:
            lane, key, answer_message = self._messages, None, self._answer
        job = lane.add(key, partial(_work, answer_message, scope, body))
        watch = None
        if lane.is_behind:
            # Spread, for in a burst all of them come at once.
            delay = PATIENCE + lane.waiting * SPREAD
            watch = asyncio.get_running_loop().call_later(delay, _watch, lane, job, receive)
        try:
            answer = await job.future
        except Exception:
            log.exception("device_message_failed")
            answer = FAILURE
        finally:
            if watch is not None:
                watch.cancel()
        if answer is not GONE:
            await send_answer(send, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server asks to shut down when all that it took is answered."""
        self._begin()
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    def close(self) -> None:
        for part in (self._registrations, self._messages, self._long_messages, self._others):
            part.close()
        self._end()


def _work(answer_message: AnswerMessage, scope: Scope, body: bytes) -> Answer:
    return answer_message(build_environ(scope), body)


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


def _watch(lane: Lane, job: Job, receive: Receive) -> None:
    watcher = asyncio.ensure_future(_see_off(lane, job, receive))
    job.future.add_done_callback(lambda _done: watcher.cancel())


async def _see_off(lane: Lane, job: Job, receive: Receive) -> None:
    """Drop the job where the client goes away before its turn comes.

    Once a job is begun it goes on to its end: the client then asks again and gets the same answer.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    if not job.future.done() and lane.drop(job):
        job.future.set_result(GONE)
