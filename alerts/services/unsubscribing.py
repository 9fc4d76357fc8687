"""Leaving by the link in a mail (RFC 8058): who holds the mail may stop it, without signing in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core import signing
from django.db import transaction
from django.urls import reverse

from accounts.models import SmartAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert, Delivery, SummaryEntry
from alerts.services.recipients import Recipient
from alerts.services.subscriptions import stop_notifications
from alerts.states import AlertType
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import NotFound

_signer: Final = signing.Signer(sep=".", salt="alerts.unsubscribe")


@dataclass(frozen=True, slots=True)
class Leaving:
    """What a link would stop: these types of alerts in these Smart Accounts."""

    delivery: Delivery
    stops: tuple[tuple[SmartAccount, AlertType], ...]


def unsubscribe_path(delivery: Delivery) -> str:
    """The same for every attempt; holds no address and no secret but its own signature."""
    return reverse("alerts:unsubscribe", kwargs={"token": _signer.sign(str(delivery.pk))})


def read_unsubscribe_token(token: str) -> Leaving:
    """What the link would stop. Raises `NotFound` for anything that we did not sign."""
    try:
        key = int(_signer.unsign(token))
    except (signing.BadSignature, ValueError) as error:
        raise NotFound("This link is not valid. Choose notifications in the preferences of the account.") from error
    delivery = Delivery.objects.select_related("user", "alert__smart_account").filter(pk=key).first()
    if delivery is None:
        raise NotFound("This link is not valid. Choose notifications in the preferences of the account.")
    if delivery.alert is not None:
        told: list[Alert] = [delivery.alert]
    else:
        entries = SummaryEntry.objects.filter(delivery=delivery).select_related("alert__smart_account")
        told = [entry.alert for entry in entries]
    stops = {(alert.smart_account_id, alert.kind): (alert.smart_account, alert.kind) for alert in told}
    return Leaving(delivery=delivery, stops=tuple(stops.values()))


def unsubscribe(*, token: str, now: datetime) -> int:
    """Turn off what the mail was sent for; returns how many choices changed (0 at the second time)."""
    leaving = read_unsubscribe_token(token)
    delivery = leaving.delivery
    recipient = Recipient(delivery.recipient, delivery.user_id, delivery.address)
    if delivery.user is not None:
        actor = actor_for_user(delivery.user)
    else:
        actor = Actor(kind=ActorKind.SYSTEM, id="unsubscribe", label="unsubscribe link")
    with transaction.atomic():
        return sum(
            stop_notifications(
                actor=actor, recipient=recipient, label=delivery.to, smart_account=account, alert_type=kind, now=now
            )
            for account, kind in leaving.stops
        )
