"""Authorization codes: written down as an intent, signed outside of any transaction, kept encrypted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Max

from cssm.common.actor import Actor
from cssm.common.clock import to_milliseconds
from cssm.common.errors import Conflict
from licensing.codecs import authorization_code as codec
from licensing.codecs.device_udi import DeviceUdi
from licensing.models import AuthorizationCode, AuthorizedLicense, ProductInstance, Reservation
from licensing.services.reservations.contents import Content
from licensing.services.reservations.requests import require_manage
from licensing.states import LicenseType, ReservationKind
from pki.crypto.messages import pack_signature, unpack_signature
from pki.errors import AuthorityMissing
from pki.services import vault
from pki.services.signing import sign_reservation

log = structlog.get_logger(__name__)
MOST_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Issued:
    """An authorization code for who may manage the reservation. `is_new` is false where the request was known."""

    reservation: Reservation
    code: AuthorizationCode
    text: str
    is_new: bool = True

    @property
    def file_name(self) -> str:
        return codec.file_name(self.reservation.instance.udi_serial_number)


def write_intent(
    *, reservation: Reservation, contents: Sequence[Content], takes_away: bool, now: datetime
) -> AuthorizationCode:
    """The code as it is to be signed, in the caller's transaction. Its timestamp is newer than any before it."""
    last = AuthorizationCode.objects.filter(reservation=reservation).aggregate(last=Max("timestamp"))["last"] or 0
    return _create(reservation, contents, takes_away, max(to_milliseconds(now), last + 1), now)


def write_signed(
    *,
    reservation: Reservation,
    contents: Sequence[Content],
    takes_away: bool,
    timestamp: int,
    text: str,
    now: datetime,
) -> AuthorizationCode:
    """A code that was signed before, in the caller's transaction: whether it is given out is decided there."""
    code = _create(reservation, contents, takes_away, timestamp, now)
    code.sealed = vault.wrap(text.encode(), context=_context(code))
    code.save(update_fields=["sealed"])
    return code


def complete_code(code: AuthorizationCode) -> str:
    """Sign it, unless it is signed; returns the code as the product takes it. Never inside a transaction.

    Of two that sign at once the first to store wins, and both return that one.
    """
    if code.sealed is None:
        text = _sign(code)
        sealed = vault.wrap(text.encode(), context=_context(code))
        with transaction.atomic():
            AuthorizationCode.objects.unsigned().filter(pk=code.pk).update(sealed=sealed)
        code.refresh_from_db(fields=["sealed"])
    return open_code(code)


def open_code(code: AuthorizationCode) -> str:
    """The signed code; who shows it to someone asks `show_code`. Raises `Conflict` before it is signed."""
    if code.sealed is None:
        raise Conflict("The authorization code is being signed. Try again in a moment.", code="NOT_SIGNED_YET")
    return vault.unwrap(bytes(code.sealed), context=_context(code)).decode()


def show_code(*, actor: Actor, reservation: Reservation, code: AuthorizationCode | None = None) -> Issued:
    """The newest outstanding code, or this one of the reservation, again. Raises `NotFound`, `Forbidden`."""
    require_manage(actor, reservation)
    chosen = code or latest_code(reservation)
    if chosen.reservation_id != reservation.pk:
        raise Conflict("This code is of another reservation.", code="OTHER_RESERVATION")
    return Issued(reservation, chosen, complete_code(chosen), is_new=False)


def latest_code(reservation: Reservation) -> AuthorizationCode:
    """The newest outstanding code."""
    return AuthorizationCode.objects.outstanding().filter(reservation=reservation).reverse()[0]


def sign_unsigned_codes(*, now: datetime, limit: int = MOST_AT_ONCE) -> int:
    """Sign what was to be signed when a process died; returns how many. Nothing before the hierarchy is made."""
    waiting = AuthorizationCode.objects.unsigned().order_by("pk").select_related("reservation__instance")
    done = 0
    for code in waiting[:limit]:
        try:
            complete_code(code)
        except AuthorityMissing:
            log.warning("reservation_signing_key_missing")
            break
        done += 1
    return done


def signature_of(code: AuthorizationCode) -> bytes:
    """The DER signature of a signed code."""
    text = open_code(code)
    if code.reservation.kind == ReservationKind.UNIVERSAL:
        return unpack_signature(codec.parse_universal(text).signature)
    return codec.parse_specific(text).signature


def udi_of(reservation: Reservation) -> DeviceUdi:
    return udi_of_instance(reservation.instance)


def udi_of_instance(instance: ProductInstance) -> DeviceUdi:
    return DeviceUdi(instance.udi_pid, instance.udi_serial_number, instance.uuid)


def sign_specific(*, piid: UUID, udi: DeviceUdi, timestamp: int, entitlements: Sequence[codec.Entitlement]) -> str:
    """The XML, signed by the reservation-signing key. Never inside a transaction."""
    unsigned = codec.SpecificAuthorization(piid, timestamp, udi, entitlements)
    signature = sign_reservation(codec.signed_bytes_of(unsigned))
    return codec.render_specific(replace(unsigned, signature=signature))


def _create(
    reservation: Reservation, contents: Sequence[Content], takes_away: bool, timestamp: int, now: datetime
) -> AuthorizationCode:
    code = AuthorizationCode.objects.create(
        smart_account_id=reservation.smart_account_id,
        virtual_account_id=reservation.virtual_account_id,
        reservation=reservation,
        timestamp=timestamp,
        takes_away=takes_away,
        created_at=now,
    )
    rows = [content.as_row() for content in contents]
    for row in rows:
        row.code = code
    AuthorizedLicense.objects.bulk_create(rows)
    return code


def _sign(code: AuthorizationCode) -> str:
    reservation = code.reservation
    piid, udi = reservation.instance.piid, udi_of(reservation)
    if reservation.kind == ReservationKind.UNIVERSAL:
        message = codec.universal_signed_bytes(piid=piid, udi=udi, timestamp=code.timestamp)
        packed = pack_signature(sign_reservation(message))
        return codec.render_universal(codec.UniversalAuthorization(piid, code.timestamp, packed))
    rows = code.contents.select_related("license").order_by("pk")
    return sign_specific(piid=piid, udi=udi, timestamp=code.timestamp, entitlements=_merge(rows))


def _merge(rows: Iterable[AuthorizedLicense]) -> tuple[codec.Entitlement, ...]:
    """One entitlement for all lines of the same license, type, term and subscription."""
    counts: dict[codec.Entitlement, int] = {}
    for row in rows:
        dated = row.license_type != LicenseType.PERPETUAL
        entitlement = codec.Entitlement(
            tag=row.license.tag,
            count=0,
            license_type=row.license_type.upper(),
            display_name=row.license.display_name,
            description=row.license.description,
            start=row.start.date() if row.start and dated else None,
            end=row.end.date() if row.end else None,
            subscription_id=row.subscription_id,
        )
        counts[entitlement] = counts.get(entitlement, 0) + row.quantity
    return tuple(
        codec.Entitlement(
            tag=each.tag,
            count=count,
            license_type=each.license_type,
            display_name=each.display_name,
            description=each.description,
            start=each.start,
            end=each.end,
            subscription_id=each.subscription_id,
        )
        for each, count in counts.items()
    )


def _context(code: AuthorizationCode) -> str:
    return f"authorization-code:{code.pk}"
