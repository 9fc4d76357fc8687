"""Nudges: whoever sends one never waits for a broker that is gone."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app
from kombu.exceptions import OperationalError

from cssm import celery as project
from cssm.common import jobs


@pytest.fixture(autouse=True)
def _fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.NUDGES_ENABLED = True
    monkeypatch.setattr(jobs, "_last_sent", {})
    monkeypatch.setattr(jobs, "_paused_until", [float("-inf")])


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_gone_costs_no_time(
    closed_port: int, settings: Any, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CELERY_BROKER_URL = f"{scheme}://127.0.0.1:{closed_port}/"
    monkeypatch.setenv("CELERY_BROKER_URL", settings.CELERY_BROKER_URL)  # the library asks the environment first
    app = Celery("gone", set_as_current=False)
    app.conf.update(project._configure())
    started = time.monotonic()
    with pytest.raises(OperationalError):
        app.send_task("x", ignore_result=True, retry=False)
    assert time.monotonic() - started < 5


def test_after_an_error_none_is_sent_for_a_while(moments: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def fail(name: str, **_: Any) -> None:
        sent.append(name)
        raise OperationalError("gone")

    monkeypatch.setattr(current_app, "send_task", fail)
    jobs._send("a")
    jobs._send("b")
    assert sent == ["a"]
    moments[0] += jobs.PAUSE_SECONDS - 1
    jobs._send("a")
    assert sent == ["a"]
    moments[0] += 1
    jobs._send("b")
    assert sent == ["a", "b"]


def test_a_name_may_be_asked_for_less_often(moments: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **_: sent.append(name))
    for _ in range(6):
        jobs._send("often")
        jobs._send("rarely", 0.5)
        moments[0] += 0.1
    assert (sent.count("often"), sent.count("rarely")) == (6, 2)
