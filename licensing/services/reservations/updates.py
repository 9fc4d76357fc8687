"""Changing a reservation: another code with a newer timestamp; what it takes away is released by its confirmation.

While several codes are outstanding any of them may be in the product, so of each line the most is held.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from cssm.common.retries import retry_transient
from licensing.models import AuthorizationCode, License, Reservation
from licensing.services.devices.endings import lock_claim
from licensing.services.reservations import moves
from licensing.services.reservations.contents import (
    Content,
    Wanted,
    check_wanted,
    contents_of,
    plan_contents,
    summarise,
)
from licensing.services.reservations.holding import LockedPools, most_of, read_holds, read_pools, write_holds
from licensing.services.reservations.issuing import Issued, complete_code, write_intent
from licensing.services.reservations.requests import require_manage, require_requested
from licensing.services.reservations.sources import naming_sources
from licensing.states import AuthorizationState, ReservationCause, ReservationKind, ReservationState


def preview_update(
    *, actor: Actor, reservation: Reservation, licenses: Sequence[Wanted], now: datetime
) -> tuple[list[Content], list[Content]]:
    """What the newest code holds, and what the changed one would. Raises what `update_reservation` would raise now."""
    _check(actor, reservation, licenses)
    moves.require_active(reservation)
    _require_own(reservation)
    holds = read_holds(reservation)
    pools, outlooks = read_pools(reservation.virtual_account, [each.license for each in licenses], now)
    with naming_sources(actor=actor, virtual_account=reservation.virtual_account, now=now):
        contents = plan_contents(wanted=licenses, pools=pools, outlooks=outlooks, holds=holds, now=now)
    before = contents_of(moves.outstanding_codes(reservation)[-1])
    _require_change(before, contents)
    return before, contents


def update_reservation(*, actor: Actor, reservation: Reservation, licenses: Sequence[Wanted], now: datetime) -> Issued:
    """Issue a code for exactly these licenses. What is added is taken at once.

    Raises `NotFound`, `Forbidden`, `Invalid` as `reserve_licenses` does; `Conflict`: RESERVATION_ENDED,
    UNIVERSAL_HAS_NO_LICENSES, NOTHING_CHANGES, REHOST_OPEN, and for licenses as `reserve_licenses`.
    """
    _check(actor, reservation, licenses)
    with naming_sources(actor=actor, virtual_account=reservation.virtual_account, now=now):
        code = retry_transient(lambda: _update(actor, reservation, licenses, now))
    return Issued(code.reservation, code, complete_code(code))


def cancel_update(*, actor: Actor, reservation: Reservation, now: datetime) -> Reservation:
    """Withdraw the newest code before it is confirmed; what it had added is free again.

    Raises `NotFound`, `Forbidden`, `Conflict` (RESERVATION_ENDED, NO_UPDATE_PENDING).
    """
    require_manage(actor, reservation)
    require_requested(reservation)
    return retry_transient(lambda: _cancel(actor, reservation, now))


def lock_for_change(actor: Actor, reservation: Reservation) -> Reservation:
    """The reservation as it is, locked, for one who may manage it where it is now; in the caller's transaction."""
    lock_claim(reservation.udi)
    current = moves.lock_reservation(reservation)
    require_manage(actor, current)
    return current


def lock_pools_of(reservation: Reservation, licenses: Sequence[License], now: datetime) -> LockedPools:
    """The pools of these licenses and of all that the reservation holds."""
    held = [hold.license for hold in read_holds(reservation)]
    return LockedPools(
        smart_account_id=reservation.smart_account_id,
        virtual_account_id=reservation.virtual_account_id,
        licenses=[*licenses, *held],
        now=now,
    )


def hold_outstanding(reservation: Reservation, now: datetime) -> int:
    """Hold what the outstanding codes entitle to, and nothing more; returns how much was released.

    A reservation that shares the licenses of a failed product holds nothing itself.
    """
    codes = moves.outstanding_codes(reservation)
    wanted = [] if reservation.is_shared else most_of(*(contents_of(code) for code in codes))
    locked = lock_pools_of(reservation, [content.license for content in wanted], now)
    released = write_holds(reservation=reservation, locked=locked, wanted=wanted, now=now)
    locked.settle(now)
    return released


def _check(actor: Actor, reservation: Reservation, licenses: Sequence[Wanted]) -> None:
    require_manage(actor, reservation)
    require_requested(reservation)
    if reservation.kind == ReservationKind.UNIVERSAL:
        raise Conflict(
            "A universal reservation entitles its product to everything; there is nothing to change.",
            code="UNIVERSAL_HAS_NO_LICENSES",
        )
    check_wanted(reservation.smart_account, licenses)


def _require_own(reservation: Reservation) -> None:
    if reservation.is_shared:
        raise Conflict(
            f"{reservation.udi} shares its licenses with the failed product that it replaces. Enter the return code of"
            " that one first.",
            code="REHOST_OPEN",
        )


def _require_change(before: Sequence[Content], after: Sequence[Content]) -> None:
    if {each.key: each.quantity for each in before} == {each.key: each.quantity for each in after}:
        raise Conflict("This is what the newest authorization code holds already.", code="NOTHING_CHANGES")


def _update(actor: Actor, reservation: Reservation, licenses: Sequence[Wanted], now: datetime) -> AuthorizationCode:
    with transaction.atomic():
        current = lock_for_change(actor, reservation)
        moves.require_active(current)
        _require_own(current)
        locked = lock_pools_of(current, [each.license for each in licenses], now)
        holds = read_holds(current)
        held = [Content(hold.license, hold.line, hold.quantity) for hold in holds]
        contents = plan_contents(
            wanted=licenses, pools=locked.pools, outlooks=locked.outlooks(now), holds=holds, now=now
        )
        _require_change(contents_of(moves.outstanding_codes(current)[-1]), contents)
        kept = {content.key: content.quantity for content in contents}
        takes_away = any(kept.get(each.key, 0) < each.quantity for each in held)
        write_holds(reservation=current, locked=locked, wanted=most_of(held, contents), now=now)
        code = write_intent(reservation=current, contents=contents, takes_away=takes_away, now=now)
        locked.settle(now)
        moves.move_to(
            reservation=current, state=ReservationState.UPDATE_PENDING, cause=ReservationCause.UPDATE, now=now
        )
        moves.record(actor, "reservation.update_issued", current, {"summary": summarise(contents)}, now)
    return code


def _cancel(actor: Actor, reservation: Reservation, now: datetime) -> Reservation:
    with transaction.atomic():
        current = lock_for_change(actor, reservation)
        moves.require_active(current)
        codes = moves.outstanding_codes(current)
        if len(codes) < 2:
            raise Conflict(f"No change of the reservation of {current.udi} is pending.", code="NO_UPDATE_PENDING")
        AuthorizationCode.objects.filter(pk=codes[-1].pk).update(state=AuthorizationState.CANCELLED)
        released = hold_outstanding(current, now)
        moves.move_to(
            reservation=current,
            state=moves.resting_state(current),
            cause=ReservationCause.CANCELLATION,
            released=released,
            now=now,
        )
        summary = summarise(contents_of(codes[-2]))
        moves.record(actor, "reservation.update_cancelled", current, {"summary": summary}, now)
    return current
