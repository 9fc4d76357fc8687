"""Celery's way to the periodic work of the common ground."""

from celery import shared_task

from cssm.common import idempotency
from cssm.common.clock import read_clock


@shared_task(name="common.purge_answers")
def purge_answers() -> None:
    idempotency.purge_expired_answers(now=read_clock())
