"""Rehosting from a product that failed and can show no return code: the replacement gets what it had.

The failed product's authorization may still work somewhere, so its reservation goes on counting until its return code
is entered. Where the free licenses do not cover both products, the licenses are counted once for the two of them, and
only so many such rehosts are open in a Virtual Account at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, NotFound
from licensing.codecs.request_code import WHERE
from licensing.models import Pool, Reservation
from licensing.services.devices.endings import end_reserved, lock_claim
from licensing.services.pools.timeline import Outlook
from licensing.services.reservations import moves
from licensing.services.reservations.contents import Content, Wanted, contents_of, plan_contents, summarise
from licensing.services.reservations.holding import LockedPools, most_of, read_pools, write_holds
from licensing.services.reservations.issuing import Issued, complete_code, latest_code, write_intent
from licensing.services.reservations.outlook import Checked, check_request
from licensing.services.reservations.requests import (
    ReadRequest,
    check_account,
    find_earlier,
    read_request,
    require_manage,
    require_requested,
)
from licensing.services.reservations.reserve import (
    clear_claim,
    lock_claim_for,
    make_reservation,
    persist,
    take_over,
)
from licensing.states import InstanceState, LicenseType, ReservationCause, ReservationKind, ReservationState


def count_open_rehosts(virtual_account: VirtualAccount) -> int:
    """How many failed products share their licenses with their replacement; at most `settings.REHOST_LIMIT`."""
    return Reservation.objects.open_rehosts().filter(virtual_account=virtual_account).count()


def rehost_reservation(*, actor: Actor, reservation: Reservation, request_code: str, now: datetime) -> Issued:
    """Give the product of the request code what the failed product's reservation holds, and issue its code.

    The same request code again gives the same code. Raises `NotFound`, `Forbidden`, `Invalid` and `Conflict` as
    `reserve_licenses` does for the request code; `Conflict`: RESERVATION_ENDED, OTHER_KIND, SAME_PRODUCT, REHOST_OPEN
    where the failed one shares its licenses itself, TOO_MANY_REHOSTS.
    """
    require_manage(actor, reservation)
    require_requested(reservation)
    request = read_request(request_code)
    check_account(reservation.smart_account, request.code.kind)
    _check(reservation, request)
    made, is_new = persist(lambda: _rehost(actor, reservation, request, now))
    code = latest_code(made)
    return Issued(made, code, complete_code(code), is_new)


@dataclass(frozen=True, slots=True)
class RehostOutlook:
    """The replacement's request code, and whether the free licenses cover both products."""

    checked: Checked
    is_covered: bool


def check_rehost(*, actor: Actor, reservation: Reservation, request_code: str, now: datetime) -> RehostOutlook:
    """What `rehost_reservation` would do now; all that it would refuse is raised, nothing is changed."""
    require_manage(actor, reservation)
    require_requested(reservation)
    request = read_request(request_code)
    check_account(reservation.smart_account, request.code.kind)
    _check(reservation, request)
    place = reservation.virtual_account
    checked = check_request(actor=actor, virtual_account=place, request_code=request_code, now=now)
    if checked.earlier is not None:
        return RehostOutlook(checked, not _same(checked.earlier, reservation).is_shared)
    _require_rehostable(reservation)
    had = _contents_at(reservation, now)
    pools, outlooks = read_pools(place, [content.license for content in had], now)
    covered = _find_surplus(had, pools, outlooks, now)
    if covered is None:
        _check_limit(place)
    return RehostOutlook(checked, covered is not None)


def _require_rehostable(failed: Reservation) -> None:
    moves.require_active(failed)
    if failed.is_shared:
        raise Conflict(
            f"{failed.udi} itself replaces a failed product and shares its licenses. Enter the return code of that"
            " one first.",
            code="REHOST_OPEN",
        )


def _contents_at(failed: Reservation, now: datetime) -> list[Content]:
    """What the failed product may have, of which something is left."""
    return [each for each in most_of(*map(contents_of, moves.outstanding_codes(failed))) if _lasts(each, now)]


def _check(failed: Reservation, request: ReadRequest) -> None:
    if request.code.kind is not ReservationKind(failed.kind):
        raise Conflict(
            f"The failed product has a {failed.kind} reservation, and this request is for a {request.code.kind} one.",
            code="OTHER_KIND",
            where=WHERE,
        )
    if request.code.udi.udi == failed.udi:
        raise Conflict(
            "This is the request code of the failed product itself. Enter that of its replacement.",
            code="SAME_PRODUCT",
            where=WHERE,
        )


def _rehost(actor: Actor, reservation: Reservation, request: ReadRequest, now: datetime) -> tuple[Reservation, bool]:
    with transaction.atomic():
        claim = None
        # In one order, so that two rehosts never wait for each other.
        for udi in sorted({reservation.udi, request.code.udi.udi}):
            if udi == reservation.udi:
                lock_claim(udi)
            else:
                claim = lock_claim_for(request, reservation.smart_account_id, now)
        assert claim is not None  # noqa: S101  the two UDIs differ
        if earlier := find_earlier(smart_account_id=reservation.smart_account_id, request=request):
            return _same(earlier, reservation), False
        failed = moves.lock_reservation(reservation)
        require_manage(actor, failed)
        _require_rehostable(failed)
        place = _lock_place(failed)
        clear_claim(actor, claim, place, now)
        had = _contents_at(failed, now)
        locked = LockedPools(
            smart_account_id=place.smart_account_id,
            virtual_account_id=place.pk,
            licenses=[content.license for content in had],
            now=now,
        )
        covered = _find_surplus(had, locked.pools, locked.outlooks(now), now)
        if covered is None:
            _check_limit(place)
        made = make_reservation(place, request, now, failed=failed, is_shared=covered is None)
        take_over(claim, made, now)
        if covered is not None:
            write_holds(reservation=made, locked=locked, wanted=covered, now=now)
        contents = had if covered is None else covered
        write_intent(reservation=made, contents=contents, takes_away=False, now=now)
        locked.settle(now)
        _record(actor, failed, made, contents, now)
        end_reserved(actor=actor, instance=failed.instance, state=InstanceState.REMOVED, now=now)
    return made, True


def _same(earlier: Reservation, failed: Reservation) -> Reservation:
    if earlier.rehosted_from_id == failed.pk:
        return earlier
    raise Conflict(
        f"This request code was used already: {earlier.udi} has a reservation of its own.",
        code="UDI_RESERVED",
        where=WHERE,
    )


def _lock_place(failed: Reservation) -> VirtualAccount:
    """Rehosts of one Virtual Account come one after the other, so that the limit holds."""
    place = VirtualAccount.objects.select_for_update(no_key=True).live().filter(pk=failed.virtual_account_id).first()
    if place is None:
        raise NotFound("This Virtual Account was deleted.")
    return place


def _find_surplus(
    had: Sequence[Content], pools: Mapping[int, Pool], outlooks: Mapping[int, Outlook], now: datetime
) -> list[Content] | None:
    """What covers the replacement as well; None where the free licenses do not."""
    sums: dict[tuple[int, LicenseType | None], Wanted] = {}
    for content in had:
        kind = None if content.line is None else LicenseType(content.line.license_type)
        before = sums.get((content.license.pk, kind))
        quantity = content.quantity + (before.quantity if before else 0)
        sums[content.license.pk, kind] = Wanted(content.license, quantity, kind)
    try:
        return plan_contents(wanted=list(sums.values()), pools=pools, outlooks=outlooks, now=now)
    except Conflict:
        return None


def _check_limit(place: VirtualAccount) -> None:
    limit = settings.REHOST_LIMIT
    if count_open_rehosts(place) >= limit:
        raise Conflict(
            f"{limit} failed products of this Virtual Account share their licenses with their replacements already, and"
            " there are not enough free licenses for one more product beside this one. Enter the return code of one of"
            " the failed products, or add licenses so that both products are covered.",
            code="TOO_MANY_REHOSTS",
            details={"open": limit, "limit": limit},
        )


def _record(actor: Actor, failed: Reservation, made: Reservation, contents: Sequence[Content], now: datetime) -> None:
    moves.write_transition(made, old="", cause=ReservationCause.REHOST, now=now)
    moves.move_to(reservation=failed, state=ReservationState.REHOSTED, cause=ReservationCause.REHOST, now=now)
    summary = summarise(contents) if contents else "All licenses (universal)"
    moves.record(actor, "reservation.rehosted", failed, {"replacement": made.udi, "shared": made.is_shared}, now)
    moves.record(actor, "reservation.authorized", made, {"summary": summary, "failed": failed.udi}, now)


def _lasts(content: Content, now: datetime) -> bool:
    return content.line is None or content.line.end is None or content.line.end > now
