"""Messages answered by a process of its own, which shares neither Python nor its priority with who else is answered."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final
from wsgiref.types import WSGIEnvironment

import structlog

from cssm.common.metrics import DEVICE, observe_request
from cssm.common.priority import step_aside
from cssm.serving.gateway import Answer, AnswerMessage

log = structlog.get_logger(__name__)

AGAIN: Final = 10.0
"""Seconds from one start to the next: what cannot start shall not use up the machine with trying."""
PATIENCE: Final = 30.0
"""Seconds for the last answer when everything ends."""
COUNTED_HERE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Whoever asks counts what was answered; a process that counted too would count twice, or where nobody looks."""


class Deputy:
    """Called with an environment and a body, as what it stands in for.

    Its process is started again when it has ended; until it is ready, and where it fails, `instead` answers in this
    process. A message that it was at may have been done already: asked again, it gets the answer of a repetition. Each
    exchange has a number, and after one that failed the process is not asked again, so that nobody ever gets the answer
    of someone else. `is_crowded` tells whether so many wait that those who answer others should go first.
    """

    def __init__(self, program: str, *, instead: AnswerMessage, is_crowded: Callable[[], bool] = lambda: False) -> None:
        self._program, self._instead, self._is_crowded = program, instead, is_crowded
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None
        self._is_ready = False
        self._started_at = float("-inf")
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process that answers, once it does."""
        return self._process.pid if self._process is not None and self._is_ready else None

    def start(self) -> None:
        """Start the process. It is not waited for; where it cannot be started, this process answers until it can."""
        with self._lock, self._letting_go():
            self._reach()

    def __call__(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        with self._lock:
            answer = self._ask(environ, body)
        return self._instead(environ, body) if answer is None else answer

    def close(self) -> None:
        """End the process after what it does now, and wait for that."""
        with self._lock:
            self._let_go()

    def _ask(self, environ: WSGIEnvironment, body: bytes) -> Answer | None:
        """Its answer; None where there is no process that could, or none any more."""
        answer: Answer | None = None
        started = time.perf_counter()
        with self._letting_go():
            link = self._reach()
            if link is None:
                return None
            self._number += 1
            _send(link, [self._number, self._is_crowded(), _plain(environ)], body)
            (number, status, headers), content = _receive(link)
            if number != self._number:
                raise OSError(f"answer {number} to message {self._number}")
            named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            answer = Answer(status, named, content)
        if answer is not None:
            observe_request(DEVICE, status=answer.status, seconds=time.perf_counter() - started)
        return answer

    @contextmanager
    def _letting_go(self) -> Iterator[None]:
        """Let go of the process if anything goes wrong within; what is wrong with the process itself ends there."""
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            log.warning("deputy_failed", program=self._program, error=repr(error))
            self._let_go()
        except BaseException:
            self._let_go()
            raise

    def _reach(self) -> Connection | None:
        if self._link is None and time.monotonic() - self._started_at >= AGAIN:
            self._start()
        if self._link is not None and not self._is_ready and self._link.poll():
            self._link.recv_bytes()
            self._is_ready = True
        return self._link if self._is_ready else None

    def _start(self) -> None:
        self._started_at = time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {name: value for name, value in os.environ.items() if name != COUNTED_HERE}
            command: Sequence[str] = [sys.executable, "-m", self._program, str(theirs.fileno())]
            self._link = Connection(ours.detach())
            self._process = subprocess.Popen(  # noqa: S603  our own program
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
            )

    def _let_go(self) -> None:
        self._is_ready = False
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def stand_in(descriptor: int, answer: AnswerMessage) -> None:
    """What the process does: answer what comes by this socket, until nobody is there any more.

    While there is a crowd, by a thread that has stepped aside; who comes alone is not kept waiting by anybody's work.
    """
    aside = ThreadPoolExecutor(1, thread_name_prefix="aside", initializer=step_aside)
    with Connection(descriptor) as link, aside:
        link.send_bytes(b"ready")
        while True:
            try:
                (number, is_crowded, environ), body = _receive(link)
            except (EOFError, ConnectionError):
                return
            environ |= {"wsgi.version": (1, 0), "wsgi.errors": sys.stderr}
            given = aside.submit(answer, environ, body).result() if is_crowded else answer(environ, body)
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in given.headers]
            _send(link, [number, given.status, headers], given.body)


def _plain(environ: WSGIEnvironment) -> dict[str, Any]:
    """What of it can be written down; the rest is the same everywhere."""
    return {name: value for name, value in environ.items() if name not in ("wsgi.version", "wsgi.errors")}


def _send(link: Connection, head: list[Any], body: bytes) -> None:
    link.send_bytes(json.dumps(head).encode())
    link.send_bytes(body)


def _receive(link: Connection) -> tuple[list[Any], bytes]:
    return json.loads(link.recv_bytes()), link.recv_bytes()
