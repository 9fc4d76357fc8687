"""The one dispatcher: turns records of the apps above into alerts and messages."""

from datetime import datetime
from typing import Final

import structlog
from django.db import transaction

from alerts.models import Alert, Delivery, SourceLock, SummaryEntry
from alerts.services.deliveries import make_message_id
from alerts.services.rules import AlertChange, Source, registered_sources
from alerts.services.subscriptions import find_subscribers
from alerts.states import AlertAction, Channel, Frequency
from cssm.common.jobs import nudge

log = structlog.get_logger(__name__)

BATCH: Final = 200


def dispatch(*, now: datetime) -> int:
    """Drain every source; returns how many records were dispatched.

    Alerts, deliveries and the mark on the records are one transaction per batch. A source that fails is left as it was
    and raised (ExceptionGroup) after all others have been drained.
    """
    drained = 0
    failures: list[Exception] = []
    for source in registered_sources():
        try:
            drained += _drain(source, now)
        except Exception as error:
            log.exception("dispatch_failed", source=source.name)
            failures.append(error)
    if failures:
        raise ExceptionGroup("Some sources of alerts could not be drained.", failures)
    return drained


def _drain(source: Source, now: datetime) -> int:
    total = 0
    SourceLock.objects.get_or_create(name=source.name)
    while True:
        with transaction.atomic():
            _lock(source)
            rows = source.fetch(BATCH)
            for row in rows:
                for change in source.to_changes(row):
                    apply_change(change, now=now)
            if rows:
                source.mark(rows, now)
        total += len(rows)
        if len(rows) < BATCH:
            return total


def _lock(source: Source) -> None:
    """One batch of a source at a time, or a raise could be applied after the clear that followed it.

    Waits and does not skip: records committed after the holder's last look must not wait for the next sweep.
    """
    SourceLock.objects.select_for_update().get(name=source.name)


def apply_change(change: AlertChange, *, now: datetime) -> None:
    """Raise, update or clear the alert of one cause. Call it in the dispatcher's transaction.

    Raising what stands updates it and tells nobody again; updating or clearing what does not stand does nothing.
    """
    standing = Alert.objects.standing().filter(
        smart_account=change.smart_account_id, type=change.alert_type, cause=change.cause
    )
    figures = {
        "params": dict(change.params),
        "source": change.source[:300],
        "path": _own_path(change.path),
        "action_due": change.action_due,
        "updated_at": change.at,
    }
    if change.action is AlertAction.CLEAR:
        standing.update(cleared_at=change.at, updated_at=change.at)
    elif not standing.update(**figures) and change.action is AlertAction.RAISE:
        alert = Alert.objects.create(
            smart_account_id=change.smart_account_id,
            virtual_account_id=change.virtual_account_id,
            type=change.alert_type,
            severity=change.alert_type.severity,
            cause=change.cause,
            raised_at=change.at,
            **figures,
        )
        _plan_messages(alert, now)


def _plan_messages(alert: Alert, now: datetime) -> None:
    """One row per subscriber and way; the unique constraints make a second one impossible."""
    subscribers = find_subscribers(alert.smart_account_id, alert.virtual_account_id, alert.kind)
    cause = f"alert:{alert.pk}"
    at_once = [recipient for recipient, frequency in subscribers.items() if frequency is Frequency.IMMEDIATE]
    Delivery.objects.bulk_create(
        [
            Delivery(
                cause=cause,
                recipient=recipient.key,
                channel=Channel.EMAIL,
                alert=alert,
                smart_account_id=alert.smart_account_id,
                virtual_account_id=alert.virtual_account_id,
                user_id=recipient.user_id,
                address=recipient.address,
                message_id=make_message_id(),
                created_at=now,
                next_attempt_at=now,
            )
            for recipient in at_once
        ],
        ignore_conflicts=True,
    )
    SummaryEntry.objects.bulk_create(
        [
            SummaryEntry(
                cause=cause,
                recipient=recipient.key,
                alert=alert,
                smart_account_id=alert.smart_account_id,
                virtual_account_id=alert.virtual_account_id,
                user_id=recipient.user_id,
                address=recipient.address,
                created_at=now,
            )
            for recipient, frequency in subscribers.items()
            if frequency is Frequency.DAILY
        ],
        ignore_conflicts=True,
    )
    if at_once:
        nudge("alerts.send_due_mail")


def _own_path(path: str) -> str:
    """A path of this portal, never a whole address that a mail would lead somewhere else."""
    return path if path.startswith("/") and not path.startswith("//") and len(path) <= 500 else ""
