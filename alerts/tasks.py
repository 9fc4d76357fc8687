"""Celery's way in: each task drains rows, so running it twice or late does no harm."""

from celery import shared_task

from alerts.services import dispatch, mail
from cssm.common.clock import read_clock


@shared_task(name="alerts.dispatch")
def dispatch_alerts() -> None:
    dispatch.dispatch(now=read_clock())


@shared_task(name="alerts.send_due_mail")
def send_due_mail() -> None:
    mail.send_due_mail(now=read_clock())


@shared_task(name="alerts.send_daily_summaries")
def send_daily_summaries() -> None:
    mail.send_daily_summaries(now=read_clock())
