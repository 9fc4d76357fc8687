"""Sending what is due. The database is never in a transaction while the mail server is spoken to."""

import time
from datetime import datetime
from typing import Final

import structlog

from alerts.models import Delivery
from alerts.services.compose import compose_message
from alerts.services.deliveries import Outcome, claim_next, doubt_abandoned, record_outcome
from alerts.services.smtp import MailSender
from alerts.services.summaries import plan_summaries
from alerts.states import OutcomeKind

log = structlog.get_logger(__name__)

RUN_SECONDS: Final = 60.0


def send_due_mail(*, now: datetime) -> int:
    """Send the messages that are due, for a minute at most; returns how many the mail server took.

    Any number of workers may run at once: each message is claimed by one.
    """
    doubt_abandoned(now=now)
    stop_at = time.monotonic() + RUN_SECONDS
    sent = 0
    with MailSender() as sender:
        while time.monotonic() < stop_at and (delivery := claim_next(now=now)) is not None:
            outcome = _attempt(sender, delivery, now)
            record_outcome(delivery, outcome, now=now)
            sent += outcome.kind is OutcomeKind.SENT
            if outcome.kind is OutcomeKind.UNREACHABLE:
                break  # the others would only wait for the same time-out
    return sent


def send_daily_summaries(*, now: datetime) -> int:
    """Make the day's summaries where they are due, and send them."""
    return send_due_mail(now=now) if plan_summaries(now=now) else 0


def _attempt(sender: MailSender, delivery: Delivery, now: datetime) -> Outcome:
    try:
        message = compose_message(delivery, now=now)
    except Exception as error:  # one message that cannot be made must not hold up all others
        log.exception("mail_not_composed", delivery=delivery.pk)
        return Outcome(OutcomeKind.REFUSED, f"The message could not be made: {type(error).__name__}")
    return sender.send(message)
