"""Named reads of the sync app."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import Case, CharField, F, Q, Value, When

from cssm.common.querysets import TenantQuerySet
from sync.states import (
    DEADLINE_NEAR_AFTER,
    OPEN_STATES,
    OVERDUE_AFTER,
    ExchangeState,
    ServerHealth,
    ServerState,
)

if TYPE_CHECKING:
    from sync.models import Exchange, LocalAccount, OnPremServer


class OnPremServerQuerySet(TenantQuerySet["OnPremServer"]):
    def registered(self) -> Self:
        return self.filter(state=ServerState.REGISTERED)

    def silent_since(self, moment: datetime) -> Self:
        """Registered ones that were neither registered nor synchronized after the moment."""
        return self.registered().filter(
            Q(last_sync_at__isnull=True) | Q(last_sync_at__lte=moment), registered_at__lte=moment
        )

    def with_health(self, moment: datetime) -> Self:
        """Annotated with `health`, as `OnPremServer.health_at` says, and `heard`, from when the deadlines run."""
        later = When(last_sync_at__gt=F("registered_at"), then=F("last_sync_at"))
        return self.annotate(
            heard=Case(later, default=F("registered_at")),
            health=Case(
                When(state=ServerState.REMOVED, then=Value(ServerHealth.REMOVED.value)),
                When(heard__lte=moment - DEADLINE_NEAR_AFTER, then=Value(ServerHealth.DEADLINE_NEAR.value)),
                When(heard__lte=moment - OVERDUE_AFTER, then=Value(ServerHealth.OVERDUE.value)),
                When(last_sync_at__isnull=True, then=Value(ServerHealth.PENDING.value)),
                default=Value(ServerHealth.CURRENT.value),
                output_field=CharField(),
            ),
        )


class LocalAccountQuerySet(TenantQuerySet["LocalAccount"]):
    def linked(self) -> Self:
        return self.filter(virtual_account__isnull=False)


class ExchangeQuerySet(TenantQuerySet["Exchange"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def applied(self) -> Self:
        return self.filter(state=ExchangeState.APPLIED, is_dry_run=False)
