"""The lines of an order as they come from JSON: strict, every error with its line and field. Pure.

A line: `entitlementTag`, `quantity`, and optionally `licenseType`, `startDate`, `endDate`, `subscriptionId`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from licensing.states import LicenseType

MOST_LINES: Final = 1_000
MOST_ERRORS: Final = 100
MOST_QUANTITY: Final = 1_000_000_000
TAG_LIMIT: Final = 255
SUBSCRIPTION_LIMIT: Final = 100
FIELDS: Final = ("entitlementTag", "quantity", "licenseType", "startDate", "endDate", "subscriptionId")
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong where. `line` counts from 1 and is 0 for the order as a whole; `field` is empty for the line."""

    line: int
    field: str
    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line as given: what it leaves out (None) the catalog and the moment of delivery decide."""

    tag: str
    quantity: int
    license_type: LicenseType | None
    start: datetime | None
    end: datetime | None
    subscription_id: str

    def as_dict(self) -> dict[str, Any]:
        """The line's content in a form that is equal for equal lines."""
        return {
            "tag": self.tag,
            "quantity": self.quantity,
            "license_type": self.license_type,
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "subscription_id": self.subscription_id,
        }


class _Refused(Exception):
    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code, self.message = field, code, message


def read_lines(lines: object) -> tuple[list[OrderLine], list[LineError]]:
    """The lines and the errors; at most 100 errors are listed. Lines keep their order only where there is no error."""
    if not isinstance(lines, Sequence) or isinstance(lines, str | bytes) or not lines:
        return [], [LineError(0, "lines", "WRONG_TYPE", "An order has a list of one or more lines.")]
    if len(lines) > MOST_LINES:
        return [], [LineError(0, "lines", "TOO_LARGE", f"An order has at most {MOST_LINES} lines.")]
    read: list[OrderLine] = []
    errors: list[LineError] = []
    for number, line in enumerate(lines, start=1):
        try:
            read.append(_read_line(line))
        except _Refused as refused:
            errors.append(LineError(number, refused.field, refused.code, refused.message))
    return read, errors[:MOST_ERRORS]


def check_term(license_type: LicenseType, start: datetime, end: datetime | None) -> tuple[str, str] | None:
    """(code, message) of what is wrong with the dates of a line, once its type and start are known. About `endDate`."""
    if end is None:
        # A subscription may run until it is cancelled: only a perpetual license says anything about its end.
        return None
    if license_type is LicenseType.PERPETUAL:
        return "END_NOT_ALLOWED", "A perpetual license has no end date."
    if end <= start:
        return "END_BEFORE_START", "The end must be after the start."
    return None


def _read_line(line: object) -> OrderLine:
    if not isinstance(line, Mapping):
        raise _Refused("", "WRONG_TYPE", "A line is an object.")
    for name in line:
        if name not in FIELDS:
            raise _Refused(str(name)[:100], "UNKNOWN_FIELD", f"A line has the fields {', '.join(FIELDS)}.")
    return OrderLine(
        tag=_read_text(line, "entitlementTag", TAG_LIMIT, required=True),
        quantity=_read_quantity(line.get("quantity")),
        license_type=_read_license_type(_read_text(line, "licenseType", 20)),
        start=_read_moment(line, "startDate"),
        end=_read_moment(line, "endDate"),
        subscription_id=_read_text(line, "subscriptionId", SUBSCRIPTION_LIMIT),
    )


def _read_text(line: Mapping[Any, Any], name: str, limit: int, *, required: bool = False) -> str:
    value = line.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise _Refused(name, "WRONG_TYPE", f"{name} is a text.")
    cleaned = value.strip(" ")
    if required and not cleaned:
        raise _Refused(name, "MISSING_FIELD", f"{name} is needed.")
    if len(cleaned) > limit:
        raise _Refused(name, "TOO_LONG", f"{name} has at most {limit} characters.")
    if not cleaned.isprintable():
        raise _Refused(name, "FORBIDDEN_CHARACTER", "NUL, line breaks and other control characters are not allowed.")
    return cleaned


def _read_quantity(value: object) -> int:
    """A whole number, as a number or as its digits."""
    if value is None:
        raise _Refused("quantity", "MISSING_FIELD", "quantity is needed.")
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Refused("quantity", "QUANTITY_INVALID", "quantity is a whole number.")
    if not 1 <= value <= MOST_QUANTITY:
        raise _Refused("quantity", "QUANTITY_INVALID", f"quantity is from 1 to {MOST_QUANTITY:,}.")
    return value


def _read_license_type(text: str) -> LicenseType | None:
    if not text:
        return None
    try:
        return LicenseType(text.lower())
    except ValueError:
        kinds = ", ".join(kind.name for kind in LicenseType)
        raise _Refused("licenseType", "LICENSE_TYPE_INVALID", f"licenseType is one of {kinds}.") from None


def _read_moment(line: Mapping[Any, Any], name: str) -> datetime | None:
    """ISO 8601: a date means 00:00 UTC of that day; a time needs its offset."""
    text = _read_text(line, name, 40)
    if not text:
        return None
    try:
        if _DATE.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        elif _DATETIME.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            if moment.tzinfo is None:
                raise _Refused(name, "DATE_INVALID", f'{name} lacks its offset from UTC: write "Z" or "+01:00" behind.')
            moment = moment.astimezone(UTC)
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise _Refused(name, "DATE_INVALID", f"{name} is an ISO 8601 date or date with time.") from None
    if not EARLIEST <= moment < LATEST:
        raise _Refused(name, "DATE_INVALID", f"{name} is in the years 1970 to 9998.")
    return moment
