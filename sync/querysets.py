"""Named reads of the sync app."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import Q

from cssm.common.querysets import TenantQuerySet
from sync.states import OPEN_STATES, ExchangeState, ServerState

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


class LocalAccountQuerySet(TenantQuerySet["LocalAccount"]):
    def linked(self) -> Self:
        return self.filter(virtual_account__isnull=False)


class ExchangeQuerySet(TenantQuerySet["Exchange"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def applied(self) -> Self:
        return self.filter(state=ExchangeState.APPLIED, is_dry_run=False)
