"""Named reads of the alerts app."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import BooleanField, Case, Exists, F, OuterRef, Q, Value, When

from alerts.states import DeliveryState, Frequency
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from cssm.common.querysets import TenantQuerySet

if TYPE_CHECKING:
    from alerts.models import Alert, Delivery, Subscription, SummaryEntry


class AlertQuerySet(TenantQuerySet["Alert"]):
    def standing(self) -> Self:
        """What is still wrong."""
        return self.filter(cleared_at__isnull=True)

    def undismissed(self) -> Self:
        return self.filter(dismissed_at__isnull=True)

    def with_rights_of(self, actor: Actor) -> Self:
        """Annotates `manageable`: whether the actor may dismiss the alert."""
        scope = actor.scope(Permission.MANAGE_ASSETS)
        if scope.everything:
            return self.annotate(manageable=Value(True))
        allowed = Q(smart_account__in=scope.smart_account_ids) | Q(virtual_account__in=scope.virtual_account_ids)
        return self.annotate(
            manageable=Case(When(allowed, then=Value(True)), default=Value(False), output_field=BooleanField())
        )

    def gravest_first(self) -> Self:
        """Severity, then due date; what has no due date comes last, newest first."""
        return self.order_by("severity", F("action_due").asc(nulls_last=True), "-raised_at", "-pk")


class SubscriptionQuerySet(TenantQuerySet["Subscription"]):
    def covering(self, smart_account_id: int, virtual_account_id: int | None, alert_type: str) -> Self:
        """Those on the whole Smart Account and, where one is given, on the Virtual Account."""
        place = Q(virtual_account=None) | Q(virtual_account=virtual_account_id)
        return self.filter(place, smart_account=smart_account_id, alert_type=alert_type)

    def of_addresses(self, smart_account_id: int) -> Self:
        return self.filter(smart_account=smart_account_id, user=None).exclude(frequency=Frequency.OFF)


class DeliveryQuerySet(TenantQuerySet["Delivery"]):
    def due(self, now: datetime) -> Self:
        return self.filter(state__in=[DeliveryState.PENDING, DeliveryState.UNKNOWN], next_attempt_at__lte=now).order_by(
            "next_attempt_at", "pk"
        )

    def abandoned(self, since: datetime) -> Self:
        """Taken by a worker that never told the outcome."""
        return self.filter(state=DeliveryState.SENDING, claimed_at__lte=since)

    def told_about(self, smart_account_id: int, entries: "SummaryEntryQuerySet") -> Self:
        """Messages about one Smart Account, its part of daily summaries included."""
        summarised = Exists(entries.filter(delivery=OuterRef("pk"), smart_account=smart_account_id))
        return self.filter(Q(smart_account=smart_account_id) | Q(summarised)).order_by("-pk")


class SummaryEntryQuerySet(TenantQuerySet["SummaryEntry"]):
    def waiting(self) -> Self:
        return self.filter(delivery__isnull=True)
