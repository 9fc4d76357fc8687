"""Authorization codes: what a product installs. Pure.

Specific: XML without declaration and white space between elements, elements and order as products know them. The
signature (Base64 of DER, ECDSA P-256 with SHA-256) covers the bytes of the `authorizationCode` element followed
directly by those of the `udi` element, as they stand in the file; so reading is strict, and only what would be written
again byte for byte is read.
Universal: `D` + Base58, left-padded with `1` to 118 characters, of PIID(16) + ms(6) + r‖s(64), in dash groups of 6.
White paper, "License Reservation".
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from cssm.common.errors import Invalid
from licensing.codecs.device_udi import DeviceUdi, parse_udi_text
from licensing.codecs.typed_codes import clean_code, decode_fixed, encode_fixed, in_groups

WHERE: Final = "authorizationCode"
FLAG: Final = "A"
VERSION: Final = "C"
LICENSE_TYPES: Final = frozenset({"PERPETUAL", "TERM", "SUBSCRIPTION", "DEMO", "EXPORT"})
MAX_LENGTH: Final = 768 * 1024
UNIVERSAL_BODY: Final = 118
_MAX_COUNT: Final = 10**18
_FIELDS: Final = (
    "tag",
    "count",
    "startDate",
    "endDate",
    "licenseType",
    "displayName",
    "tagDescription",
    "subscriptionID",
)
_FOREIGN: Final = (
    ("<!--", "a comment"),
    ("<!DOCTYPE", "a document type"),
    ("<!ENTITY", "an entity declaration"),
    ("<![CDATA[", "a CDATA section"),
    ("<?", "a declaration or processing instruction"),
)
_NOT_IN_XML: Final = re.compile(r"[^\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True, slots=True)
class Entitlement:
    """So much of a license; dates are None where there is no start or end."""

    tag: str
    count: int
    license_type: str
    display_name: str
    description: str
    start: date | None = None
    end: date | None = None
    subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class SpecificAuthorization:
    """`timestamp` in ms; `signature` is DER, empty before it was signed."""

    piid: UUID
    timestamp: int
    udi: DeviceUdi
    entitlements: Sequence[Entitlement]
    signature: bytes = b""
    flag: str = FLAG
    version: str = VERSION


@dataclass(frozen=True, slots=True)
class UniversalAuthorization:
    """`signature` is r‖s, 64 bytes."""

    piid: UUID
    timestamp: int
    signature: bytes


def signed_bytes_of(authorization: SpecificAuthorization) -> bytes:
    """What is signed, and what `openssl dgst -sha256 -verify` is given."""
    return (_render_body(authorization) + _element("udi", authorization.udi.text)).encode()


def render_specific(authorization: SpecificAuthorization) -> str:
    signature = base64.b64encode(authorization.signature).decode()
    rest = _element("signature", signature) + _element("udi", authorization.udi.text)
    return f"<specificPLR>{_render_body(authorization)}{rest}</specificPLR>"


def file_name(serial: str) -> str:
    """`AC_<SN>.xml`, with what no file name may hold replaced."""
    return f"AC_{re.sub(r'[^0-9A-Za-z._-]', '_', serial)}.xml"


def universal_signed_bytes(*, piid: UUID, udi: DeviceUdi, timestamp: int) -> bytes:
    return f"{piid}|{udi.text}|{timestamp}".encode("ascii")


def render_universal(authorization: UniversalAuthorization) -> str:
    data = authorization.piid.bytes + authorization.timestamp.to_bytes(6, "big") + authorization.signature
    return in_groups("D" + encode_fixed(data, UNIVERSAL_BODY))


def parse_universal(text: str) -> UniversalAuthorization:
    """Raises `Invalid` (AUTHORIZATION_CODE_INVALID)."""
    code = clean_code(text, where=WHERE).replace("-", "")
    data = decode_fixed(code[1:], 16 + 6 + 64) if len(code) == 1 + UNIVERSAL_BODY else None
    if code[:1] != "D" or data is None:
        raise _wrong("This is not a universal authorization code: D and 118 characters of Base58.")
    return UniversalAuthorization(UUID(bytes=data[:16]), int.from_bytes(data[16:22], "big"), data[22:])


def parse_specific(text: str) -> SpecificAuthorization:
    """Strict: what would not be written again byte for byte is refused; a final line break is not seen.

    Raises `Invalid` (AUTHORIZATION_CODE_INVALID) with what is wrong and at which character. Verifies no signature.
    """
    if len(text) > MAX_LENGTH:
        raise _wrong(f"The file has {len(text):,} characters; an authorization code has at most {MAX_LENGTH:,}.")
    content = text.removeprefix("\ufeff").strip()
    for mark, name in _FOREIGN:
        if mark in content:
            raise _wrong(f"There is {name} in it, at character {content.index(mark) + 1}; none has a place there.")
    scanner = _Scanner(content)
    authorization = _read(scanner)
    if not scanner.is_at_end or render_specific(authorization) != content:
        raise _wrong("It is not written as authorization codes are; use the file as it was downloaded.")
    return authorization


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    @property
    def is_at_end(self) -> bool:
        return self.position == len(self.text)

    def sees(self, literal: str) -> bool:
        return self.text.startswith(literal, self.position)

    def take(self, literal: str) -> None:
        if not self.sees(literal):
            found = self.text[self.position : self.position + 30]
            raise _wrong(f"At character {self.position + 1} should be {literal}, not “{found}”.")
        self.position += len(literal)

    def field(self, name: str) -> str:
        """The text of an element without children."""
        self.take(f"<{name}>")
        end = self.text.find("<", self.position)
        raw = self.text[self.position : end if end >= 0 else len(self.text)]
        self.position += len(raw)
        self.take(f"</{name}>")
        return raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _read(scanner: _Scanner) -> SpecificAuthorization:
    scanner.take("<specificPLR>")
    scanner.take("<authorizationCode>")
    flag, version = scanner.field("flag"), scanner.field("version")
    piid, timestamp = _read_uuid(scanner.field("piid")), _read_number(scanner.field("timestamp"), "timestamp")
    entitlements = []
    scanner.take("<entitlements>")
    while scanner.sees("<entitlement>"):
        scanner.take("<entitlement>")
        entitlements.append(_read_entitlement({name: scanner.field(name) for name in _FIELDS}))
        scanner.take("</entitlement>")
    scanner.take("</entitlements>")
    scanner.take("</authorizationCode>")
    signature, udi = _read_base64(scanner.field("signature")), parse_udi_text(scanner.field("udi"))
    scanner.take("</specificPLR>")
    if udi is None:
        raise _wrong("The udi is not P:<pid>,S:<serial number>.")
    return SpecificAuthorization(piid, timestamp, udi, tuple(entitlements), signature, flag, version)


def _read_entitlement(values: dict[str, str]) -> Entitlement:
    if values["licenseType"] not in LICENSE_TYPES:
        raise _wrong(f'"{values["licenseType"][:40]}" is no licenseType.')
    return Entitlement(
        tag=values["tag"],
        count=_read_number(values["count"], "count"),
        license_type=values["licenseType"],
        display_name=values["displayName"],
        description=values["tagDescription"],
        start=_read_date(values["startDate"]),
        end=_read_date(values["endDate"]),
        subscription_id=values["subscriptionID"],
    )


def _read_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _wrong(f'"{text[:40]}" is no piid.') from None


def _read_number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) or int(text) >= _MAX_COUNT:
        raise _wrong(f'"{text[:40]}" is no {name}.')
    return int(text)


def _read_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise _wrong(f'"{text[:40]}" is no date.') from None


def _read_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("The signature is not Base64.") from None


def _render_body(authorization: SpecificAuthorization) -> str:
    head = (
        _element("flag", authorization.flag)
        + _element("version", authorization.version)
        + _element("piid", str(authorization.piid))
        + _element("timestamp", str(authorization.timestamp))
    )
    entitlements = "".join(_render_entitlement(each) for each in authorization.entitlements)
    return f"<authorizationCode>{head}<entitlements>{entitlements}</entitlements></authorizationCode>"


def _render_entitlement(each: Entitlement) -> str:
    values = (
        each.tag,
        str(each.count),
        each.start.isoformat() if each.start else "",
        each.end.isoformat() if each.end else "",
        each.license_type,
        each.display_name,
        each.description,
        each.subscription_id,
    )
    return f"<entitlement>{''.join(map(_element, _FIELDS, values))}</entitlement>"


def _element(name: str, text: str) -> str:
    """Line breaks, and what XML cannot hold, become blanks: a name from a catalog may hold anything."""
    plain = _NOT_IN_XML.sub(" ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<{name}>{plain}</{name}>"


def _wrong(message: str) -> Invalid:
    return Invalid(message, code="AUTHORIZATION_CODE_INVALID", where=WHERE)
