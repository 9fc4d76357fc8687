"""Device messages as a license service sees them: requests read strictly, answers composed and signed. Pure.

The text inside the outer form is JSON itself and signed exactly as carried (see `agents.smart_agent.messages`).
"""

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Meta, Raw, Struct

from agents.common.signatures import sign

VERSION: Final = "1.3"
MAX_BODY: Final = 1024 * 1024
MAX_REPORTS_BODY: Final = 16 * 1024 * 1024
"""Of usage and endpoint reports."""
MAX_COUNT: Final = 10**9
LAST_TIMESTAMP: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

_PLAIN: Final = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
Short = Annotated[str, Meta(max_length=64, pattern=_PLAIN)]
Long = Annotated[str, Meta(max_length=255, pattern=_PLAIN)]
Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A(?!\s)[^\x00-\x1f\x7f-\x9f]*(?<!\s)\Z")]
UdiPart = Annotated[str, Meta(max_length=128, pattern=r"\A(?! )[\x20-\x7e]*(?<! )\Z")]


class BadOuterForm(Exception):
    """Not a device message at all: answered by HTTP 400."""


class TooLarge(Exception):
    """More than a message of its type may hold: answered by HTTP 413."""


class Refusal(Exception):
    """Answered with an error code; `data` is the answer's, `later` seconds after which to try again."""

    def __init__(self, code: str, message: str, *, data: dict[str, Any] | None = None, later: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data or {}
        self.later = later


class Signature(Struct, forbid_unknown_fields=True):
    type: Literal["SHA256"]
    value: Annotated[str, Meta(max_length=4096)]


class Envelope(Struct, forbid_unknown_fields=True):
    request: str
    signature: Signature


class Sudi(Struct, forbid_unknown_fields=True):
    """PID and serial number: the files to the portal know products by nothing else."""

    udi_pid: Annotated[UdiPart, Meta(min_length=1)]
    udi_serial_number: Annotated[
        str, Meta(min_length=1, max_length=128, pattern=r"\A(?! )[\x20-\x39\x3b-\x7e]*(?<! )\Z")
    ]
    udi_vid: Short | None = None
    uuid: UdiPart | None = None
    host_identifier: Long | None = None
    mac_address: Short | None = None

    @property
    def udi(self) -> str:
        return f"{self.udi_pid}:{self.udi_serial_number}"


class ConnectInfo(Struct, forbid_unknown_fields=True):
    name: Short
    version: Short
    production: bool
    capabilities: Annotated[list[Short], Meta(max_length=64)]


class Header(Struct, forbid_unknown_fields=True):
    """`sudi` is kept as it came, to be echoed byte for byte."""

    version: Short
    request_type: Short
    timestamp: Annotated[int, Meta(ge=0, le=LAST_TIMESTAMP)]
    nonce: Annotated[str, Meta(min_length=8, max_length=64, pattern=r"\A[\x20-\x7e]*\Z")]
    locale: Short
    sudi: Raw
    connect_info: ConnectInfo
    product_instance_identifier: Short | None = None
    id_cert_serial_number: Short | None = None


class _Inner(Struct, forbid_unknown_fields=True):
    header: Header
    data: Raw


class Request(Struct):
    header: Header
    sudi: Sudi
    data: Raw


class RegistrationData(Struct, forbid_unknown_fields=True, kw_only=True):
    id_token: Annotated[str, Meta(max_length=2048)]
    csr: Annotated[str, Meta(max_length=16384)]
    software_tag_identifier: Tag
    hostname: Long = ""
    ip_address: Short = ""
    mac_address: Short = ""
    ha_peers: Annotated[list[Sudi], Meta(max_length=64)] = []


class RenewalData(Struct, forbid_unknown_fields=True, kw_only=True):
    csr: Annotated[str, Meta(max_length=16384)]
    software_tag_identifier: Tag
    hostname: Long = ""
    ip_address: Short = ""
    mac_address: Short = ""
    ha_peers: Annotated[list[Sudi], Meta(max_length=64)] = []


class AckData(Struct, forbid_unknown_fields=True):
    acknowledges: Literal["REGISTRATION", "RENEWAL"]
    id_cert_serial_number: Short


class Entitlement(Struct, forbid_unknown_fields=True):
    tag: Tag
    count: Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class AuthorizationData(Struct, forbid_unknown_fields=True, kw_only=True):
    entitlements: Annotated[list[Entitlement], Meta(max_length=1000)]
    hostname: Long = ""
    ip_address: Short = ""
    mac_address: Short = ""
    ha_peers: Annotated[list[Sudi], Meta(max_length=64)] = []


class ConversionLine(Struct, forbid_unknown_fields=True):
    conversion_type: Literal["LICENSE_FILE", "TRUST_BASED"]
    entitlement_tag: Tag
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    payload: Annotated[str, Meta(max_length=64 * 1024)] | None = None


class ConversionData(Struct, forbid_unknown_fields=True):
    software_tag_identifier: Tag
    conversion_lines: Annotated[list[ConversionLine], Meta(min_length=1, max_length=1000)]


class ReportSignature(Struct, forbid_unknown_fields=True):
    """`key` is the serial number of an ID certificate for SHA256withRSA, and the maker's matter otherwise."""

    signing_type: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[str, Meta(max_length=8192)]
    key: Annotated[str, Meta(max_length=1024)] = ""
    sudi: Raw = msgspec.field(default_factory=Raw)


class SubmittedReport(Struct, forbid_unknown_fields=True):
    """A usage report; `payload` is the exact text that is signed."""

    payload: str
    signature: ReportSignature
    header: Raw = msgspec.field(default_factory=Raw)


class RumData(Struct, forbid_unknown_fields=True):
    reports: Annotated[list[SubmittedReport], Meta(min_length=1, max_length=1000)]


class ThirdPartyData(Struct, forbid_unknown_fields=True):
    provider: Literal["SPEECHVIEW", "APNS", "PNP"]
    key_name: Annotated[str, Meta(min_length=1, max_length=255)]
    key_id: Long | None = None
    parameters: Annotated[dict[str, str], Meta(max_length=64)] | None = None


class PollData(Struct, forbid_unknown_fields=True):
    poll_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | Annotated[str, Meta(pattern=r"\A[0-9]{1,19}\Z")]


class Pending(dict[str, Any]):
    """The data of an answer that is still to come: OK_POLL."""


class NoData(Struct, forbid_unknown_fields=True):
    pass


Kind = TypeVar("Kind", bound=Struct)


def parse_envelope(body: bytes) -> Envelope:
    """Raises BadOuterForm."""
    try:
        return msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadOuterForm(str(error)) from None


def parse_request(text: str) -> Request:
    """Header and product, the data still unread. Raises Refusal."""
    try:
        inner = msgspec.json.decode(text.encode(), type=_Inner)
        if inner.header.version != VERSION:
            raise Refusal("UNSUPPORTED_VERSION", f"Only version {VERSION} of the protocol is spoken here.")
        sudi = msgspec.json.decode(bytes(inner.header.sudi), type=Sudi)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal("MALFORMED", f"The message does not have the agreed form: {error}.") from None
    return Request(inner.header, sudi, inner.data)


def parse_data(request: Request, kind: type[Kind]) -> Kind:
    """The data of a request. Raises Refusal."""
    try:
        return msgspec.json.decode(bytes(request.data), type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal("MALFORMED", f"The data do not have the agreed form: {error}.") from None


def normalise_serial(serial: str) -> str:
    """Serial numbers are compared without case and leading zeros."""
    return serial.lower().lstrip("0")


def compose(
    *,
    request: Request | None,
    now: int,
    piid: str | None,
    data: dict[str, Any],
    refusal: Refusal | None = None,
    signer: rsa.RSAPrivateKey | None = None,
) -> bytes:
    """The body of an answer. `request` is None where it could not be read: then there is little to echo."""
    header = request.header if request else None
    text = msgspec.json.encode(
        {
            "header": {
                "version": VERSION,
                "request_type": header.request_type if header else None,
                "timestamp": now,
                "nonce": header.nonce if header else None,
                "sudi": header.sudi if header else None,
                "product_instance_identifier": piid,
            },
            "status_code": _status(data, refusal),
            "error_code": refusal.code if refusal else None,
            "status_message": refusal.message if refusal else "",
            "retry_time_seconds": refusal.later if refusal else 0,
            "data": data,
        }
    ).decode()
    sealed = {"type": "SHA256", "value": sign(signer, text.encode())} if signer else None
    return msgspec.json.encode({"response": text, "signature": sealed})


def _status(data: dict[str, Any], refusal: Refusal | None) -> str:
    if refusal is not None:
        return "OK_TRY_AGAIN" if refusal.later else "FAILED"
    return "OK_POLL" if isinstance(data, Pending) else "OK"
