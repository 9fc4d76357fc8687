"""Export authorization keys that a product asked for and did not get: people are told, until it could have them.

The notice stands until the product is given a key to the license, until what it asked for could be had again (a product
does not ask again by itself when licenses were bought), or until its registration ends.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import SmartAccount
from cssm.common.jobs import nudge
from licensing.models import InstanceNotice, License, ProductInstance
from licensing.services.devices.notices import tell_refused
from licensing.services.reservations.export_keys import can_be_drawn
from licensing.states import ACTIVE_STATES, NoticeKind, RefusalReason


def note_refused_key(*, instance_id: int, license: License, count: int, reason: RefusalReason, now: datetime) -> None:
    """In a transaction of its own: the message that asked is refused, and changes nothing else."""
    with transaction.atomic():
        # Whoever ends the registration locks this row, and clears what stands.
        active = ProductInstance.objects.select_for_update(no_key=True).filter(state__in=ACTIVE_STATES)
        instance = active.filter(pk=instance_id).first()
        if instance is not None:
            tell_refused(
                place={
                    "smart_account_id": instance.smart_account_id,
                    "virtual_account_id": instance.virtual_account_id,
                },
                instance_id=instance.pk,
                kind=NoticeKind.KEY_REFUSED,
                license_id=license.pk,
                quantity=count,
                reason=reason,
                at=now,
            )


def look_again(*, now: datetime) -> int:
    """Clear the notices of keys that could be had by now, and bring up to date why others cannot; how many changed."""
    standing = InstanceNotice.objects.standing().filter(kind=NoticeKind.KEY_REFUSED)
    rows = standing.select_related("instance__virtual_account", "license").order_by("pk")
    return sum(_look_at(row, now) for row in list(rows))


def _look_at(row: InstanceNotice, now: datetime) -> int:
    reason = _find_reason(row, now)
    if reason == row.reason:
        return 0
    still = InstanceNotice.objects.standing().filter(pk=row.pk)
    changes: dict[str, Any] = {"cleared_at": now} if reason is None else {"reason": reason}
    changed = still.update(dispatched_at=None, **changes)
    if changed:
        nudge("alerts.dispatch")
    return changed


def _find_reason(row: InstanceNotice, now: datetime) -> RefusalReason | None:
    instance, license = row.instance, row.license
    if license is None or not instance.export_controlled_allowed:
        return RefusalReason.TOKEN
    if SmartAccount.objects.get(pk=instance.smart_account_id).is_export_restricted:
        return RefusalReason.ACCOUNT
    free = can_be_drawn(instance=instance, license=license, count=row.quantity, now=now)
    return None if free else RefusalReason.NOT_FREE
