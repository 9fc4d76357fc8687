"""A reservation moves from state to state: a conditional update that must hit, a transition row, and an event."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Sum

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from cssm.common.jobs import nudge
from licensing.models import AuthorizationCode, Hold, Reservation, ReservationTransition
from licensing.states import RESERVATION_MOVES, AuthorizationState, ReservationCause, ReservationState


def lock_reservation(reservation: Reservation) -> Reservation:
    """As it is, locked until the transaction ends. Whoever locks it has locked the claim on its UDI before."""
    locked = Reservation.objects.select_for_update(no_key=True, of=("self",))
    return locked.select_related("instance", "smart_account", "virtual_account").get(pk=reservation.pk)


def require_active(reservation: Reservation) -> None:
    """Raises `Conflict` (RESERVATION_ENDED)."""
    state = ReservationState(reservation.state)
    if not state.is_active:
        ended = reservation.ended_at or reservation.state_since
        raise Conflict(
            f"The reservation of {reservation.udi} has ended: {state.label.lower()} on {ended:%Y-%m-%d}.",
            code="RESERVATION_ENDED",
        )


def outstanding_codes(reservation: Reservation) -> list[AuthorizationCode]:
    """The codes that may be in the product, oldest first."""
    codes = AuthorizationCode.objects.outstanding().filter(reservation=reservation)
    return list(codes.select_related("reservation__instance").prefetch_related("contents__license", "contents__line"))


def resting_state(reservation: Reservation) -> ReservationState:
    """The state that follows from the outstanding codes."""
    codes = AuthorizationCode.objects.outstanding().filter(reservation=reservation)
    confirmed = list(codes.values_list("confirmed_at", flat=True))
    if len(confirmed) > 1:
        return ReservationState.UPDATE_PENDING
    return ReservationState.INSTALLED if confirmed and confirmed[0] else ReservationState.AUTHORIZED


def supersede_before(code: AuthorizationCode) -> None:
    """The product has this one now, and takes no older one any more."""
    older = AuthorizationCode.objects.outstanding().filter(
        reservation=code.reservation_id, timestamp__lt=code.timestamp
    )
    older.order_by().update(state=AuthorizationState.SUPERSEDED)


def move_to(
    *,
    reservation: Reservation,
    state: ReservationState,
    cause: ReservationCause,
    released: int = 0,
    now: datetime,
) -> ReservationTransition:
    """The state and its row, in the caller's transaction. A state may be entered anew: an update upon an update.

    Raises `Conflict` (RESERVATION_CHANGED) where the reservation is no longer as it was read.
    """
    old = ReservationState(reservation.state)
    if state is not old and state not in RESERVATION_MOVES[old]:
        raise Conflict(f"A reservation that is {old.value} cannot become {state.value}.", code="RESERVATION_CHANGED")
    values: dict[str, Any] = {"state": state, "state_since": now}
    if not state.is_active and reservation.ended_at is None:
        values["ended_at"] = now
    if state is ReservationState.RETURNED:
        values["returned_at"] = now
    if Reservation.objects.filter(pk=reservation.pk, state=old).update(**values) != 1:
        raise Conflict("The reservation was changed meanwhile. Look again.", code="RESERVATION_CHANGED")
    for name, value in values.items():
        setattr(reservation, name, value)
    return write_transition(reservation, old=old.value, cause=cause, released=released, now=now)


def write_transition(
    reservation: Reservation, *, old: str, cause: ReservationCause, released: int = 0, now: datetime
) -> ReservationTransition:
    held = Hold.objects.counting_at(now).filter(reservation=reservation).aggregate(n=Sum("quantity", default=0))
    nudge("alerts.dispatch")
    return ReservationTransition.objects.create(
        smart_account_id=reservation.smart_account_id,
        virtual_account_id=reservation.virtual_account_id,
        reservation=reservation,
        old=old,
        new=reservation.state,
        cause=cause,
        quantity=held["n"],
        released=released,
        at=now,
    )


def record(actor: Actor, name: str, reservation: Reservation, data: Mapping[str, Any], now: datetime) -> None:
    """One event of the reservation's product."""
    record_event(
        actor=actor,
        name=name,
        smart_account=reservation.smart_account_id,
        virtual_account=reservation.virtual_account_id,
        subject_type="product_instance",
        subject_id=str(reservation.instance.piid),
        data={"udi": reservation.udi, "reservation": reservation.pk, "kind": reservation.kind, **data},
        now=now,
    )
