"""The lines of a transfer as programs and people write them: strict, every error with its line and field. Pure.

A line: `license` (its name) or `entitlementTag`, `quantity`, `targetVirtualAccount`, and optionally `licenseType` and
`precedence`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from licensing.states import LicenseType, Precedence

MOST_LINES: Final = 998
MOST_QUANTITY: Final = 10**12
NAME_LIMIT: Final = 255
FIELDS: Final = ("license", "entitlementTag", "licenseType", "quantity", "targetVirtualAccount", "precedence")

_DIGITS: Final = re.compile(r"[0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong where; `field` is empty for the line as a whole."""

    line: int
    field: str
    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A line as asked for, its names not looked up yet; `tag` or `license` is empty. Without a type any will do."""

    line: int
    license: str
    tag: str
    quantity: int
    target: str
    license_type: LicenseType | None = None
    precedence: Precedence = Precedence.LONGEST_TERM_FIRST


class _Refused(Exception):
    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.error = (field, code, message)


def read_lines(lines: Sequence[object]) -> tuple[list[TransferRequest], list[LineError]]:
    """The lines of a JSON list and what is wrong with the others, numbered from 1. The caller limits their number."""
    requests: list[TransferRequest] = []
    errors: list[LineError] = []
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, Mapping):
            errors.append(LineError(number, "", "WRONG_TYPE", "A line is an object."))
            continue
        unknown = [str(name)[:100] for name in line if name not in FIELDS]
        errors += [LineError(number, name, "UNKNOWN_FIELD", "There is no such field.") for name in unknown]
        request, wrong = read_line(number, line)
        errors += wrong
        if request is not None and not unknown:
            requests.append(request)
    return requests, errors


def read_line(number: int, values: Mapping[str, object]) -> tuple[TransferRequest | None, list[LineError]]:
    """One line, or everything that is wrong with it."""
    errors: list[LineError] = []

    def attempt(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except _Refused as refused:
            errors.append(LineError(number, *refused.error))
            return None

    name = attempt(_read_text, values, "license")
    tag = attempt(_read_text, values, "entitlementTag")
    if not errors and not name and not tag:
        errors.append(LineError(number, "license", "MISSING", "Give the license by its name or its entitlementTag."))
    license_type = attempt(_read_type, values)
    quantity = attempt(_read_quantity, values)
    target = attempt(_read_text, values, "targetVirtualAccount")
    if target == "":
        errors.append(LineError(number, "targetVirtualAccount", "MISSING", "Give the Virtual Account it goes to."))
    precedence = attempt(_read_precedence, values)
    if errors:
        return None, errors
    return TransferRequest(number, "" if tag else name, tag, quantity, target, license_type, precedence), []


def _read_text(values: Mapping[str, object], field: str) -> str:
    value = values.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Refused(field, "WRONG_TYPE", "This is a text.")
    text = value.strip()
    if len(text) > NAME_LIMIT:
        raise _Refused(field, "TOO_LONG", f"This has at most {NAME_LIMIT} characters.")
    return text


def _read_quantity(values: Mapping[str, object]) -> int:
    """A whole number, as number or text: programs in the field send both."""
    value = values.get("quantity")
    if value is None or value == "":
        raise _Refused("quantity", "MISSING", "Give the quantity.")
    if isinstance(value, float) and value.is_integer() and abs(value) <= MOST_QUANTITY:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _Refused("quantity", "WRONG_TYPE", "A quantity is a whole number.")
    text = str(value).strip()
    if not _DIGITS.fullmatch(text.removeprefix("-")):
        raise _Refused("quantity", "WRONG_TYPE", "A quantity is a whole number, in digits alone.")
    if not 1 <= int(text) <= MOST_QUANTITY:
        raise _Refused("quantity", "OUT_OF_RANGE", f"A quantity is from 1 to {MOST_QUANTITY:,}.")
    return int(text)


def _read_type(values: Mapping[str, object]) -> LicenseType | None:
    text = _read_text(values, "licenseType")
    try:
        return LicenseType(text.lower()) if text else None
    except ValueError:
        kinds = ", ".join(kind.name for kind in LicenseType)
        message = f"A license type is one of {kinds}, or empty for any."
        raise _Refused("licenseType", "LICENSE_TYPE_INVALID", message) from None


def _read_precedence(values: Mapping[str, object]) -> Precedence:
    text = _read_text(values, "precedence")
    try:
        return Precedence(re.sub(r"[\s_-]+", "_", text).upper()) if text else Precedence.LONGEST_TERM_FIRST
    except ValueError:
        kinds = " or ".join(Precedence)
        raise _Refused("precedence", "PRECEDENCE_INVALID", f"The precedence is {kinds}.") from None
