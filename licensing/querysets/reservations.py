"""Reading reservations and their codes."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import Q

from cssm.common.querysets import TenantQuerySet
from licensing.states import ACTIVE_RESERVATIONS, AuthorizationState, ReservationKind, ReservationState

if TYPE_CHECKING:
    from licensing.models import AuthorizationCode, Hold, Reservation, ReservationTransition


class ReservationQuerySet(TenantQuerySet["Reservation"]):
    def active(self) -> Self:
        return self.filter(state__in=ACTIVE_RESERVATIONS)

    def requested(self) -> Self:
        """Made by people with a request code, and changed by them."""
        return self.exclude(kind=ReservationKind.EXPORT)

    def export_keys(self) -> Self:
        return self.filter(kind=ReservationKind.EXPORT)

    def returnable(self) -> Self:
        """Active ones, and those of failed products whose return code was never entered."""
        failed = Q(state=ReservationState.REHOSTED, returned_at__isnull=True)
        return self.filter(Q(state__in=ACTIVE_RESERVATIONS) | failed)

    def open_rehosts(self) -> Self:
        """Failed products whose licenses two products share, since there was no surplus for both."""
        return self.filter(state=ReservationState.REHOSTED, returned_at__isnull=True, rehosted_to__is_shared=True)


class AuthorizationCodeQuerySet(TenantQuerySet["AuthorizationCode"]):
    def outstanding(self) -> Self:
        """Those that may be in the product, oldest first."""
        return self.filter(state=AuthorizationState.OUTSTANDING).order_by("timestamp")

    def unsigned(self) -> Self:
        return self.filter(sealed__isnull=True)


class HoldQuerySet(TenantQuerySet["Hold"]):
    def counting(self) -> Self:
        """What the fold has not taken out of the pools yet."""
        return self.filter(ended_at__isnull=True)

    def counting_at(self, moment: datetime) -> Self:
        """What counts at the moment: until just before the end of its line."""
        return self.counting().filter(Q(line__isnull=True) | Q(line__end__isnull=True) | Q(line__end__gt=moment))


class ReservationTransitionQuerySet(TenantQuerySet["ReservationTransition"]):
    def undispatched(self) -> Self:
        return self.filter(dispatched_at__isnull=True).order_by("pk")
