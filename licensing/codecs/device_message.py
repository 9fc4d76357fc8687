"""Messages of devices: the outer form, and the header inside it. Strict, size-limited, pure.

The outer form carries a text and a signature over that text's UTF-8 bytes exactly as carried; the text is itself JSON:

    {"request": "<text>", "signature": {"type": "SHA256", "value": "<Base64>"}}
    text: {"header": {…}, "data": {…}}
"""

import base64
import binascii
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from licensing.codecs.refusals import Refusal, RefusalCode, malformed
from licensing.codecs.strict_json import JsonInvalid, check_json, decode, load_json

MAX_BODY: Final = 1024 * 1024
MAX_REPORT_BODY: Final = 16 * 1024 * 1024
REPORT_TYPES: Final = ("RUM_REPORT", "ENDPOINT_REPORT")
"""Messages that carry what a product has gathered, and so may be longer than others."""

VERSION: Final = "1.3"
LAST_TIMESTAMP: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

PLAIN: Final = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
PLAIN_TRIMMED: Final = r"\A(?!\s)[^\x00-\x1f\x7f-\x9f]*(?<!\s)\Z"
ASCII_TRIMMED: Final = r"\A(?! )[\x20-\x7e]*(?<! )\Z"
"""For what becomes a common name, whose 64 characters are bytes to some readers of certificates."""


Short = Annotated[str, Meta(max_length=64, pattern=PLAIN)]
Long = Annotated[str, Meta(max_length=255, pattern=PLAIN)]
Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TRIMMED)]
UdiPart = Annotated[str, Meta(max_length=128, pattern=ASCII_TRIMMED)]
Uuid = Annotated[str, Meta(max_length=64, pattern=ASCII_TRIMMED)]
Nonce = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"\A[\x20-\x7e]*\Z")]
Milliseconds = Annotated[int, Meta(ge=0, le=LAST_TIMESTAMP)]


class OuterFormInvalid(Exception):
    """Not a device message at all: answered by HTTP 400."""

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


class Signature(Struct, forbid_unknown_fields=True):
    type: Literal["SHA256"]
    value: Annotated[str, Meta(max_length=4096)]


class Envelope(Struct, forbid_unknown_fields=True):
    """`request` is signed as it stands."""

    request: str
    signature: Signature

    @property
    def signed_bytes(self) -> bytes:
        return self.request.encode()

    @property
    def signature_bytes(self) -> bytes:
        """Empty, which verifies under no key, where the value is not Base64, or not as it is written: bits that
        nobody reads are no place for another message.
        """
        try:
            signature = base64.b64decode(self.signature.value, validate=True)
        except (binascii.Error, ValueError):
            return b""
        return signature if base64.b64encode(signature).decode() == self.signature.value else b""


class Sudi(Struct, forbid_unknown_fields=True):
    """What identifies a product: PID and serial number, or the uuid of software. Null is the same as absent."""

    udi_pid: UdiPart | None = None
    udi_serial_number: UdiPart | None = None
    udi_vid: Short | None = None
    uuid: Uuid | None = None
    host_identifier: Long | None = None
    mac_address: Short | None = None

    @property
    def udi(self) -> str:
        """`PID:SN` where there is a serial number, else the uuid, whole."""
        return f"{self.udi_pid}:{self.udi_serial_number}" if self.udi_serial_number else (self.uuid or "")

    def check(self, where: str) -> None:
        """The last colon parts PID and serial number, so neither a serial number nor a uuid holds one."""
        if self.udi_serial_number:
            if not self.udi_pid:
                raise malformed("a serial number needs its udi_pid", where=f"{where}.udi_pid")
            if ":" in self.udi_serial_number:
                raise malformed("a serial number holds no colon", where=f"{where}.udi_serial_number")
        elif not self.uuid:
            raise malformed("give udi_pid and udi_serial_number, or a uuid", where=where)
        if self.uuid and ":" in self.uuid:
            raise malformed("a uuid holds no colon", where=f"{where}.uuid")


class ConnectInfo(Struct, forbid_unknown_fields=True):
    name: Short
    version: Short
    production: bool
    capabilities: Annotated[list[Short], Meta(max_length=64)]


class Header(Struct, forbid_unknown_fields=True):
    """`sudi` is kept as it came, to be echoed byte for byte."""

    version: Short
    request_type: Short
    timestamp: Milliseconds
    nonce: Nonce
    locale: Short
    sudi: Raw
    connect_info: ConnectInfo
    product_instance_identifier: Short | None = None
    id_cert_serial_number: Short | None = None


class Request(Struct):
    """A request whose header is in order; its data is read by whoever knows its type."""

    header: Header
    sudi: Sudi
    data: Raw

    @property
    def speaks_our_version(self) -> bool:
        return self.header.version == VERSION


class _Inner(Struct, forbid_unknown_fields=True):
    header: Raw
    data: Raw


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_INNER: Final = msgspec.json.Decoder(_Inner)
_HEADER: Final = msgspec.json.Decoder(Header)
_SUDI: Final = msgspec.json.Decoder(Sudi)


def body_limit(body: bytes) -> int:
    """How long this body may be: at a glance, before any of it is parsed."""
    return MAX_REPORT_BODY if any(name.encode() in body for name in REPORT_TYPES) else MAX_BODY


def parse_envelope(body: bytes) -> Envelope:
    """The outer form. Raises `OuterFormInvalid` for anything else, also above 1 MiB (reports: 16 MiB)."""
    limit = body_limit(body)
    if len(body) > limit:
        raise OuterFormInvalid(f"longer than {limit} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise OuterFormInvalid(f"not UTF-8: byte {error.start}") from None
    try:
        envelope = decode(_ENVELOPE, body)
        load_json(text)
    except JsonInvalid as error:
        raise OuterFormInvalid(error.message, error.where) from None
    return envelope


def parse_request(text: str) -> Request:
    """The header and, unread, the data. Raises `Refusal`: MALFORMED with the place.

    Another version may have another shape, so one that cannot be read is UNSUPPORTED_VERSION. One that can has
    `speaks_our_version` false: its signature may still verify, and then the refusal is signed.
    """
    plain: Any = None
    try:
        plain = check_json(text)
        inner = decode(_INNER, text)
        header = decode(_HEADER, bytes(inner.header), root="$.header")
        sudi = decode(_SUDI, bytes(header.sudi), root="$.header.sudi")
    except JsonInvalid as error:
        version = _find_version(plain)
        if version not in (None, VERSION):
            raise unsupported_version(version or "") from None
        raise malformed(error.message, where=error.where) from None
    sudi.check("$.header.sudi")
    if len(text) > MAX_BODY and header.request_type not in REPORT_TYPES:
        raise malformed(f"a message of this type has at most {MAX_BODY} bytes", where="$")
    return Request(header, sudi, inner.data)


def unsupported_version(version: str) -> Refusal:
    message = f"Version {version[:16]!r} of the protocol is not spoken here, only {VERSION}."
    return Refusal(RefusalCode.UNSUPPORTED_VERSION, message, where="$.header.version")


def _find_version(plain: Any) -> str | None:
    header = plain.get("header") if isinstance(plain, dict) else None
    version = header.get("version") if isinstance(header, dict) else None
    return version if isinstance(version, str) else None


def normalise_serial(serial: str) -> str:
    """A certificate's serial number as it is stored: lower-case hex without leading zeros."""
    return serial.lower().lstrip("0")
