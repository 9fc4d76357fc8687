"""Celery's way to the services of sync."""

from celery import shared_task

from cssm.common.clock import read_clock
from sync.services import deadlines, queue, three_tier


@shared_task(name="sync.work_exchanges")
def work_exchanges() -> None:
    queue.work_exchanges(now=read_clock())


@shared_task(name="sync.tell_signed")
def tell_signed() -> None:
    three_tier.tell_signed(now=read_clock())


@shared_task(name="sync.watch_deadlines")
def watch_deadlines() -> None:
    deadlines.watch_deadlines(now=read_clock())


@shared_task(name="sync.delete_old_files")
def delete_old_files() -> None:
    queue.delete_old_files(now=read_clock())
