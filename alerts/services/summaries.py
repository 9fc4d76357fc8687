"""Daily summaries: one mail per recipient and day, made of the entries that wait for it."""

from datetime import datetime
from typing import Final

from django.db import transaction

from alerts.models import Delivery, SummaryEntry
from alerts.services.deliveries import make_message_id
from alerts.states import Channel

SUMMARY_HOUR: Final = 6  # UTC: before the working day in Europe, after it in America


def plan_summaries(*, now: datetime) -> int:
    """From 06:00 UTC on, gather what waits into one delivery per recipient; returns how many were made.

    What comes after a recipient's summary of the day waits for the next day's.
    """
    if now.hour < SUMMARY_HOUR:
        return 0
    recipients = SummaryEntry.objects.waiting().order_by().values_list("recipient", flat=True).distinct()
    return sum(_gather(recipient, now) for recipient in list(recipients))


def _gather(recipient: str, now: datetime) -> bool:
    with transaction.atomic():
        entries = SummaryEntry.objects.waiting().filter(recipient=recipient).select_for_update()
        first = entries.first()
        if first is None:
            return False
        delivery, created = Delivery.objects.get_or_create(
            cause=f"summary:{now:%Y-%m-%d}",
            recipient=recipient,
            channel=Channel.SUMMARY,
            defaults={
                "user_id": first.user_id,
                "address": first.address,
                "message_id": make_message_id(),
                "created_at": now,
                "next_attempt_at": now,
            },
        )
        if created:
            entries.update(delivery=delivery)
        return created
