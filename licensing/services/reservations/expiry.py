"""A reservation whose terms have all ended has ended itself; what it held left the pools with its lines."""

from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q

from cssm.common.actor import SYSTEM
from cssm.common.errors import Conflict
from licensing.models import AuthorizationCode, AuthorizedLicense, Reservation
from licensing.querysets.reservations import ReservationQuerySet
from licensing.services.devices.endings import end_reserved, lock_claim
from licensing.services.reservations import moves
from licensing.services.reservations.export_keys import release_product
from licensing.services.reservations.holding import write_holds
from licensing.services.reservations.updates import lock_pools_of
from licensing.states import (
    ACTIVE_RESERVATIONS,
    AuthorizationState,
    InstanceState,
    ReservationCause,
    ReservationKind,
    ReservationState,
)

log = structlog.get_logger(__name__)
MOST_AT_ONCE: Final = 1000


def expire_reservations(*, now: datetime, limit: int = MOST_AT_ONCE) -> int:
    """End every reservation of which no outstanding code entitles to anything any more; returns how many."""
    ended = 0
    for pk in list(_over(now).order_by("pk").values_list("pk", flat=True)[:limit]):
        try:
            ended += _expire(pk, now)
        except (DatabaseError, Conflict):
            log.exception("reservation_not_expired", reservation=pk)
    return ended


def _over(now: datetime) -> ReservationQuerySet:
    contents = AuthorizedLicense.objects.filter(
        code__reservation=OuterRef("pk"), code__state=AuthorizationState.OUTSTANDING
    )
    lasting = contents.filter(Q(end__isnull=True) | Q(end__gt=now))
    counting = Q(state__in=ACTIVE_RESERVATIONS) | Q(state=ReservationState.REHOSTED)
    specific = Q(Exists(contents), ~Exists(lasting), kind=ReservationKind.SPECIFIC)
    # A key has one entitlement, whatever lines it is drawn on: it ends with the first that ends.
    ended = AuthorizedLicense.objects.filter(code=OuterRef("pk"), end__lte=now)
    keys = AuthorizationCode.objects.outstanding().filter(~Exists(ended), reservation=OuterRef("pk"))
    return Reservation.objects.filter(counting).filter(specific | Q(~Exists(keys), kind=ReservationKind.EXPORT))


def _expire(pk: int, now: datetime) -> bool:
    with transaction.atomic():
        known = Reservation.objects.get(pk=pk)
        lock_claim(known.udi)
        current = moves.lock_reservation(known)
        if not _over(now).filter(pk=pk).exists():
            return False
        locked = lock_pools_of(current, [], now)
        had_product = ReservationState(current.state).is_active
        is_key = current.kind == ReservationKind.EXPORT
        if is_key:
            write_holds(reservation=current, locked=locked, wanted=[], now=now)
            locked.settle(now)
        moves.move_to(reservation=current, state=ReservationState.EXPIRED, cause=ReservationCause.TERM, now=now)
        if is_key:
            moves.record(SYSTEM, "export_key.expired", current, {}, now)
            release_product(current.instance)
            return True
        moves.record(SYSTEM, "reservation.expired", current, {}, now)
        if had_product:
            end_reserved(actor=SYSTEM, instance=current.instance, state=InstanceState.EXPIRED, now=now)
    return True
