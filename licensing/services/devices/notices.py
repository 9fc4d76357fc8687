"""What people are told of the life of product instances: rows that stand until their cure; alerts are made of them."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from cssm.common.compiled import CompiledRead
from cssm.common.jobs import nudge
from licensing.models import InstanceNotice, ProductInstance
from licensing.states import NoticeKind, RefusalReason

OF_THE_LIVING: Final = frozenset(
    {
        NoticeKind.FAILED_TO_CONNECT,
        NoticeKind.FAILED_TO_RENEW,
        NoticeKind.CLAIMED_ELSEWHERE,
        NoticeKind.USE_REFUSED,
        NoticeKind.KEY_REFUSED,
    }
)

_OF_PRODUCT: Final = CompiledRead(
    lambda: (
        InstanceNotice.objects.standing()
        .filter(instance__udi="")
        .filter(instance__smart_account=0)
        .values_list("instance_id")
    )
)


def give_notice(*, instance: ProductInstance, kind: NoticeKind, at: datetime, due_at: datetime | None = None) -> bool:
    """Once while it stands; returns whether it is new."""
    if InstanceNotice.objects.standing().filter(instance=instance, kind=kind).exists():
        return False
    InstanceNotice.objects.create(
        smart_account_id=instance.smart_account_id,
        virtual_account_id=instance.virtual_account_id,
        instance=instance,
        kind=kind,
        at=at,
        due_at=due_at,
    )
    nudge("alerts.dispatch")
    return True


def tell_refused(
    *,
    place: Mapping[str, int],
    instance_id: int,
    kind: NoticeKind,
    license_id: int,
    quantity: int,
    reason: RefusalReason,
    at: datetime,
) -> None:
    """The instance does not get so many of an export-restricted license; once while it stands, brought up to date.

    `place` has its `smart_account_id` and `virtual_account_id`. In the caller's transaction.
    """
    of_license = InstanceNotice.objects.standing().filter(instance=instance_id, kind=kind, license=license_id)
    known = of_license.values_list("quantity", "reason").first()
    if known == (quantity, reason):
        return
    if known is None:
        row = InstanceNotice(
            **place,
            instance_id=instance_id,
            kind=kind,
            license_id=license_id,
            quantity=quantity,
            reason=reason,
            at=at,
        )
        InstanceNotice.objects.bulk_create([row], ignore_conflicts=True)
    else:
        of_license.update(quantity=quantity, reason=reason, dispatched_at=None)
    nudge("alerts.dispatch")


def clear_refused(*, instance_id: int, kind: NoticeKind, license_ids: Collection[int], at: datetime) -> None:
    """It has what it asked for, or asks for it no more. In the transaction of the cure."""
    standing = InstanceNotice.objects.standing().filter(instance=instance_id, kind=kind, license__in=license_ids)
    if standing.update(cleared_at=at, dispatched_at=None):
        nudge("alerts.dispatch")


def clear_notices(*, instance_ids: Collection[int], kinds: Collection[NoticeKind], at: datetime) -> int:
    """Their cure has come. Call it in the transaction of the cure."""
    standing = InstanceNotice.objects.standing().filter(instance__in=instance_ids, kind__in=kinds)
    cleared = standing.update(cleared_at=at, dispatched_at=None)
    if cleared:
        nudge("alerts.dispatch")
    return cleared


def clear_notices_of_product(*, udi: str, smart_account_id: int, at: datetime) -> int:
    """The product is registered again: what befell its earlier registrations is mended."""
    if not (concerned := {row[0] for row in _OF_PRODUCT.fetch(udi, smart_account_id)}):
        return 0
    return clear_notices(instance_ids=concerned, kinds=list(NoticeKind), at=at)


def move_notices(*, instance_ids: Collection[int], virtual_account_id: int, now: datetime) -> None:
    """The instances are in another Virtual Account: its people are told, those of the old one are not any more."""
    standing = InstanceNotice.objects.standing().filter(instance__in=instance_ids)
    moved = list(standing)
    standing.update(cleared_at=now, dispatched_at=None)
    for notice in moved:
        notice.pk, notice.virtual_account_id, notice.dispatched_at = None, virtual_account_id, None
    InstanceNotice.objects.bulk_create(moved)
