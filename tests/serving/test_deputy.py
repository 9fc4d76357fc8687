"""Answers by a process of its own, and what becomes of a message where that fails."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY

from cssm.serving import deputy as deputy_module
from cssm.serving.deputy import COUNTED_HERE, Deputy
from cssm.serving.gateway import Answer
from tests.serving import clerk

Open = Callable[[], Deputy]
HERE = Answer(200, [], b"here")


@pytest.fixture
def asked_here() -> list[bytes]:
    """What was answered in this process."""
    return []


@pytest.fixture
def opened(asked_here: list[bytes]) -> Iterator[Callable[[], Deputy]]:
    """Makes deputies whose process is ready; they are closed in the end."""
    made: list[Deputy] = []

    def instead(_environ: Any, body: bytes) -> Answer:
        asked_here.append(body)
        return HERE

    def make() -> Deputy:
        made.append(Deputy(clerk.__name__, instead=instead))
        return started(made[-1])

    yield make
    for deputy in made:
        deputy.close()


def started(deputy: Deputy) -> Deputy:
    deputy.start()
    assert deputy._link is not None
    assert deputy._link.poll(30)
    return deputy


def environ(**more: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "wsgi.version": (1, 0), "wsgi.errors": sys.stdout, **more}


def counted() -> float:
    return REGISTRY.get_sample_value("portal_request_seconds_count", {"kind": "device", "status": "2xx"}) or 0.0


def test_a_process_of_its_own_answers_and_is_counted_by_who_asked(opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(COUNTED_HERE, "somewhere")
    deputy, before = opened(), counted()
    body = bytes(range(256))
    status, headers, content = deputy(environ(HTTP_X_NAME="Zo\u00eb"), body)
    seen = json.loads(content)
    assert (status, headers) == (201, [(b"x-told", b"Zo\xeb")])
    assert seen == {
        "pid": deputy.pid,
        "body": body.decode("latin-1"),
        "name": "Zo\u00eb",
        "version": [1, 0],
        "counts": False,
        "steps_aside": False,
        "errors": True,
    }
    assert deputy.pid != os.getpid()
    assert counted() == before + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets threads step aside")
def test_in_a_crowd_others_go_first_and_alone_it_waits_for_nobody(opened: Open):
    deputy = opened()
    seen = []
    for is_crowded in (False, True, True, False):
        deputy._is_crowded = partial(bool, is_crowded)
        seen.append(json.loads(deputy(environ(), b"").body)["steps_aside"])
    assert seen == [False, True, True, False]


def test_until_it_is_ready_messages_are_answered_here(opened: Open, asked_here: list[bytes]):
    deputy = Deputy(clerk.__name__, instead=opened()._instead)
    assert deputy(environ(), b"early") == HERE
    assert deputy.pid is None
    assert started(deputy)(environ(), b"later") != HERE
    assert asked_here == [b"early"]
    deputy.close()


def test_a_message_at_which_it_ends_is_answered_here_and_it_starts_again(
    opened: Open, asked_here: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    deputy = opened()
    assert json.loads(deputy(environ(), b"well").body)["body"] == "well"
    first = deputy.pid
    assert deputy(environ(), clerk.ENDS) == HERE
    assert deputy(environ(), b"too soon to start again") == HERE
    assert asked_here == [clerk.ENDS, b"too soon to start again"]
    monkeypatch.setattr(deputy_module, "AGAIN", 0.0)
    assert json.loads(started(deputy)(environ(), b"well again").body)["body"] == "well again"
    assert deputy.pid != first


def test_an_answer_to_another_message_is_never_given(opened: Open, asked_here: list[bytes]):
    deputy = opened()
    assert deputy(environ(), b"one").status == 201
    assert deputy(environ(), clerk.CONFUSES) == HERE
    assert deputy(environ(), b"three") == HERE
    assert asked_here == [clerk.CONFUSES, b"three"]


def test_after_an_exchange_that_broke_off_its_answer_reaches_nobody(
    opened: Open, asked_here: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    deputy = opened()

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deputy_module, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            deputy(environ(), b"one")
    assert deputy(environ(), b"two") == HERE
    assert asked_here == [b"two"]


def test_it_ends_with_who_asks(opened: Open):
    deputy = opened()
    process = deputy._process
    assert process is not None
    assert process.poll() is None
    deputy.close()
    assert process.returncode == 0
    assert deputy.pid is None


def test_a_process_that_does_not_end_is_ended(opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deputy_module, "PATIENCE", 0.0)
    deputy = opened()
    process = deputy._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    deputy.close()
    assert process.returncode == -9


def test_where_no_process_can_be_started_messages_are_answered_here(
    opened: Open, asked_here: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    deputy = Deputy(clerk.__name__, instead=opened()._instead)

    def refused(*_: Any, **__: Any) -> Any:
        raise BlockingIOError("no more processes")

    with monkeypatch.context() as patched:
        patched.setattr(deputy_module.subprocess, "Popen", refused)
        deputy.start()
    assert deputy(environ(), b"one") == HERE
    assert asked_here == [b"one"]
    monkeypatch.setattr(deputy_module, "AGAIN", 0.0)
    assert started(deputy)(environ(), b"two").status == 201
    deputy.close()
