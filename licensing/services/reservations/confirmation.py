"""Confirmation codes: the product shows that it has an authorization, and what that one took away is released."""

from datetime import datetime

from django.db import transaction

from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Invalid
from cssm.common.retries import retry_transient
from licensing.codecs.confirmation_code import WHERE, make_confirmation_code, read_confirmation_code
from licensing.codecs.typed_codes import is_same_code
from licensing.models import AuthorizationCode, Reservation
from licensing.services.reservations import moves
from licensing.services.reservations.contents import contents_of, summarise
from licensing.services.reservations.issuing import udi_of
from licensing.services.reservations.requests import require_manage, require_requested
from licensing.services.reservations.updates import hold_outstanding, lock_for_change
from licensing.states import AuthorizationState, ReservationCause


def confirm_installation(
    *, actor: Actor, reservation: Reservation, confirmation_code: str, now: datetime
) -> Reservation:
    """Take note that the product has the code that this one confirms; a second time changes nothing.

    Raises `NotFound`, `Forbidden`; `Invalid` (CONFIRMATION_CODE_INVALID, CONFIRMATION_CODE_MISMATCH); `Conflict`:
    RESERVATION_ENDED, CONFIRMATION_CODE_OUTDATED for that of an earlier code, UPDATE_CANCELLED for that of a withdrawn
    one.
    """
    require_manage(actor, reservation)
    require_requested(reservation)
    typed = read_confirmation_code(confirmation_code)
    return retry_transient(lambda: _confirm(actor, reservation, typed, now))


def check_confirmation(*, actor: Actor, reservation: Reservation, confirmation_code: str) -> AuthorizationCode:
    """The code that it confirms. Raises what `confirm_installation` would raise; nothing is changed."""
    require_manage(actor, reservation)
    require_requested(reservation)
    typed = read_confirmation_code(confirmation_code)
    moves.require_active(reservation)
    return _find(reservation, typed)


def confirmation_of(code: AuthorizationCode) -> str:
    """What the product shows once it has installed the code."""
    reservation = code.reservation
    return make_confirmation_code(
        udi=udi_of(reservation),
        sequence=reservation.sequence,
        piid=reservation.instance.piid,
        timestamp=code.timestamp,
    )


def _confirm(actor: Actor, reservation: Reservation, typed: str, now: datetime) -> Reservation:
    with transaction.atomic():
        current = lock_for_change(actor, reservation)
        moves.require_active(current)
        code = _find(current, typed)
        if code.confirmed_at is not None:
            return current
        AuthorizationCode.objects.filter(pk=code.pk).update(confirmed_at=now)
        moves.supersede_before(code)
        released = hold_outstanding(current, now)
        moves.move_to(
            reservation=current,
            state=moves.resting_state(current),
            cause=ReservationCause.CONFIRMATION,
            released=released,
            now=now,
        )
        summary = summarise(contents_of(code)) if code.contents.exists() else "everything"
        moves.record(actor, "reservation.confirmed", current, {"summary": summary, "released": released}, now)
    return current


def _find(reservation: Reservation, typed: str) -> AuthorizationCode:
    """The outstanding code that it confirms."""
    codes = AuthorizationCode.objects.filter(reservation=reservation).order_by("-timestamp")
    for code in codes.select_related("reservation__instance").prefetch_related("contents__license", "contents__line"):
        if not is_same_code(typed, confirmation_of(code)):
            continue
        if code.state == AuthorizationState.OUTSTANDING:
            return code
        if code.state == AuthorizationState.CANCELLED:
            raise Conflict(
                "This confirms a change that was withdrawn. Make the change again and install its code, or return the"
                " reservation.",
                code="UPDATE_CANCELLED",
                where=WHERE,
            )
        raise Conflict(
            "This confirms an earlier authorization code. Enter the confirmation code of the newest one.",
            code="CONFIRMATION_CODE_OUTDATED",
            where=WHERE,
        )
    raise Invalid(
        f"This is not the confirmation code of {reservation.udi}. Compare it with what the product shows.",
        code="CONFIRMATION_CODE_MISMATCH",
        where=WHERE,
    )
