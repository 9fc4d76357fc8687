"""Choosing what to be told of, by whom a choice may be made, and what it amounts to."""

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.events import record_event
from alerts.models import Subscription
from alerts.services.recipients import Recipient, recipient_address, recipient_user
from alerts.services.rules import offered_types
from alerts.states import AlertType, Frequency
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission

# Where (a Virtual Account's primary key, or None for the whole Smart Account) and of what; None takes a choice back.
Choices = Mapping[tuple[int | None, AlertType], Frequency | None]

INHERITED = "as the Smart Account"


def choose_notifications(*, actor: Actor, smart_account: SmartAccount, choices: Choices, now: datetime) -> int:
    """Set the signed-in person's own choices; returns how many changed.

    Raises `NotFound` or `Forbidden` where the person may not view, `Forbidden` to anything but a person, `Invalid` for
    an alert type that nothing raises.
    """
    if actor.kind is not ActorKind.USER or not actor.id:
        raise Forbidden("Only a signed-in person chooses notifications.")
    accounts = _virtual_accounts(smart_account, {place for place, _ in choices if place is not None})
    for place, _ in choices:
        actor.require(Permission.VIEW, smart_account_id=smart_account.pk, virtual_account_id=place)
    recipient = recipient_user(int(actor.id))
    return _save(actor, recipient, actor.label, smart_account, accounts, choices, now)


def subscribe_address(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    address: str,
    alert_type: AlertType,
    frequency: Frequency,
    now: datetime,
) -> None:
    """Tell an address in the Smart Account's own domain of all its alerts of a type; `Frequency.OFF` ends it.

    Raises `Invalid` for an address outside the domain, `Forbidden` to all but an SA_ADMIN.
    """
    actor.require(Permission.MANAGE_INTEGRATIONS, smart_account_id=smart_account.pk)
    cleaned = _own_address(smart_account, address)
    recipient = recipient_address(smart_account.pk, cleaned)
    _save(actor, recipient, cleaned, smart_account, {}, {(None, alert_type): frequency}, now)


def find_subscribers(
    smart_account_id: int, virtual_account_id: int | None, alert_type: AlertType
) -> dict[Recipient, Frequency]:
    """Who is to be told of an alert there, and how; the choice on the Virtual Account wins over the general one."""
    rows = Subscription.objects.covering(smart_account_id, virtual_account_id, alert_type)
    chosen: dict[Recipient, Frequency] = {}
    for row in sorted(rows, key=lambda row: row.virtual_account_id is not None):
        chosen[Recipient(row.recipient, row.user_id, row.address)] = Frequency(row.frequency)
    return {recipient: frequency for recipient, frequency in chosen.items() if frequency is not Frequency.OFF}


def stop_notifications(
    *, actor: Actor, recipient: Recipient, label: str, smart_account: SmartAccount, alert_type: AlertType, now: datetime
) -> int:
    """Turn off everything a recipient has subscribed to of one type in one Smart Account; returns how many changed."""
    rows = Subscription.objects.filter(recipient=recipient.key, smart_account=smart_account, alert_type=alert_type)
    places = list(rows.values_list("virtual_account_id", flat=True))
    accounts = {row.pk: row for row in VirtualAccount.objects.filter(pk__in=[place for place in places if place])}
    choices: Choices = {(place, alert_type): Frequency.OFF for place in places}
    return _save(actor, recipient, label, smart_account, accounts, choices, now, offered_only=False)


def _save(
    actor: Actor,
    recipient: Recipient,
    label: str,
    smart_account: SmartAccount,
    accounts: Mapping[int, VirtualAccount],
    choices: Choices,
    now: datetime,
    *,
    offered_only: bool = True,
) -> int:
    changed = 0
    offered = offered_types()
    with transaction.atomic():
        if recipient.user_id is not None:
            User.objects.select_for_update().get(pk=recipient.user_id)  # two forms of one person at once
        for (place, alert_type), frequency in choices.items():
            if offered_only and alert_type not in offered:
                raise Invalid(f"Nothing raises the alert {alert_type.label} here.", where=alert_type.value)
            key = {
                "recipient": recipient.key,
                "smart_account": smart_account,
                "virtual_account_id": place,
                "alert_type": alert_type,
            }
            existing = Subscription.objects.filter(**key).first()
            before = _read(existing, place)
            after = frequency or (Frequency.OFF if place is None else None)
            if before == after:
                continue
            if after is None:
                Subscription.objects.filter(**key).delete()
            else:
                Subscription.objects.update_or_create(
                    **key,
                    defaults={"frequency": after, "changed_at": now},
                    create_defaults={
                        "frequency": after,
                        "changed_at": now,
                        "user_id": recipient.user_id,
                        "address": recipient.address,
                    },
                )
            changed += 1
            record_event(
                actor=actor,
                name="subscription.changed",
                smart_account=smart_account,
                virtual_account=place,
                subject_type="subscription",
                subject_id=f"{place or 'all'}:{alert_type}",
                data={
                    "type": alert_type.label,
                    "place": smart_account.name if place is None else accounts[place].name,
                    "before": before or INHERITED,
                    "after": after or INHERITED,
                },
                personal={"recipient": label},
                now=now,
            )
    return changed


def _read(existing: Subscription | None, place: int | None) -> Frequency | None:
    """A Virtual Account without a row follows its Smart Account; a Smart Account without one is off."""
    if existing is not None:
        return Frequency(existing.frequency)
    return Frequency.OFF if place is None else None


def _virtual_accounts(smart_account: SmartAccount, keys: set[int]) -> dict[int, VirtualAccount]:
    found = {row.pk: row for row in VirtualAccount.objects.live().filter(smart_account=smart_account, pk__in=keys)}
    if keys - found.keys():
        raise NotFound("There is no such Virtual Account, or you have no access to it.")
    return found


def _own_address(smart_account: SmartAccount, address: str) -> str:
    cleaned = address.strip().lower()
    try:
        validate_email(cleaned)
    except ValidationError as error:
        raise Invalid("This is not an e-mail address.", where="address") from error
    domain = cleaned.rpartition("@")[2]
    if domain != smart_account.domain and not domain.endswith(f".{smart_account.domain}"):
        raise Invalid(
            f"Only addresses in {smart_account.domain} can be told of this Smart Account's alerts.", where="address"
        )
    return cleaned
