"""Export authorization keys: a registered product asks for a license that it may use under export control.

A key is an authorization code (docs/cycles/reservation.md) with one entitlement, for the product's registration; what
it entitles to is held as a reservation holds it. Until the product gives the key back nobody else may end the
registration. It ends by its return code, with its term, or with the registration, where the product itself ends that:
the key names a registration (PIID), and works with no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db.models import Max

from cssm.common.actor import Actor
from cssm.common.clock import to_milliseconds
from cssm.common.errors import Conflict
from licensing.codecs.authorization_code import Entitlement
from licensing.models import AuthorizationCode, License, ProductInstance, Reservation
from licensing.services.devices.answers import Contended
from licensing.services.devices.endings import register_ender
from licensing.services.reservations import moves
from licensing.services.reservations.contents import Content, Wanted, plan_contents, summarise
from licensing.services.reservations.holding import LockedPools, most_of, read_holds, read_pools, write_holds
from licensing.services.reservations.issuing import complete_code, sign_specific, udi_of_instance, write_signed
from licensing.services.reservations.updates import lock_pools_of
from licensing.states import ReservationCause, ReservationKind, ReservationState

LICENSE_TYPE: Final = "EXPORT"


@dataclass(frozen=True, slots=True)
class KeyDraft:
    """A signed key that is not given out yet; `code` is the one that was, where this is the same request once more."""

    instance: ProductInstance
    license: License
    count: int
    text: str
    code: AuthorizationCode | None = None
    timestamp: int = 0
    entitlement: Entitlement | None = None


def register_export_keys() -> None:
    """Called once, when the app is ready."""
    register_ender(end_keys)


def draft_key(*, instance: ProductInstance, license: License, count: int, now: datetime) -> KeyDraft:
    """The key for `count` units in all. Reads, and signs; never in a transaction.

    Raises `Conflict` where not so many are free, as `plan_contents` does.
    """
    reservation = _find(instance, license)
    newest = None if reservation is None else _newest_code(reservation)
    if newest is not None and _is_for(newest, count, now):
        return KeyDraft(instance, license, count, complete_code(newest), code=newest)
    pools, outlooks = read_pools(instance.virtual_account, [license], now)
    holds = [] if reservation is None else read_holds(reservation)
    contents = plan_contents(wanted=[Wanted(license, count)], pools=pools, outlooks=outlooks, holds=holds, now=now)
    entitlement = _entitlement_of(license, count, contents)
    timestamp = max(to_milliseconds(now), _last_timestamp(instance) + 1)
    text = sign_specific(
        piid=instance.piid, udi=udi_of_instance(instance), timestamp=timestamp, entitlements=[entitlement]
    )
    return KeyDraft(instance, license, count, text, timestamp=timestamp, entitlement=entitlement)


def can_be_drawn(*, instance: ProductInstance, license: License, count: int, now: datetime) -> bool:
    """Whether a key for `count` units in all could be given out now. Reads only."""
    reservation = _find(instance, license)
    pools, outlooks = read_pools(instance.virtual_account, [license], now)
    holds = [] if reservation is None else read_holds(reservation)
    try:
        plan_contents(wanted=[Wanted(license, count)], pools=pools, outlooks=outlooks, holds=holds, now=now)
    except Conflict:
        return False
    return True


def keep_key(*, actor: Actor, draft: KeyDraft, now: datetime) -> None:
    """Take what the key entitles to, in the transaction that gives it out; the claim on the UDI is locked.

    Raises `Contended` where the figures have changed so that another key is to be signed, and as `draft_key` does.
    """
    known = _find(draft.instance, draft.license)
    if draft.entitlement is None:
        if known is None or draft.code != _newest_code(known):
            raise Contended
        return
    reservation = _make(draft, now) if known is None else moves.lock_reservation(known)
    locked = lock_pools_of(reservation, [draft.license], now)
    holds = read_holds(reservation)
    contents = plan_contents(
        wanted=[Wanted(draft.license, draft.count)],
        pools=locked.pools,
        outlooks=locked.outlooks(now),
        holds=holds,
        now=now,
    )
    if _entitlement_of(draft.license, draft.count, contents) != draft.entitlement:
        raise Contended
    held = [Content(hold.license, hold.line, hold.quantity) for hold in holds]
    kept = {content.key: content.quantity for content in contents}
    # While the product may have any of several keys the most is held that one of them entitles to.
    write_holds(reservation=reservation, locked=locked, wanted=most_of(held, contents), now=now)
    write_signed(
        reservation=reservation,
        contents=contents,
        takes_away=any(kept.get(each.key, 0) < each.quantity for each in held),
        timestamp=draft.timestamp,
        text=draft.text,
        now=now,
    )
    locked.settle(now)
    ProductInstance.objects.filter(pk=draft.instance.pk).update(holds_export_key=True)
    if known is None:
        moves.write_transition(reservation, old="", cause=ReservationCause.REQUEST, now=now)
    else:
        moves.move_to(
            reservation=reservation, state=ReservationState.UPDATE_PENDING, cause=ReservationCause.UPDATE, now=now
        )
    moves.record(actor, "export_key.issued", reservation, {"summary": summarise(contents)}, now)


def end_keys(actor: Actor, instance: ProductInstance, now: datetime) -> None:
    """The registration ends, and with it what its keys hold; in the transaction that ends it."""
    if not instance.holds_export_key:
        return
    found = Reservation.objects.active().export_keys().filter(instance=instance.pk).order_by("pk")
    reservations = [moves.lock_reservation(each) for each in found]
    licenses = [hold.license for each in reservations for hold in read_holds(each)]
    locked = LockedPools(
        smart_account_id=instance.smart_account_id,
        virtual_account_id=instance.virtual_account_id,
        licenses=licenses,
        now=now,
    )
    for reservation in reservations:
        released = write_holds(reservation=reservation, locked=locked, wanted=[], now=now)
        moves.move_to(
            reservation=reservation,
            state=ReservationState.RETURNED,
            cause=ReservationCause.ENDING,
            released=released,
            now=now,
        )
        moves.record(actor, "export_key.ended", reservation, {"released": released}, now)
    locked.settle(now)
    release_product(instance)


def release_product(instance: ProductInstance) -> None:
    """Others may end the registration again, unless it holds another key."""
    if not Reservation.objects.active().export_keys().filter(instance=instance.pk).exists():
        ProductInstance.objects.filter(pk=instance.pk).update(holds_export_key=False)


def _find(instance: ProductInstance, license: License) -> Reservation | None:
    """What the product's key for the license holds."""
    keys = Reservation.objects.active().export_keys().filter(instance=instance.pk, codes__contents__license=license.pk)
    return keys.order_by("-pk").first()


def _newest_code(reservation: Reservation) -> AuthorizationCode | None:
    codes = AuthorizationCode.objects.outstanding().filter(reservation=reservation)
    return codes.select_related("reservation__instance").reverse().first()


def _is_for(code: AuthorizationCode, count: int, now: datetime) -> bool:
    rows = list(code.contents.all())
    lasts = all(row.end is None or row.end > now for row in rows)
    return lasts and sum(row.quantity for row in rows) == count


def _last_timestamp(instance: ProductInstance) -> int:
    """Of all that was ever issued for the product: it takes nothing that is not newer than what it had."""
    codes = AuthorizationCode.objects.filter(smart_account=instance.smart_account_id, reservation__udi=instance.udi)
    return codes.aggregate(last=Max("timestamp"))["last"] or 0


def _entitlement_of(license: License, count: int, contents: Sequence[Content]) -> Entitlement:
    """One entitlement, whatever lines it is drawn on: it ends with the first that ends."""
    starts = [each.line.start.date() for each in contents if each.line is not None and each.line.end is not None]
    ends = [each.line.end.date() for each in contents if each.line is not None and each.line.end is not None]
    start: date | None = max(starts, default=None)
    return Entitlement(
        tag=license.tag,
        count=count,
        license_type=LICENSE_TYPE,
        display_name=license.display_name,
        description=license.description,
        start=start,
        end=min(ends, default=None),
    )


def _make(draft: KeyDraft, now: datetime) -> Reservation:
    instance = draft.instance
    return Reservation.objects.create(
        smart_account_id=instance.smart_account_id,
        virtual_account_id=instance.virtual_account_id,
        instance=instance,
        kind=ReservationKind.EXPORT,
        state=ReservationState.AUTHORIZED,
        # Not of its own: no code is entered for it. It is unique, as request codes are.
        request_code=f"EXPORT:{instance.piid}:{draft.timestamp}",
        udi=instance.udi,
        created_at=now,
        state_since=now,
    )
