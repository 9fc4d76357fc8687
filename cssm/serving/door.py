"""Ordinary device messages past Django's handler, middlewares and views, which took longer than the signature does.

What is answered, and how, is decided by the same function as in the view. Whatever is unusual about a request goes
Django's way.
"""

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol
from wsgiref.types import WSGIApplication, WSGIEnvironment

import structlog
from django.db import close_old_connections

from cssm.common.metrics import DEVICE, observe_request
from cssm.common.middleware import Proxies
from cssm.serving.gateway import Answer, call
from cssm.serving.sorting import JSON_PATHS

JSON: Final = "application/json"


class TakeMessage(Protocol):
    """Answers the body of a device message with a status and a body in JSON."""

    def __call__(
        self, body: bytes, *, source_ip: str, correlation_id: str, now: datetime
    ) -> tuple[HTTPStatus, bytes]: ...


class Door:
    """Called in a thread of a lane, with a request that may be read and the whole of its body."""

    def __init__(
        self,
        application: WSGIApplication,
        *,
        take: TakeMessage,
        proxies: Proxies,
        clock: Callable[[], datetime],
        between: Callable[[], None] = close_old_connections,
    ) -> None:
        self._application, self._take, self._proxies, self._clock = application, take, proxies, clock
        # As Django around each request: a connection lasts for its age, and one that broke is not used again.
        self._between = between

    def __call__(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        if not is_ordinary(environ):
            return call(self._application, environ, body)
        started = time.perf_counter()
        correlation_id = str(uuid.uuid4())
        self._between()
        try:
            with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
                source_ip = self._proxies.client_of(environ)
                status, content = self._take(
                    body, source_ip=source_ip, correlation_id=correlation_id, now=self._clock()
                )
        finally:
            self._between()
        observe_request(DEVICE, status=status, seconds=time.perf_counter() - started)
        headers = [
            (b"content-type", JSON.encode()),
            (b"content-length", str(len(content)).encode()),
            (b"x-correlation-id", correlation_id.encode()),
        ]
        return Answer(int(status), headers, content)


def is_ordinary(environ: WSGIEnvironment) -> bool:
    """Whether it is a message in JSON like those that products send."""
    if environ["PATH_INFO"] not in JSON_PATHS or environ["REQUEST_METHOD"] != "POST":
        return False
    return environ.get("CONTENT_TYPE") == JSON and "HTTP_TRANSFER_ENCODING" not in environ
