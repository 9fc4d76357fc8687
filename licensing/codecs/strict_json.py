"""Typed and strict JSON: what two readers could understand differently is refused, with the place."""

import json
from collections import Counter
from typing import Any, Final, NoReturn, TypeVar

import msgspec

T = TypeVar("T")
MAX_DIGITS: Final = 40


class JsonInvalid(Exception):
    """`message` says what, `where` is a path as `$.header.nonce` (None: the text as a whole)."""

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


def check_json(text: str) -> Any:
    """The value of a JSON text, plainly. Raises `JsonInvalid` as `load_json`, and for strings no database can hold."""
    value = load_json(text)
    # JSON allows neither NUL nor half a surrogate pair unescaped, so most texts need no second look.
    if "\\u" in text:
        _check_strings(value)
    return value


def load_json(text: str) -> Any:
    """The value of a JSON text.

    Raises `JsonInvalid` for what is not JSON, for a key twice in one object (one reader takes the first, another the
    last), for numbers of more than 40 digits, NaN and infinities.
    """
    try:
        return _PLAIN.decode(text)
    except RecursionError:
        raise JsonInvalid("nested too deep") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"not JSON: {error.msg}, character {error.pos}") from None


def decode(decoder: msgspec.json.Decoder[T], text: str | bytes, *, root: str = "$") -> T:
    """The typed value; raises `JsonInvalid` with the place below `root`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        path = place.rstrip("`") or "$"
        if "matching regex" in message:  # nobody who makes a product reads ours
            message = "It holds characters that are not allowed here: control characters, or others than ASCII"
        raise JsonInvalid(message, root + path.removeprefix("$")) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise JsonInvalid(f"not JSON: {error}", root) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise JsonInvalid(f"the key {twice[:64]!r} stands twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonInvalid("a number is too long")
    return int(digits)


def _decimal(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise JsonInvalid("a number is too long")
    return float(digits)


def _no_constant(name: str) -> NoReturn:
    raise JsonInvalid(f"{name} is no JSON number")


_PLAIN: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant
)


def _check_strings(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            _check_string(item)
        elif isinstance(item, dict):
            pending += [*item, *item.values()]
        elif isinstance(item, list):
            pending += item


def _check_string(text: str) -> None:
    if "\x00" in text:
        raise JsonInvalid("a string holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JsonInvalid("a string holds half a surrogate pair") from None
