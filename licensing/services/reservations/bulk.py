"""Many request, confirmation or return codes at once: each row by itself, with its own result."""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import DomainError, Invalid
from licensing.models import Reservation
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.issuing import Issued
from licensing.services.reservations.requests import require_manage
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.returns import find_by_return_code, return_reservation

MOST_ROWS: Final = 1000
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row:
    """A request code with what to reserve for it; `error` is what was wrong with it when it was read."""

    request_code: str
    licenses: Sequence[Wanted] = ()
    error: DomainError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row, `number` from 1: either what was issued or returned, or why not."""

    number: int
    text: str
    issued: Issued | None = None
    reservation: Reservation | None = None
    error: DomainError | None = None


def reserve_many(*, actor: Actor, virtual_account: VirtualAccount, rows: Sequence[Row], now: datetime) -> list[Outcome]:
    """`reserve_licenses` for each row; what is wrong with one leaves the others be.

    Raises `Invalid` for no rows or more than 1,000, `NotFound` or `Forbidden` for the Virtual Account.
    """
    require_manage(actor, virtual_account)
    _check_count(len(rows))

    def reserve(row: Row) -> Issued:
        if row.error is not None:
            raise row.error
        return reserve_licenses(
            actor=actor,
            virtual_account=virtual_account,
            request_code=row.request_code,
            licenses=row.licenses,
            now=now,
        )

    outcomes = []
    for number, row in enumerate(rows, start=1):
        issued, error = _try(reserve, row)
        found = issued.reservation if issued else None
        outcomes.append(Outcome(number, row.request_code, issued, found, error))
    return outcomes


def return_many(
    *, actor: Actor, virtual_account: VirtualAccount, return_codes: Sequence[str], now: datetime
) -> list[Outcome]:
    """`return_reservation` for the product of each code; raises as `reserve_many`."""
    require_manage(actor, virtual_account)
    _check_count(len(return_codes))

    def give_back(code: str) -> Reservation:
        found = find_by_return_code(actor=actor, virtual_account=virtual_account, return_code=code)
        return return_reservation(actor=actor, reservation=found, return_code=code, now=now)

    outcomes = []
    for number, code in enumerate(return_codes, start=1):
        returned, error = _try(give_back, code)
        outcomes.append(Outcome(number, code, None, returned, error))
    return outcomes


def zip_codes(issued: Sequence[Issued]) -> bytes:
    """The codes as one ZIP, each as `AC_<SN>.xml`; of equal names the later ones are numbered."""
    names: dict[str, int] = {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in issued:
            name = each.file_name
            names[name] = names.get(name, 0) + 1
            if names[name] > 1:
                name = f"{name.removesuffix('.xml')}_{names[name]}.xml"
            # A date of its own would make two downloads of the same codes differ.
            archive.writestr(zipfile.ZipInfo(name), each.text)
    return buffer.getvalue()


def _try(work: Callable[[T], R], row: T) -> tuple[R | None, DomainError | None]:
    try:
        return work(row), None
    except DomainError as error:
        return None, error


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_ROWS:
        raise Invalid(
            f"Give 1 to {MOST_ROWS:,} codes; these are {count:,}. Split them.",
            code="TOO_MANY_LINES" if count else "NOTHING_TO_RESERVE",
        )
