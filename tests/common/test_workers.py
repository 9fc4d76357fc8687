"""Workers beside the web: they do not connect anew for each of their many tasks, and step back for who answers."""

import os
import threading
from types import SimpleNamespace

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_postrun, task_prerun, worker_init
from django.db import connection

from cssm import celery
from cssm.common.priority import step_back

pytestmark = pytest.mark.django_db


class Task:
    request = SimpleNamespace(is_eager=False)


TASK = Task()


def test_celery_leaves_the_connection_open_before_and_after_a_task():
    connection.ensure_connection()
    kept = connection.connection
    worker = DjangoWorkerFixup(celery.app)
    worker.on_task_prerun(sender=TASK)
    worker.on_task_postrun(sender=TASK)
    assert connection.connection is kept


def test_instead_it_is_looked_after_as_around_a_request(monkeypatch):
    seen = []
    monkeypatch.setattr(celery, "close_old_connections", lambda: seen.append("looked after"))
    for signal in (task_prerun, task_postrun):
        signal.send(sender=TASK)
    assert seen == ["looked after"] * 2


@pytest.mark.parametrize(("before", "after"), [(0, 5), (10, 10)])
def test_a_worker_steps_back_but_never_forward(monkeypatch, before, after):
    seen = []
    monkeypatch.setattr(os, "getpriority", lambda *_: before)
    monkeypatch.setattr(os, "setpriority", lambda *asked: seen.append(asked))
    worker_init.send(sender=TASK)
    assert seen == [(os.PRIO_PROCESS, threading.get_native_id(), after)]


def test_only_the_thread_that_asks_steps_back():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    seen = []

    def work():
        step_back(own + 3)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (seen, os.getpriority(os.PRIO_PROCESS, 0)) == ([min(19, own + 3)], own)
