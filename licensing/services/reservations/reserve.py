"""Reserving licenses for a product that shows a request code.

Checked → one transaction with everything, the code only as an intent → signed outside of any → the signed code stored.
See docs/cycles/reservation.md.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import keep_from_deletion
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, NotFound
from cssm.common.retries import retry_transient
from licensing.codecs.device_udi import DeviceUdi
from licensing.codecs.refusals import Refusal
from licensing.codecs.request_code import WHERE
from licensing.models import HaGroup, Origin, ProductInstance, Reservation, UdiClaim
from licensing.services.devices.answers import Contended
from licensing.services.devices.claims import is_reserved, take_claim
from licensing.services.devices.endings import lose_count, replace_instance
from licensing.services.devices.endings import require_manage as require_manage_instance
from licensing.services.devices.origins import DIRECT
from licensing.services.reservations import moves
from licensing.services.reservations.contents import Content, Wanted, check_wanted, plan_contents, summarise
from licensing.services.reservations.holding import LockedPools, read_pools, write_holds
from licensing.services.reservations.issuing import Issued, complete_code, latest_code, write_intent
from licensing.services.reservations.requests import (
    ReadRequest,
    check_account,
    find_earlier,
    read_request,
    request_for_device,
    require_manage,
)
from licensing.services.reservations.sources import naming_sources
from licensing.states import InstanceState, ReservationCause, ReservationKind, ReservationState

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request would reserve, for looking at it once more. `earlier`: the request code is known already."""

    request: ReadRequest
    contents: Sequence[Content]
    earlier: Reservation | None = None


def preview_reservation(
    *, actor: Actor, virtual_account: VirtualAccount, request_code: str, licenses: Sequence[Wanted], now: datetime
) -> Plan:
    """Everything that `reserve_licenses` would refuse now is raised; nothing is changed."""
    request, earlier = _check(actor, virtual_account, request_code, licenses)
    if earlier is not None:
        return Plan(request, (), earlier)
    pools, outlooks = read_pools(virtual_account, [each.license for each in licenses], now)
    with naming_sources(actor=actor, virtual_account=virtual_account, now=now):
        return Plan(request, plan_contents(wanted=licenses, pools=pools, outlooks=outlooks, now=now))


def reserve_licenses(
    *, actor: Actor, virtual_account: VirtualAccount, request_code: str, licenses: Sequence[Wanted], now: datetime
) -> Issued:
    """Reserve, and issue the authorization code; a universal request may come without licenses.

    The same request code again gives the same code, whatever licenses are named. A registered product of this UDI in
    the same Smart Account is replaced. Raises `NotFound`, `Forbidden`; `Invalid` for the request code (with
    `details["part"]`) and the licenses; `Conflict`: REQUEST_CODE_SPENT, UDI_RESERVED, UDI_REGISTERED_ELSEWHERE,
    SLR_NOT_ENABLED, PLR_NOT_ENABLED, and for licenses NOT_ENOUGH_FREE, NOT_ENOUGH_LATER, LINES_EXPIRED or
    RESERVATION_REFUSED with `details["errors"]`. Nothing is changed then.
    """
    request, earlier = _check(actor, virtual_account, request_code, licenses)
    if earlier is None:
        with naming_sources(actor=actor, virtual_account=virtual_account, now=now):
            earlier, is_new = persist(lambda: _write(actor, virtual_account, request, licenses, now))
    else:
        is_new = False
    if not is_new:
        require_manage(actor, earlier)
    code = latest_code(earlier)
    return Issued(earlier, code, complete_code(code), is_new)


def reserve_for_device(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    udi: DeviceUdi,
    hostname: str = "",
    licenses: Sequence[Wanted],
    now: datetime,
) -> Issued:
    """The same for a device that shows no request code, since a program manages it. Raises as `reserve_licenses`."""
    require_manage(actor, virtual_account)
    check_account(virtual_account.smart_account, ReservationKind.SPECIFIC)
    check_wanted(virtual_account.smart_account, licenses)
    request = request_for_device(smart_account_id=virtual_account.smart_account_id, udi=udi)

    def work() -> tuple[Reservation, bool]:
        with transaction.atomic():
            made, is_new = _write(actor, virtual_account, request, licenses, now)
            if is_new and hostname:
                ProductInstance.objects.filter(pk=made.instance_id).update(hostname=hostname)
            return made, is_new

    with naming_sources(actor=actor, virtual_account=virtual_account, now=now):
        reservation, is_new = persist(work)
    code = latest_code(reservation)
    return Issued(reservation, code, complete_code(code), is_new)


def persist(work: Callable[[], tuple[Reservation, bool]]) -> tuple[Reservation, bool]:
    """What `work`, one whole transaction, returns; again where the claim on the UDI was released while it waited."""
    for _ in range(_ATTEMPTS):
        try:
            return retry_transient(work)
        except Contended:
            continue
    raise Conflict("The product is being changed by others. Try again.", code="CONTENDED")


def _check(
    actor: Actor, virtual_account: VirtualAccount, request_code: str, licenses: Sequence[Wanted]
) -> tuple[ReadRequest, Reservation | None]:
    require_manage(actor, virtual_account)
    request = read_request(request_code)
    check_account(virtual_account.smart_account, request.code.kind)
    earlier = find_earlier(smart_account_id=virtual_account.smart_account_id, request=request)
    if earlier is None:
        is_universal = request.code.kind is ReservationKind.UNIVERSAL
        check_wanted(virtual_account.smart_account, licenses, may_be_empty=is_universal)
    return request, earlier


def _plan(
    virtual_account: VirtualAccount, licenses: Sequence[Wanted], now: datetime
) -> tuple[LockedPools, list[Content]]:
    locked = LockedPools(
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
        licenses=[each.license for each in licenses],
        now=now,
    )
    return locked, plan_contents(wanted=licenses, pools=locked.pools, outlooks=locked.outlooks(now), now=now)


def _write(
    actor: Actor, virtual_account: VirtualAccount, request: ReadRequest, licenses: Sequence[Wanted], now: datetime
) -> tuple[Reservation, bool]:
    with transaction.atomic():
        claim = lock_claim_for(request, virtual_account.smart_account_id, now)
        # A double click comes here twice: the second one waits above, and finds what the first has made.
        if earlier := find_earlier(smart_account_id=virtual_account.smart_account_id, request=request):
            return earlier, False
        clear_claim(actor, claim, virtual_account, now)
        reservation = make_reservation(virtual_account, request, now)
        take_over(claim, reservation, now)
        locked, contents = _plan(virtual_account, licenses, now)
        write_holds(reservation=reservation, locked=locked, wanted=contents, now=now)
        write_intent(reservation=reservation, contents=contents, takes_away=False, now=now)
        locked.settle(now)
        moves.write_transition(reservation, old="", cause=ReservationCause.REQUEST, now=now)
        summary = summarise(contents) if contents else "All licenses (universal)"
        moves.record(actor, "reservation.authorized", reservation, {"summary": summary}, now)
    return reservation, True


def lock_claim_for(request: ReadRequest, smart_account_id: int, now: datetime) -> UdiClaim:
    """The claim on the product's UDI, locked. Raises `Conflict` where another Smart Account has it, or `Contended`."""
    try:
        return take_claim(udi=request.code.udi.udi, smart_account_id=smart_account_id, now=now)
    except Refusal as refusal:
        raise Conflict(refusal.message, code=refusal.code, where=WHERE) from None


def clear_claim(actor: Actor, claim: UdiClaim, virtual_account: VirtualAccount, now: datetime) -> None:
    """End the product's earlier registration. Raises `Conflict` (UDI_RESERVED) where it holds a reservation."""
    previous = claim.instance
    if previous is None:
        return
    if is_reserved(claim):
        raise Conflict(
            explain_bound(claim),
            code="UDI_RESERVED",
            where=WHERE,
        )
    if previous.smart_account_id != virtual_account.smart_account_id:
        lose_count(actor=actor, instance_id=previous.pk, now=now)
    elif InstanceState(previous.state).is_active:
        require_manage_instance(actor, previous)
        replace_instance(actor=actor, instance_id=previous.pk, now=now)


def explain_bound(claim: UdiClaim) -> str:
    """Why the product cannot have a reservation of another request code."""
    if claim.instance is not None and claim.instance.holds_export_key:
        return f"{claim.udi} is registered and holds an export authorization key. Enter that one's return code first."
    return (
        f"{claim.udi} holds a reservation already, of another request code. Change that one, or enter the product's"
        " return code first."
    )


def make_reservation(
    virtual_account: VirtualAccount,
    request: ReadRequest,
    now: datetime,
    *,
    failed: Reservation | None = None,
    is_shared: bool = False,
) -> Reservation:
    """The product instance and its reservation; `failed` is the one that it rehosts.

    Raises `NotFound` where the Virtual Account is being deleted.
    """
    place = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
    origin, _ = Origin.objects.get_or_create(name=DIRECT)
    piid, udi = uuid.uuid4(), request.code.udi
    instance = ProductInstance.objects.create(
        **place,
        origin=origin,
        external_id=str(piid),
        piid=piid,
        udi=udi.udi,
        udi_pid=udi.pid,
        udi_serial_number=udi.serial,
        software_tag=request.software.tag,
        ha_group=HaGroup.objects.create(**place, created_at=now),
        state=InstanceState.RESERVED,
        registered_at=now,
    )
    if not keep_from_deletion(virtual_account.pk):
        raise NotFound("This Virtual Account was deleted.")
    return Reservation.objects.create(
        **place,
        instance=instance,
        kind=request.code.kind,
        state=ReservationState.AUTHORIZED,
        request_code=request.text,
        sequence=request.code.sequence,
        udi=udi.udi,
        rehosted_from=failed,
        is_shared=is_shared,
        created_at=now,
        state_since=now,
    )


def take_over(claim: UdiClaim, reservation: Reservation, now: datetime) -> None:
    claim.smart_account_id, claim.instance = reservation.smart_account_id, reservation.instance
    claim.last_contact_at = now
    claim.save(update_fields=["smart_account", "instance", "last_contact_at"])
