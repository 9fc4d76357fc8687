"""What a code entitles to: chosen by quantity, drawn on lines that can spare it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from accounts.models import SmartAccount
from cssm.common.errors import Conflict, DomainError, Invalid
from licensing.models import AuthorizationCode, AuthorizedLicense, Hold, License, Pool, PurchaseLine
from licensing.services.ownership.drawing import Draw, draw, rank_of
from licensing.services.pools.timeline import Outlook
from licensing.states import LicenseType, Precedence

MOST_LICENSES: Final = 500
MOST_QUANTITY: Final = 10**12


@dataclass(frozen=True, slots=True)
class Wanted:
    """So much of a license, of one type if that is given; `number` is what errors call it (from 1)."""

    license: License
    quantity: int
    license_type: LicenseType | None = None
    precedence: Precedence = Precedence.LONGEST_TERM_FIRST
    number: int = 1


@dataclass(frozen=True, slots=True)
class Content:
    """So much of a line; `line` is None where the license is billed by usage and so without limit."""

    license: License
    line: PurchaseLine | None
    quantity: int

    @property
    def key(self) -> tuple[int, int | None]:
        return (self.license.pk, None if self.line is None else self.line.pk)

    def as_row(self) -> AuthorizedLicense:
        """Not saved, and of no code yet."""
        line = self.line
        return AuthorizedLicense(
            license=self.license,
            line=line,
            quantity=self.quantity,
            license_type=self.license.default_type if line is None else line.license_type,
            start=None if line is None else line.start,
            end=None if line is None else line.end,
            subscription_id="" if line is None else line.subscription_id,
        )


def check_wanted(account: SmartAccount, licenses: Sequence[Wanted], *, may_be_empty: bool = False) -> None:
    """What can be told without looking at any figure. Raises `Invalid` or `Conflict`; see `refusal`."""
    if not licenses and not may_be_empty:
        raise Invalid("Choose at least one license.", code="NOTHING_TO_RESERVE", where="licenses")
    if len(licenses) > MOST_LICENSES:
        raise Invalid(
            f"A reservation holds at most {MOST_LICENSES} licenses; these are {len(licenses)}.",
            code="TOO_MANY_LINES",
            where="licenses",
        )
    errors = []
    seen: set[tuple[int, LicenseType | None]] = set()
    for each in licenses:
        if isinstance(each.quantity, bool) or not 1 <= each.quantity <= MOST_QUANTITY:
            errors.append(_error(each, "OUT_OF_RANGE", "A quantity is a whole number of 1 or more."))
        elif (each.license.pk, each.license_type) in seen:
            errors.append(_error(each, "DUPLICATE", f"{each.license.display_name} is named twice."))
        elif each.license.export_restricted and account.is_export_restricted:
            message = (
                f"{each.license.display_name} is export-restricted, and this Smart Account may not have such licenses."
            )
            errors.append(_error(each, "EXPORT_RESTRICTED", message))
        seen.add((each.license.pk, each.license_type))
    if errors:
        raise refusal(Invalid, "RESERVATION_INVALID", errors)


def plan_contents(
    *,
    wanted: Sequence[Wanted],
    pools: Mapping[int, Pool],
    outlooks: Mapping[int, Outlook],
    holds: Sequence[Hold] = (),
    now: datetime,
) -> list[Content]:
    """What a code will hold: of what is held already the longest terms first, and the rest drawn on the pools.

    Under the lock of the pools' units; `pools` by license id, `outlooks` by unit, `holds` with their line. Raises
    `Conflict` (RESERVATION_REFUSED, or the code of the only license) with `details["errors"]`.
    """
    contents: dict[tuple[int, int | None], Content] = {}
    drawn: dict[int, list[Draw]] = {}
    errors = []
    for each in wanted:
        try:
            found = _plan(each, pools, outlooks, holds, drawn.setdefault(each.license.pk, []), contents, now)
        except Conflict as conflict:
            errors.append({**_error(each, conflict.code, conflict.message), **conflict.details})
            continue
        for content in found:
            before = contents.get(content.key)
            quantity = content.quantity + (before.quantity if before else 0)
            contents[content.key] = Content(content.license, content.line, quantity)
    if errors:
        raise refusal(Conflict, "RESERVATION_REFUSED", errors)
    return list(contents.values())


def refusal(kind: type[DomainError], code: str, errors: Sequence[Mapping[str, Any]]) -> DomainError:
    """One error for all licenses that cannot be reserved; for a single one, that error itself."""
    first = errors[0]
    if len(errors) == 1:
        code, message = first["code"], first["message"]
    else:
        message = f"{len(errors)} licenses cannot be reserved, so none was: "
        message += " ".join(str(error["message"]) for error in errors[:10])
    return kind(message, code=code, where="licenses", details={"errors": [dict(error) for error in errors]})


def contents_of(code: AuthorizationCode) -> list[Content]:
    """What the code entitles to."""
    rows = code.contents.all()
    return [Content(row.license, row.line, row.quantity) for row in rows]


def summarise(contents: Sequence[Content] | Sequence[Hold] | Sequence[AuthorizedLicense]) -> str:
    """`5 Router, 2 Switch`: by license, for events."""
    sums: dict[str, int] = {}
    for each in contents:
        sums[each.license.display_name] = sums.get(each.license.display_name, 0) + each.quantity
    listed = [f"{quantity} {name}" for name, quantity in list(sums.items())[:10]]
    more = f" and {len(sums) - 10} more" if len(sums) > 10 else ""
    return (", ".join(listed) + more) or "nothing"


def _plan(
    each: Wanted,
    pools: Mapping[int, Pool],
    outlooks: Mapping[int, Outlook],
    holds: Sequence[Hold],
    drawn: list[Draw],
    planned: Mapping[tuple[int, int | None], Content],
    now: datetime,
) -> list[Content]:
    license = each.license
    if license.is_unlimited:
        return [Content(license, None, each.quantity)]
    contents, missing = [], each.quantity
    for line, quantity in _usable(each, holds, planned, now):
        if missing:
            contents.append(Content(license, line, min(missing, quantity)))
            missing -= contents[-1].quantity
    if missing:
        pool = pools.get(license.pk)
        if pool is None:
            details = {"asked": each.quantity, "free": 0}
            raise Conflict(f"There is no {license.display_name} here.", code="NOT_ENOUGH_FREE", details=details)
        draws = draw(
            pool=pool,
            outlook=outlooks[pool.unit_id],
            quantity=missing,
            license_type=each.license_type,
            precedence=each.precedence,
            drawn=drawn,
            now=now,
        )
        drawn.extend(draws)
        contents += [Content(license, one.line, one.quantity) for one in draws]
    return contents


def _usable(
    each: Wanted, holds: Sequence[Hold], planned: Mapping[tuple[int, int | None], Content], now: datetime
) -> list[tuple[PurchaseLine, int]]:
    """What the reservation holds of the license already and has not planned to keep yet, in the order asked for."""
    lines: list[tuple[PurchaseLine, int]] = []
    for hold in holds:
        line = hold.line
        if hold.license_id != each.license.pk or line is None or (line.end is not None and line.end <= now):
            continue
        if each.license_type not in (None, line.license_type):
            continue
        kept = planned.get((hold.license_id, line.pk))
        if left := hold.quantity - (kept.quantity if kept else 0):
            lines.append((line, left))
    return sorted(lines, key=lambda pair: rank_of(pair[0], each.precedence))


def _error(each: Wanted, code: str, message: str) -> dict[str, Any]:
    return {"line": each.number, "field": "quantity", "code": code, "message": message, "tag": each.license.tag}
