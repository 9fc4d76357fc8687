"""A product instance's life by its timers (domain: Products): what is due is done, on its day or soon after.

| after | without | then |
|---|---|---|
| 90 days | an authorization | authorization expired, alert "Product Instance Failed to Connect" |
| 181 days | an acknowledged renewal | alert "Product Instance Failed to Renew" |
| 365 days, the certificate's end | an acknowledged renewal | expired, use leaves the pools, alert "… was Removed" |
| 90 days | contact, where the product was registered elsewhere meanwhile | the claim on the UDI goes there |

Each instance has a watch that says when to look at it next. A look brings it up to date, whatever was missed.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Q

from cssm.common.actor import SYSTEM
from cssm.common.retries import retry_transient
from licensing.models import InstanceContact, InstanceKey, InstanceWatch, ProductInstance, UdiClaim
from licensing.services.devices.authorization import AUTHORIZATION_LIFE
from licensing.services.devices.claims import SILENCE_RELEASES
from licensing.services.devices.endings import expire_instance, lock_claim, lock_instance, lose_count
from licensing.services.devices.ha_groups import take_claim_back
from licensing.services.devices.notices import give_notice
from licensing.services.devices.watches import FIRST_LOOK
from licensing.states import InstanceState, KeyState, NoticeKind

RENEWAL_OVERDUE: Final = timedelta(days=181)
MOST_LOOKS: Final = 5_000


def advance_lives(*, now: datetime, limit: int = MOST_LOOKS) -> int:
    """Look at every instance that is due, longest overdue first; returns how many changed. Each is a transaction."""
    due = InstanceWatch.objects.filter(due_at__lte=now).order_by("due_at", "pk").values_list("pk", flat=True)
    return sum(retry_transient(partial(_look_at, pk, now)) for pk in list(due[:limit]))


def _look_at(instance_id: int, now: datetime) -> int:
    with transaction.atomic():
        instance = ProductInstance.objects.get(pk=instance_id)
        lock_claim(instance.udi)
        instance = lock_instance(instance_id)
        watch = InstanceWatch.objects.filter(pk=instance_id)
        if not InstanceState(instance.state).is_active:
            watch.delete()
            return 0
        key = InstanceKey.objects.get(instance=instance_id, state=KeyState.CURRENT)
        contact = InstanceContact.objects.get(pk=instance_id)
        if key.not_after <= now:
            expire_instance(actor=SYSTEM, instance=instance, at=key.not_after, now=now)
            return 1
        changed = _check_renewal(instance, key, now) + _check_authorization(instance, contact, now)
        changed += _pass_claim(instance, contact, now)
        watch.update(due_at=_next_look(key, contact, now))
        return int(changed > 0)


def _check_renewal(instance: ProductInstance, key: InstanceKey, now: datetime) -> int:
    overdue = key.created_at + RENEWAL_OVERDUE
    if overdue > now:
        return 0
    return give_notice(instance=instance, kind=NoticeKind.FAILED_TO_RENEW, at=overdue, due_at=key.not_after)


def _check_authorization(instance: ProductInstance, contact: InstanceContact, now: datetime) -> int:
    expired = contact.authorization_expires_at
    if expired is None or expired > now or contact.is_overdue:
        return 0
    InstanceContact.objects.filter(pk=instance.pk).update(is_overdue=True)
    return give_notice(instance=instance, kind=NoticeKind.FAILED_TO_CONNECT, at=expired)


def _pass_claim(instance: ProductInstance, contact: InstanceContact, now: datetime) -> int:
    """A product that another Smart Account reports too, uncounted so far, counts there once it was silent here."""
    if contact.last_contact_at >= now - SILENCE_RELEASES or instance.is_bound:
        return 0
    claim = UdiClaim.objects.filter(udi=instance.udi, instance=instance).first()
    elsewhere = ProductInstance.objects.active().filter(udi=instance.udi, is_counted=False)
    # What an on-prem server reports has no contact of its own, and ends with the server's silence.
    waiting = elsewhere.exclude(smart_account=instance.smart_account_id).filter(
        Q(claim_lost=True, contact__last_contact_at__gte=now - SILENCE_RELEASES) | Q(contact__isnull=True)
    )
    heir = waiting.order_by("-registered_at").first()
    if claim is None or heir is None:
        return 0
    lose_count(actor=SYSTEM, instance_id=instance.pk, now=now)
    take_claim_back(actor=SYSTEM, instance_id=heir.pk, now=now)
    claim.smart_account_id, claim.instance, claim.last_contact_at = heir.smart_account_id, heir, now
    claim.save(update_fields=["smart_account", "instance", "last_contact_at"])
    return 1


def _next_look(key: InstanceKey, contact: InstanceContact, now: datetime) -> datetime:
    """An authorization of tomorrow may expire no sooner than 90 days from now, so this is soon enough for any."""
    moments = [key.not_after, key.created_at + RENEWAL_OVERDUE, now + min(FIRST_LOOK, AUTHORIZATION_LIFE)]
    if contact.authorization_expires_at is not None:
        moments.append(contact.authorization_expires_at)
    return min(moment for moment in moments if moment > now)
