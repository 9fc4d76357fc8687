"""Authorizations for devices that a program manages: without request codes, as it names the devices itself.

Each device is done by itself by the services of reservations; what it came to is kept, encrypted, until it is polled.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import DomainError, Invalid, NotFound
from licensing.codecs.device_udi import DeviceUdi, parse_udi_text
from licensing.codecs.return_code import split_return_code
from licensing.models import DeviceCall, Reservation
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.issuing import Issued, latest_code, show_code
from licensing.services.reservations.requests import require_manage
from licensing.services.reservations.reserve import reserve_for_device
from licensing.services.reservations.returns import choose_by_code, return_reservation
from licensing.services.reservations.updates import update_reservation
from pki.services import vault


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """What is asked for one device: exactly these licenses, or that a code of it is entered. `error`: it cannot be
    read.
    """

    udi: DeviceUdi
    hostname: str = ""
    licenses: Sequence[Wanted] = ()
    confirm_code: str = ""
    remove_code: str = ""
    error: DomainError | None = None


@dataclass(frozen=True, slots=True)
class DeviceResult:
    udi: DeviceUdi
    piid: str = ""
    authorization: str = ""
    error: DomainError | None = None


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """As it is kept; `error` is a code, `message` what it says."""

    udi: DeviceUdi
    piid: str | None
    authorization: str | None
    error: str | None
    message: str | None
    position: int = field(default=0)


def authorize_devices(
    *, actor: Actor, virtual_account: VirtualAccount, wishes: Sequence[DeviceWish], now: datetime
) -> DeviceCall:
    """Do each, and keep what it came to. Raises `NotFound`, `Forbidden`."""
    require_manage(actor, virtual_account)
    results = [_try(actor, virtual_account, wish, now) for wish in wishes]
    call = DeviceCall(
        smart_account_id=virtual_account.smart_account_id,
        virtual_account=virtual_account,
        poll_id=10**17 + secrets.randbelow(9 * 10**17),
        created_by_kind=actor.kind.value,
        created_by_id=actor.id,
        created_at=now,
    )
    content = json.dumps([_show(result) for result in results]).encode()
    call.sealed = vault.wrap(content, context=_context(call))
    with transaction.atomic():
        call.save()
    return call


def read_results(*, actor: Actor, poll_id: int) -> list[DeviceAnswer]:
    """What became of a call of this very program. Raises `NotFound` (POLL_UNKNOWN), `Forbidden`."""
    own = DeviceCall.objects.filter(created_by_kind=actor.kind.value, created_by_id=actor.id, poll_id=poll_id)
    call = own.select_related("virtual_account").first()
    if call is None:
        raise NotFound("Nothing was asked by you under this poll_id.", code="POLL_UNKNOWN", where="poll_id")
    require_manage(actor, call.virtual_account)
    rows: list[dict[str, Any]] = json.loads(vault.unwrap(bytes(call.sealed), context=_context(call)))
    return [DeviceAnswer(**{**row, "udi": DeviceUdi(*row["udi"])}, position=n) for n, row in enumerate(rows, start=1)]


def _try(actor: Actor, virtual_account: VirtualAccount, wish: DeviceWish, now: datetime) -> DeviceResult:
    try:
        if wish.error is not None:
            raise wish.error
        return _perform(actor, virtual_account, wish, now)
    except DomainError as error:
        return DeviceResult(wish.udi, error=error)


def _perform(actor: Actor, virtual_account: VirtualAccount, wish: DeviceWish, now: datetime) -> DeviceResult:
    if parse_udi_text(wish.udi.text) != wish.udi:
        raise Invalid("Give a udi_pid and a udi_serial_number as the device shows them.", code="UDI_INVALID")
    if wish.remove_code:
        if wish.licenses:
            raise Invalid("Give keys or a remove_code, not both.", code="REMOVE_AND_KEYS")
        return _remove(actor, virtual_account, wish, now)
    held = _held(virtual_account, wish.udi).active().requested().first()
    if wish.confirm_code:
        if held is None:
            raise _holds_nothing(wish.udi)
        confirm_installation(actor=actor, reservation=held, confirmation_code=wish.confirm_code, now=now)
        if not wish.licenses:
            return DeviceResult(wish.udi, piid=str(held.instance.piid))
    issued = _authorize(actor, virtual_account, wish, held, now)
    return DeviceResult(wish.udi, piid=str(issued.reservation.instance.piid), authorization=issued.text)


def _authorize(
    actor: Actor, virtual_account: VirtualAccount, wish: DeviceWish, held: Reservation | None, now: datetime
) -> Issued:
    if held is None:
        return reserve_for_device(
            actor=actor,
            virtual_account=virtual_account,
            udi=wish.udi,
            hostname=wish.hostname,
            licenses=wish.licenses,
            now=now,
        )
    if _is_as(held, wish.licenses):
        return show_code(actor=actor, reservation=held)
    return update_reservation(actor=actor, reservation=held, licenses=wish.licenses, now=now)


def _remove(actor: Actor, virtual_account: VirtualAccount, wish: DeviceWish, now: datetime) -> DeviceResult:
    candidates = list(_held(virtual_account, wish.udi).order_by("-pk"))
    found = choose_by_code(candidates, split_return_code(wish.remove_code))
    if found is None:
        raise _holds_nothing(wish.udi)
    return_reservation(actor=actor, reservation=found, return_code=wish.remove_code, now=now)
    return DeviceResult(wish.udi, piid=str(found.instance.piid))


def _held(virtual_account: VirtualAccount, udi: DeviceUdi) -> Any:
    own = Reservation.objects.filter(virtual_account=virtual_account, udi=udi.udi)
    return own.select_related("instance", "smart_account", "virtual_account")


def _is_as(held: Reservation, licenses: Sequence[Wanted]) -> bool:
    """Whether the newest code entitles to exactly this already."""
    has: dict[int, int] = {}
    for row in latest_code(held).contents.all():
        has[row.license_id] = has.get(row.license_id, 0) + row.quantity
    wanted: dict[int, int] = {}
    for each in licenses:
        wanted[each.license.pk] = wanted.get(each.license.pk, 0) + each.quantity
    return has == wanted


def _holds_nothing(udi: DeviceUdi) -> NotFound:
    return NotFound(f"{udi.udi} holds no authorization in this Virtual Account.", code="NOT_AUTHORIZED")


def _show(result: DeviceResult) -> dict[str, Any]:
    udi, error = result.udi, result.error
    return {
        "udi": [udi.pid, udi.serial, udi.uuid],
        "piid": result.piid or None,
        "authorization": result.authorization or None,
        "error": None if error is None else error.code,
        "message": None if error is None else error.message,
    }


def _context(call: DeviceCall) -> str:
    return f"device-call:{call.poll_id}"
