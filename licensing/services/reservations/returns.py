"""Return codes: the product shows that it gave its authorization up, and the licenses are free again.

A return code proves that someone holds the authorization, not that the product forgot it (white paper's design): see
docs/threat-model.md.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Invalid, NotFound
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from licensing.codecs.return_code import WHERE, ReturnCode, make_return_code, split_return_code
from licensing.codecs.typed_codes import is_same_code
from licensing.models import AuthorizationCode, Reservation
from licensing.services.devices.endings import end_reserved, lock_claim
from licensing.services.reservations import moves
from licensing.services.reservations.contents import summarise
from licensing.services.reservations.export_keys import release_product
from licensing.services.reservations.holding import read_holds, write_holds
from licensing.services.reservations.issuing import signature_of
from licensing.services.reservations.requests import require_manage
from licensing.services.reservations.updates import hold_outstanding, lock_pools_of
from licensing.states import InstanceState, ReservationCause, ReservationKind, ReservationState


def return_reservation(*, actor: Actor, reservation: Reservation, return_code: str, now: datetime) -> Reservation:
    """End the reservation by the code that its product shows; everything it holds is released.

    While a change is pending the code of each outstanding authorization counts. That of a rehosted product, should it
    be found again, closes the rehost. The registration of a product that returned an export key goes on. Raises
    `NotFound`, `Forbidden`; `Invalid` (RETURN_CODE_INVALID, RETURN_CODE_MISMATCH); `Conflict` (RESERVATION_ENDED).
    """
    require_manage(actor, reservation)
    typed = split_return_code(return_code)
    return retry_transient(lambda: _return(actor, reservation, typed, now))


def check_return(*, actor: Actor, reservation: Reservation, return_code: str) -> None:
    """Raises what `return_reservation` would raise; nothing is changed."""
    require_manage(actor, reservation)
    typed = split_return_code(return_code)
    if reservation.state != ReservationState.REHOSTED:
        moves.require_active(reservation)
    _require_match(reservation, typed)


def find_by_return_code(*, actor: Actor, virtual_account: VirtualAccount, return_code: str) -> Reservation:
    """Whose return code this seems to be, among the reservations that the actor manages in there.

    It is not verified: `return_reservation` does that. Raises `Invalid`, or `NotFound`, which tells nothing of others.
    """
    typed = split_return_code(return_code)
    seen = Reservation.objects.visible_to(actor, Permission.MANAGE_ASSETS).filter(virtual_account=virtual_account)
    of_product = seen.filter(instance__piid__in=typed.piids()).select_related("instance").order_by("-pk")
    found = choose_by_code(of_product, typed)
    if found is None:
        raise NotFound("This is not the return code of a reservation in this Virtual Account.", where=WHERE)
    return found


def choose_by_code(candidates: Iterable[Reservation], typed: ReturnCode) -> Reservation | None:
    """Of what one product holds, which may be several export keys, that whose code this is; else any of it."""
    held = list(candidates)
    if len(held) > 1:
        for each in held:
            if _matches(each, typed):
                return each
    return held[0] if held else None


def return_code_of(code: AuthorizationCode) -> str:
    """What the product shows once it gave up this code."""
    return make_return_code(
        kind=ReservationKind(code.reservation.kind),
        piid=code.reservation.instance.piid,
        timestamp=code.timestamp,
        signature=signature_of(code),
    )


def _return(actor: Actor, reservation: Reservation, typed: ReturnCode, now: datetime) -> Reservation:
    with transaction.atomic():
        heir = Reservation.objects.filter(rehosted_from=reservation.pk, is_shared=True).first()
        for udi in sorted({reservation.udi, *([heir.udi] if heir else [])}):
            lock_claim(udi)
        current = moves.lock_reservation(reservation)
        require_manage(actor, current)
        is_rehosted = current.state == ReservationState.REHOSTED
        if not is_rehosted:
            moves.require_active(current)
        _require_match(current, typed)
        locked = lock_pools_of(current, [], now)
        released = write_holds(reservation=current, locked=locked, wanted=[], now=now)
        locked.settle(now)
        if heir is not None:
            released -= _pass_on(actor, heir, current, now)
        moves.move_to(
            reservation=current,
            state=ReservationState.RETURNED,
            cause=ReservationCause.RETURN,
            released=released,
            now=now,
        )
        if current.kind == ReservationKind.EXPORT:
            moves.record(actor, "export_key.returned", current, {"released": released}, now)
            release_product(current.instance)
            return current
        moves.record(actor, "reservation.returned", current, {"released": released}, now)
        if not is_rehosted:
            end_reserved(actor=actor, instance=current.instance, state=InstanceState.REMOVED, now=now)
    return current


def _pass_on(actor: Actor, heir: Reservation, failed: Reservation, now: datetime) -> int:
    """The product that replaced a failed one holds its licenses itself from now on; returns how much that is."""
    current = moves.lock_reservation(heir)
    Reservation.objects.filter(pk=current.pk).update(is_shared=False)
    current.is_shared = False
    if not ReservationState(current.state).is_active:
        return 0
    hold_outstanding(current, now)
    moves.write_transition(current, old=current.state, cause=ReservationCause.REHOST, now=now)
    held = read_holds(current)
    data = {"failed": failed.udi, "summary": summarise(held)}
    moves.record(actor, "reservation.inherited", current, data, now)
    return sum(hold.quantity for hold in held)


def _matches(reservation: Reservation, typed: ReturnCode) -> bool:
    codes = moves.outstanding_codes(reservation)
    return any(code.sealed is not None and is_same_code(typed.text, return_code_of(code)) for code in codes)


def _require_match(reservation: Reservation, typed: ReturnCode) -> None:
    if _matches(reservation, typed):
        return
    message = f"This is not the return code of {reservation.udi}. Compare it with what the product shows."
    if reservation.instance.piid not in typed.piids():
        message = f"This return code is of another product, or of an earlier reservation of {reservation.udi}."
    raise Invalid(message, code="RETURN_CODE_MISMATCH", where=WHERE)
