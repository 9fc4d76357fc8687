"""Lines of conversions as programs and people give them: decoded, the license of a license file found in its text."""

import base64
import binascii
import re
from typing import Final

from cssm.common.errors import Invalid
from licensing.codecs.conversion import MOST_PAYLOAD, WantedLine, make_line
from licensing.codecs.device_data import MAX_COUNT
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.states.conversions import ConversionType

PLAIN: Final = frozenset({"", "NONE", "PLAIN", "TEXT", "ASCII", "UTF8", "UTF-8"})
MOST_WORDS: Final = 5_000
TAG_LIMIT: Final = 255
_WORD: Final = re.compile(r"[^\s\"'=<>;]+")


def read_line(*, number: int, kind: str, encoding: str, text: str, count: int) -> WantedLine:
    """The line of a program: of TRUST_BASED `text` is the entitlement tag, of LICENSE_FILE the file, which names it.

    Raises `Invalid` that says what is wrong with line `number`.
    """
    known = {each.value: each for each in ConversionType}.get(kind.strip().upper())
    if known is None:
        raise wrong(number, "conversionType", f"conversionType is {' or '.join(ConversionType)}.")
    content = _decode(number, encoding.strip().upper(), text)
    if known is ConversionType.TRUST_BASED:
        return check_line(number, known, content.strip(), count)
    return check_line(number, known, _find_tag(number, content), count, content)


def check_line(number: int, kind: ConversionType, tag: str, count: int, payload: str = "") -> WantedLine:
    """Raises `Invalid` for what no product could send either."""
    if not 1 <= count <= MAX_COUNT:
        raise wrong(number, "conversionCount", f"the count is from 1 to {MAX_COUNT}.")
    if not tag or len(tag) > TAG_LIMIT or not tag.isprintable():
        raise wrong(number, "entitlementTag", f"an entitlement tag has 1 to {TAG_LIMIT} printable characters.")
    if len(payload) > MOST_PAYLOAD:
        raise wrong(number, "conversionString", f"a license file has at most {MOST_PAYLOAD // 1024} KiB.")
    return make_line(kind, tag, count, payload)


def wrong(number: int, where: str, message: str) -> Invalid:
    return Invalid(f"Line {number}: {message}", code="LINES_INVALID", where=where)


def _decode(number: int, encoding: str, text: str) -> str:
    if encoding in PLAIN:
        return text
    if encoding != "BASE64":
        raise wrong(number, "conversionEncodingType", "conversionEncodingType is BASE64, or NONE.")
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        raise wrong(number, "conversionString", "this is not Base64 of a text in UTF-8.") from None


def _find_tag(number: int, text: str) -> str:
    """Of the words of a license file the one that the catalog has as an entitlement tag."""
    words = {word for word in _WORD.findall(text)[:MOST_WORDS] if len(word) <= TAG_LIMIT}
    found = sorted(licenses_by_tag(words | {word.strip(".,:()[]{}") for word in words}))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(found[:3])
        raise wrong(number, "conversionString", f"the license file names several licenses ({names}); give one a line.")
    raise wrong(number, "conversionString", "the license file names no entitlement tag that the catalog has.")
