"""Reading tokens, product instances and their use."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import F, Q

from cssm.common.querysets import TenantQuerySet
from licensing.states import ACTIVE_STATES, COUNTED_STATES, UsageKind

if TYPE_CHECKING:
    from licensing.models import DuplicateFinding, IdToken, InstanceNotice, ProductInstance, Usage


class IdTokenQuerySet(TenantQuerySet["IdToken"]):
    def usable_at(self, moment: datetime) -> Self:
        return self.filter(revoked_at__isnull=True, expires_at__gt=moment).filter(
            Q(max_uses__isnull=True) | Q(uses__lt=F("max_uses"))
        )


class ProductInstanceQuerySet(TenantQuerySet["ProductInstance"]):
    def active(self) -> Self:
        return self.filter(state__in=ACTIVE_STATES)


class UsageQuerySet(TenantQuerySet["Usage"]):
    def counted(self) -> Self:
        """Use that is in a pool: of a counted instance in registered or renewing."""
        return self.filter(
            kind=UsageKind.COUNTED, quantity__gt=0, instance__is_counted=True, instance__state__in=COUNTED_STATES
        )


class InstanceNoticeQuerySet(TenantQuerySet["InstanceNotice"]):
    def standing(self) -> Self:
        return self.filter(cleared_at__isnull=True)

    def undispatched(self) -> Self:
        return self.filter(dispatched_at__isnull=True).order_by("pk")


class DuplicateFindingQuerySet(TenantQuerySet["DuplicateFinding"]):
    def standing(self) -> Self:
        return self.filter(cleared_at__isnull=True)

    def undispatched(self) -> Self:
        return self.filter(dispatched_at__isnull=True).order_by("pk")
