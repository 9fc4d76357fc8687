"""Nudges: telling a worker, by name and without data, that there are rows to work on.

What must happen is a row that a sweep drains. A nudge only makes it happen sooner, so losing one costs one sweep
interval and never work: broker errors are logged and swallowed, and nudges of one name are sent at most every
`MIN_INTERVAL_SECONDS` from one process, or as seldom as the caller says. Whoever nudges has no time to wait for a
broker that is gone: after an error this process sends none for `PAUSE_SECONDS`.
"""

import time

import structlog
from celery import current_app
from django.conf import settings
from kombu.exceptions import KombuError

from cssm.common.statements import after_commit

log = structlog.get_logger(__name__)

MIN_INTERVAL_SECONDS = 0.1
PAUSE_SECONDS = 10.0
_last_sent: dict[str, float] = {}
_paused_until = [float("-inf")]


def nudge(task_name: str, *, using: str | None = None, interval: float = MIN_INTERVAL_SECONDS) -> None:
    """Ask for `task_name` to run soon after the current transaction commits (at once outside of one).

    Within `interval` seconds after this process asked for it last nothing is sent.
    """
    after_commit(lambda: _send(task_name, interval), using=using)


def _send(task_name: str, interval: float = MIN_INTERVAL_SECONDS) -> None:
    if not settings.NUDGES_ENABLED:
        return
    moment = time.monotonic()
    if moment < _paused_until[0] or moment - _last_sent.get(task_name, -1.0) < interval:
        return
    _last_sent[task_name] = moment
    try:
        current_app.send_task(task_name, ignore_result=True, retry=False)
    except (KombuError, OSError) as error:
        _paused_until[0] = time.monotonic() + PAUSE_SECONDS
        log.warning("nudge_lost", task=task_name, error=type(error).__name__)
