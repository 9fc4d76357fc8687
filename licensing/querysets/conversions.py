"""Reading conversions and pending answers."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import QuerySet

from cssm.common.querysets import TenantQuerySet
from licensing.states.conversions import ConversionState

if TYPE_CHECKING:
    from licensing.models import Conversion, PendingAnswer


class ConversionQuerySet(TenantQuerySet["Conversion"]):
    def waiting(self) -> Self:
        return self.filter(state=ConversionState.WAITING)

    def due_at(self, moment: datetime) -> Self:
        """Those to carry out, oldest first."""
        return self.waiting().filter(due_at__lte=moment).order_by("due_at", "pk")

    def standing(self) -> Self:
        """What answers the same request once more: one that waits, or that was done."""
        return self.exclude(state=ConversionState.FAILED)


class PendingAnswerQuerySet(QuerySet["PendingAnswer"]):
    def open(self) -> Self:
        return self.filter(answered_at__isnull=True)
