"""Celery's wrappers around what the accounts app does in the background."""

from celery import shared_task

from accounts.services import access_requests, events
from cssm.common.clock import read_clock


@shared_task(name="accounts.seal_events")
def seal_events() -> None:
    events.seal_events(now=read_clock())


@shared_task(name="accounts.send_access_request_mails")
def send_access_request_mails() -> None:
    access_requests.send_access_request_mails(now=read_clock())
