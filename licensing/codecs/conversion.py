"""Conversions: the data of a CONVERSION message, and what makes two lines of one product the same. Pure."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from licensing.codecs.device_data import MAX_COUNT
from licensing.codecs.device_message import Tag
from licensing.codecs.refusals import malformed
from licensing.codecs.strict_json import JsonInvalid, decode
from licensing.states.conversions import ConversionType

MOST_LINES: Final = 1000
MOST_PAYLOAD: Final = 64 * 1024


class ConversionLine(Struct, forbid_unknown_fields=True):
    conversion_type: Literal["LICENSE_FILE", "TRUST_BASED"]
    entitlement_tag: Tag
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    payload: Annotated[str, Meta(max_length=MOST_PAYLOAD)] | None = None


class Conversion(Struct, forbid_unknown_fields=True):
    software_tag_identifier: Tag
    conversion_lines: Annotated[list[ConversionLine], Meta(min_length=1, max_length=MOST_LINES)]


@dataclass(frozen=True, slots=True)
class WantedLine:
    """A line to convert. Of one product, two lines with one `key` are the same line, whatever their quantity."""

    kind: ConversionType
    tag: str
    quantity: int
    key: str


_CONVERSION: Final = msgspec.json.Decoder(Conversion)


def parse_conversion(data: Raw) -> tuple[str, list[WantedLine]]:
    """The software tag and the lines. A line that stands twice is MALFORMED: it would have two counts."""
    try:
        conversion = decode(_CONVERSION, bytes(data), root="$.data")
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None
    lines = [
        make_line(line.conversion_type, line.entitlement_tag, line.count, line.payload or "")
        for line in conversion.conversion_lines
    ]
    if (twice := find_twice(lines)) is not None:
        raise malformed("the line stands twice", where=f"$.data.conversion_lines[{twice}]")
    return conversion.software_tag_identifier, lines


def make_line(kind: str, tag: str, quantity: int, payload: str = "") -> WantedLine:
    """Of a license file the text counts and not its white space, so that line ends make no other file of it."""
    content = "".join(payload.split()) if kind == ConversionType.LICENSE_FILE else ""
    key = _digest([kind, tag, hashlib.sha256(content.encode()).hexdigest() if content else ""])
    return WantedLine(ConversionType(kind), tag, quantity, key)


def find_twice(lines: Sequence[WantedLine]) -> int | None:
    """The position of the first line that stood before."""
    seen: set[str] = set()
    for position, line in enumerate(lines):
        if line.key in seen:
            return position
        seen.add(line.key)
    return None


def digest_lines(lines: Iterable[WantedLine]) -> str:
    """Equal for the same lines with the same quantities, in any order."""
    return _digest(sorted([line.key, line.quantity] for line in lines))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
