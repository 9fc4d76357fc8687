"""What is reserved ends with the line it is drawn on, at the same instant as the line itself."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db.models import Sum

from licensing.models import Hold, Pool, UsageChange


def end_holds(pools: Sequence[Pool], moment: datetime) -> dict[int, int]:
    """Mark the holds of the pools whose line has ended by the moment, keep the change in the history, and return by
    how much `reserved` of each pool falls. Under the lock of their unit, whose pools these are.
    """
    by_license = {pool.license_id: pool for pool in pools}
    if not by_license:
        return {}
    ending = list(
        Hold.objects.counting()
        .filter(virtual_account=pools[0].virtual_account_id, license__in=by_license, line__end__lte=moment)
        .select_related("line", "reservation")
        .order_by("pk")
    )
    freed: dict[int, int] = {}
    changes = []
    for hold in ending:
        pool = by_license[hold.license_id]
        assert hold.line is not None  # noqa: S101  the filter asks for its end
        assert hold.line.end is not None  # noqa: S101  the filter asks for its end
        freed[pool.pk] = freed.get(pool.pk, 0) + hold.quantity
        changes.append(
            UsageChange(
                smart_account_id=pool.smart_account_id,
                virtual_account_id=pool.virtual_account_id,
                pool=pool,
                instance_id=hold.reservation.instance_id,
                reserved=-hold.quantity,
                at=hold.line.end,
            )
        )
        hold.ended_at = hold.line.end
    if ending:
        Hold.objects.bulk_update(ending, ["ended_at"])
        UsageChange.objects.bulk_create(changes)
    return freed


def held_of_lines(line_ids: Collection[int]) -> dict[int, int]:
    """How much of each line is reserved; absent where nothing is."""
    held = Hold.objects.counting().filter(line__in=line_ids).order_by().values("line").annotate(n=Sum("quantity"))
    return {row["line"]: row["n"] for row in held}
