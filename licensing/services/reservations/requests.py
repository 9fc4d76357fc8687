"""Request codes as people enter them: read, and everything about them that can be told before anything is reserved."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Invalid
from cssm.common.permissions import Permission
from licensing.codecs.device_udi import DeviceUdi
from licensing.codecs.request_code import WHERE, Part, RequestCode, make_request_code, read_request_code
from licensing.models import Reservation, SoftwareTag
from licensing.services.catalog.lookup import find_software
from licensing.states import ReservationKind


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request code that is whole, and the software tag that its hash names."""

    code: RequestCode
    software: SoftwareTag

    @property
    def text(self) -> str:
        return self.code.text


def read_request(text: str) -> ReadRequest:
    """The request that was meant. Raises `Invalid` naming the wrong part (`details["part"]`), as the codec does, or
    SOFTWARE_UNKNOWN for a software hash that no known tag has. One query or two.
    """
    code = read_request_code(text, find_hashes=_find_hashes)
    known = find_software(code.software_hash)
    if not known:
        raise _unknown_software(code)
    fitting = [tag for tag in known if code.udi.pid in tag.product_ids.split()]
    return ReadRequest(code, (fitting or known)[0])


def glance_at(texts: Iterable[str]) -> list[tuple[str, str]]:
    """The product of each request code, and what is wrong with the code; either is empty. One query for all of them."""
    hashes = set(SoftwareTag.objects.values_list("short_hash", flat=True))
    by_letters: dict[str, list[str]] = defaultdict(list)
    for each in hashes:
        by_letters[each.casefold()].append(each)
    found = []
    for text in texts:
        try:
            code = read_request_code(text, find_hashes=lambda typed: by_letters.get(typed.casefold(), ()))
        except Invalid as error:
            found.append(("", error.message))
            continue
        wrong = "" if code.software_hash in hashes else _unknown_software(code).message
        found.append((code.udi.udi, wrong))
    return found


@dataclass(frozen=True, slots=True)
class DeviceRequest(ReadRequest):
    """A request for a device that shows no code: a program names it. `number` tells its requests from each other."""

    number: int = 0

    @property
    def text(self) -> str:
        return f"AUTHREQUEST:{self.code.udi.udi}:{self.number}"


def request_for_device(*, smart_account_id: int, udi: DeviceUdi) -> DeviceRequest:
    """The next request of the device; of its software we know as much as its PID says."""
    code = make_request_code(kind=ReservationKind.SPECIFIC, sequence="", udi=udi, software_tag=udi.pid)
    number = Reservation.objects.filter(smart_account=smart_account_id, udi=udi.udi).count() + 1
    return DeviceRequest(code, SoftwareTag(tag=udi.pid, short_hash=code.software_hash), number)


def require_manage(actor: Actor, place: VirtualAccount | Reservation) -> None:
    """Raises `NotFound` or `Forbidden` unless the actor manages the assets there: codes are shown to no one else."""
    virtual_account_id = place.pk if isinstance(place, VirtualAccount) else place.virtual_account_id
    actor.require(
        Permission.MANAGE_ASSETS, smart_account_id=place.smart_account_id, virtual_account_id=virtual_account_id
    )


def require_requested(reservation: Reservation) -> None:
    """Raises `Conflict` (EXPORT_KEY) for what its product asked for by itself."""
    if reservation.kind == ReservationKind.EXPORT:
        raise Conflict(
            f"{reservation.udi} holds an export authorization key. Only the product itself gets it changed; to free the"
            " licenses enter its return code.",
            code="EXPORT_KEY",
        )


def check_account(account: SmartAccount, kind: ReservationKind) -> None:
    """Raises `Conflict` where the operator has not switched this kind of reservation on for the account."""
    if kind is ReservationKind.UNIVERSAL and not account.plr_enabled:
        raise Conflict(
            "Universal (permanent) reservations are not switched on for this Smart Account. Ask the operator.",
            code="PLR_NOT_ENABLED",
            where=WHERE,
        )
    if kind is ReservationKind.SPECIFIC and not account.slr_enabled:
        raise Conflict(
            "License reservation is not switched on for this Smart Account. Ask the operator.",
            code="SLR_NOT_ENABLED",
            where=WHERE,
        )


def find_earlier(*, smart_account_id: int, request: ReadRequest) -> Reservation | None:
    """The reservation that this request code was used for.

    Raises `Conflict` (REQUEST_CODE_SPENT) where that has ended: the product must make a new request code.
    """
    earlier = Reservation.objects.filter(smart_account=smart_account_id, request_code=request.text).first()
    if earlier is not None and earlier.ended_at is not None:
        raise Conflict(
            f"This request code was used before, and that reservation of {earlier.udi} ended on"
            f" {_day(earlier.ended_at)}. Let the product make a new request code.",
            code="REQUEST_CODE_SPENT",
            where=WHERE,
        )
    return earlier


def _unknown_software(code: RequestCode) -> Invalid:
    return Invalid(
        f"The software part A{code.software_hash} is that of no software in the catalog. Compare it with what the"
        " product shows; if it is right, ask the operator to import the software's tag.",
        code="SOFTWARE_UNKNOWN",
        where=WHERE,
        details={"part": Part.SOFTWARE.value, "softwareHash": code.software_hash},
    )


def _find_hashes(short_hash: str) -> list[str]:
    return list(SoftwareTag.objects.filter(short_hash__iexact=short_hash).values_list("short_hash", flat=True)[:100])


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
