"""Reading usage reports and what was metered from them."""

from typing import TYPE_CHECKING, Any, Self

from django.db.models import Max, OuterRef, Subquery

from cssm.common.querysets import TenantQuerySet
from licensing.states import Billing

if TYPE_CHECKING:
    from licensing.models import MeteredDay, RumReport, RumUpload


class RumReportQuerySet(TenantQuerySet["RumReport"]):
    def current(self) -> Self:
        """Without those that a later report of the same id has replaced."""
        return self.filter(superseded_at__isnull=True)

    def with_gap(self) -> Self:
        """Annotate `covered_until`: until when earlier reports of the same product and license reach; null for the
        first. Whatever else is filtered, it looks at all of them."""
        earlier: Any = self.model._default_manager.filter(
            meter=OuterRef("meter"), superseded_at__isnull=True, period_start__lt=OuterRef("period_start")
        )
        ends = earlier.order_by().values("meter").annotate(until=Max("period_end")).values("until")
        return self.annotate(covered_until=Subquery(ends))


class RumUploadQuerySet(TenantQuerySet["RumUpload"]):
    pass


class MeteredDayQuerySet(TenantQuerySet["MeteredDay"]):
    def billed_by_use(self) -> Self:
        return self.filter(meter__license__billing=Billing.USAGE)
