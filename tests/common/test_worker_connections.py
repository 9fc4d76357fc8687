"""Tasks run several times a second: a worker does not connect anew for each."""

from types import SimpleNamespace

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_postrun, task_prerun
from django.db import connection

from cssm import celery

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
