"""Whether a message is still worth sending: asked just before it leaves."""

from datetime import datetime

from alerts.models import Alert, Delivery, SummaryEntry
from alerts.services.recipients import may_be_told
from alerts.services.rules import present_params
from alerts.services.subscriptions import find_subscribers
from alerts.states import Channel
from cssm.common.text import mark

RECOVERED = mark("Recovered before the message left.")
UNSUBSCRIBED = mark("The recipient has unsubscribed.")
NO_ACCESS = mark("The recipient may no longer see the account.")


def reason_not_to_send(delivery: Delivery, *, now: datetime) -> str | None:
    """Why the message is not needed any more, or None. A daily summary is needed while one of its entries is."""
    if delivery.channel == Channel.SUMMARY:
        entries = delivery.entries.all()
        return None if any(_reason(delivery, entry.alert, now) is None for entry in entries) else RECOVERED
    assert delivery.alert is not None  # noqa: S101  only summaries have none
    return _reason(delivery, delivery.alert, now)


def relevant_alerts(delivery: Delivery, *, now: datetime) -> list[Alert]:
    """What a daily summary still has to tell, gravest first."""
    entries = SummaryEntry.objects.filter(delivery=delivery).select_related(
        "alert__smart_account", "alert__virtual_account"
    )
    alerts = [entry.alert for entry in entries if _reason(delivery, entry.alert, now) is None]
    return sorted(alerts, key=lambda alert: (alert.severity, alert.smart_account.domain, alert.raised_at))


def _reason(delivery: Delivery, alert: Alert, now: datetime) -> str | None:
    if alert.cleared_at is not None or present_params([alert], now=now)[alert.pk] is None:
        return RECOVERED
    subscribers = find_subscribers(alert.smart_account_id, alert.virtual_account_id, alert.kind)
    if delivery.recipient not in {recipient.key for recipient in subscribers}:
        return UNSUBSCRIBED
    if not may_be_told(delivery.user, alert.smart_account, alert.virtual_account_id):
        return NO_ACCESS
    return None
