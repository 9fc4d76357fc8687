"""Reading orders and purchase lines."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.db.models import BigIntegerField, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from cssm.common.querysets import TenantQuerySet

if TYPE_CHECKING:
    from licensing.models import Allocation, Order, OwnershipRecord, PurchaseLine, TermNotice


class OrderQuerySet(TenantQuerySet["Order"]):
    pass


class OwnershipRecordQuerySet(TenantQuerySet["OwnershipRecord"]):
    pass


class AllocationQuerySet(TenantQuerySet["Allocation"]):
    def running_at(self, moment: datetime) -> Self:
        """What has left lines that count at the moment."""
        return self.filter(line__start__lte=moment).filter(Q(line__end__isnull=True) | Q(line__end__gt=moment))


class TermNoticeQuerySet(TenantQuerySet["TermNotice"]):
    def undispatched(self) -> Self:
        return self.filter(dispatched_at__isnull=True).order_by("pk")


class PurchaseLineQuerySet(TenantQuerySet["PurchaseLine"]):
    def running_at(self, moment: datetime) -> Self:
        """Lines that count at the moment: from start until just before end."""
        return self.filter(start__lte=moment).filter(Q(end__isnull=True) | Q(end__gt=moment))

    def not_ended_at(self, moment: datetime) -> Self:
        """Lines that count at the moment or will later."""
        return self.filter(Q(end__isnull=True) | Q(end__gt=moment))

    def with_remaining(self) -> Self:
        """Annotate `remaining`: the quantity the line came with, without what has left it since."""
        # Models import querysets, so querysets look models up.
        allocation = apps.get_model("licensing", "Allocation")
        taken = allocation.objects.filter(line=OuterRef("pk")).order_by().values("line").annotate(n=Sum("quantity"))
        return self.annotate(
            remaining=F("quantity") - Coalesce(Subquery(taken.values("n")), Value(0), output_field=BigIntegerField())
        )

    def with_anything_left(self) -> Self:
        """Annotate `remaining`, and leave out lines of which nothing is left: those are history, not stock."""
        return self.with_remaining().filter(remaining__gt=0)
