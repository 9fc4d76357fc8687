"""Codes that people copy and type: what e-mail programs do to them is undone, what cannot be one is named. Pure."""

import hmac
import unicodedata
from typing import Final

from cssm.common.errors import Invalid

BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Bitcoin's alphabet: without 0, O, I and l."""

_DASHES: Final = frozenset("\u2043\u2212")  # hyphen bullet and minus sign are no dashes to Unicode
_LOOK_ALIKE: Final = str.maketrans("0il", "o11")
LONGEST: Final = 1000


def clean_code(text: str, *, where: str, longest: int = LONGEST) -> str:
    """The code without blanks, line breaks and invisible characters, with plain dashes.

    Raises `Invalid`: CODE_MISSING, CODE_TOO_LONG, CODE_FOREIGN_CHARACTER with the first character that is none of
    printable ASCII. `where` is the field it came from.
    """
    if len(text) > 4 * longest:
        raise _too_long(len(text), longest, where)
    kept: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or category in {"Cf", "Cc", "Zs"}:
            continue
        kept.append("-" if category == "Pd" or character in _DASHES else character)
    code = "".join(kept)
    if not code:
        raise Invalid("The code is missing.", code="CODE_MISSING", where=where)
    if len(code) > longest:
        raise _too_long(len(code), longest, where)
    for position, character in enumerate(code, start=1):
        if not character.isascii():
            name = unicodedata.name(character, "no name")
            raise Invalid(
                f"Character {position} of the code, “{character}” ({name}), is none that a code has, however it looks."
                " Copy the code again from where the product shows it.",
                code="CODE_FOREIGN_CHARACTER",
                where=where,
                details={"position": position},
            )
    return code


def in_groups(code: str, size: int = 6) -> str:
    """In groups of six characters with dashes between."""
    return "-".join(code[start : start + size] for start in range(0, len(code), size))


def encode_fixed(data: bytes, width: int) -> str:
    """Base58 of the whole as one big-endian number, left-padded with `1` to `width` characters."""
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(BASE58[digit])
    return "".join(reversed(digits)).rjust(width, "1")


def decode_fixed(text: str, size: int) -> bytes | None:
    """The `size` bytes of `encode_fixed`; None for a character that is not of the alphabet, or a value too large."""
    number = 0
    for character in text:
        digit = BASE58.find(character)
        if digit < 0:
            return None
        number = number * 58 + digit
    return number.to_bytes(size, "big") if number.bit_length() <= 8 * size else None


def is_same_code(typed: str, expected: str) -> bool:
    """Whether a person who was to copy `expected` typed this: dashes, case, and 0 O and 1 I l are not told apart.

    For comparing with a code that is known, where nothing has to be guessed. In constant time.
    """
    return hmac.compare_digest(_fold(typed), _fold(expected))


def _fold(code: str) -> bytes:
    return code.replace("-", "").casefold().translate(_LOOK_ALIKE).encode()


def _too_long(length: int, longest: int, where: str) -> Invalid:
    return Invalid(
        f"The code has {length:,} characters; no code has more than {longest:,}. Paste the code alone.",
        code="CODE_TOO_LONG",
        where=where,
    )
