"""The payload of a usage report: what a product used of one license, measurement after measurement.

The text is what is signed and kept, so reading it never rewrites it. Two versions are in the field:

    1    {"asset_identification": {"asset", "instance", "signature"}, "meta": {"entitlement_tag", "report_id", …},
          "measurements": […]}
    2.0  {"version": "2.0", "asset_identification": {"report_id", "asset", "instance"}, "signature", "meta",
          "measurements": […]}

The standard lets makers add names of their own: those stay in the text and mean nothing here. A name that is known must
hold what it should, no name may stand twice, and there is no NaN.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from licensing.codecs.device_message import Long, Short, Sudi, Tag
from licensing.codecs.refusals import Refusal, RefusalCode, malformed
from licensing.codecs.strict_json import JsonInvalid, check_json, decode

MAX_PAYLOAD: Final = 1024 * 1024
MAX_MEASUREMENTS: Final = 5000
MAX_REPORT_ID: Final = 2**63 - 1
MAX_COUNT: Final = 1_000_000_000
MAX_SPAN: Final = 366 * 86_400
"""Seconds from the first start to the last end: a report of centuries is a broken clock, and would fill every day."""

LAST_SECOND: Final = 253_402_300_799
ENTITLEMENT, COUNT = "ENTITLEMENT", "COUNT"
STANDBY: Final = "standby"
VERSIONS: Final = {None: "1", "1.0": "1", "1": "1", "2.0": "2.0"}

_COUNT: Final = re.compile(r"[0-9]{1,10}", re.ASCII)

Seconds = Annotated[int, Meta(ge=0, le=LAST_SECOND)]
ReportId = Annotated[int, Meta(ge=0, le=MAX_REPORT_ID)]


class ReportedSudi(Sudi, forbid_unknown_fields=False):
    """As in a message, but with whatever else the maker puts there."""


class _Asset(Struct):
    name: Tag


class _Instance(Struct):
    sudi: ReportedSudi


class BuiltinSignature(Struct):
    """What a product makes by means of its own, which only its maker can check."""

    signing_type: Short = ""
    key: Long = ""
    value: Annotated[str, Meta(max_length=8192)] = ""


class _Asset1(Struct):
    asset: _Asset
    instance: _Instance
    report_id: ReportId | None = None
    signature: BuiltinSignature | None = None


class _Peer(Struct):
    sudi: ReportedSudi
    role: Short = ""


class _Meta(Struct):
    entitlement_tag: Tag
    report_id: ReportId | None = None
    software_version: Short = ""
    ha_udi: Annotated[list[_Peer], Meta(max_length=64)] = msgspec.field(default_factory=list)


class _MeasurementMeta(Struct):
    termination_reason: Short = ""
    close_reason: Short = ""


class _Value(Struct):
    type: Short
    value: Annotated[str, Meta(max_length=64)] | int


class _Measurement(Struct):
    start_time: Seconds
    end_time: Seconds
    metric_name: Short
    value: _Value
    log_time: Seconds | None = None
    sample_interval: Annotated[int, Meta(ge=0, le=LAST_SECOND)] | None = None
    num_samples: Annotated[int, Meta(ge=0, le=MAX_REPORT_ID)] | None = None
    meta: _MeasurementMeta = msgspec.field(default_factory=_MeasurementMeta)


class _Payload(Struct):
    asset_identification: _Asset1
    meta: _Meta
    measurements: Annotated[list[_Measurement], Meta(min_length=1, max_length=MAX_MEASUREMENTS)]
    version: Short | None = None
    signature: BuiltinSignature | None = None


_PAYLOAD: Final = msgspec.json.Decoder(_Payload)


@dataclass(frozen=True, slots=True)
class Measurement:
    """From `start` until just before `end`, in Unix seconds. `quantity` is None where it is no count of licenses."""

    start: int
    end: int
    quantity: int | None
    samples: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class UsagePayload:
    """`sudi` as it was reported; `is_standby` where the product says that a peer was at work and not itself."""

    text: str
    version: str
    report_id: int
    sudi: Sudi
    software_tag: str
    software_version: str
    entitlement_tag: str
    is_standby: bool
    is_closed: bool
    measurements: Sequence[Measurement]
    builtin: BuiltinSignature | None

    @property
    def udi(self) -> str:
        return self.sudi.udi

    @property
    def start(self) -> int:
        return min(one.start for one in self.measurements)

    @property
    def end(self) -> int:
        return max(one.end for one in self.measurements)

    @property
    def digest(self) -> str:
        """SHA-256 of the exact text: what makes two reports the same."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def parse_payload(text: str, *, where: str = "payload") -> UsagePayload:
    """Raises `Refusal`: MALFORMED with the place, UNSUPPORTED_VERSION."""
    if len(text) > MAX_PAYLOAD:
        raise malformed(f"a payload has at most {MAX_PAYLOAD} characters", where=where)
    try:
        plain = check_json(text)
        _check_version(plain, where)
        payload = decode(_PAYLOAD, text, root=where)
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where or where) from None
    asset = payload.asset_identification
    sudi = asset.instance.sudi
    sudi.check(f"{where}.asset_identification.instance.sudi")
    ids = {each for each in (asset.report_id, payload.meta.report_id) if each is not None}
    if len(ids) != 1:
        raise malformed("a report has one report_id", where=f"{where}.report_id")
    parsed = UsagePayload(
        text=text,
        version=VERSIONS[payload.version],
        report_id=ids.pop(),
        sudi=sudi,
        software_tag=asset.asset.name,
        software_version=payload.meta.software_version,
        entitlement_tag=payload.meta.entitlement_tag,
        is_standby=any(
            peer.sudi.udi == sudi.udi and peer.role.strip().lower() == STANDBY for peer in payload.meta.ha_udi
        ),
        is_closed=any(one.meta.close_reason for one in payload.measurements),
        measurements=[_read(one, f"{where}.measurements[{n}]") for n, one in enumerate(payload.measurements)],
        builtin=payload.signature or asset.signature,
    )
    if parsed.end - parsed.start > MAX_SPAN:
        raise malformed(f"a report covers at most {MAX_SPAN // 86_400} days", where=f"{where}.measurements")
    return parsed


def _check_version(plain: Any, where: str) -> None:
    """Another version may have another shape, so this is said before what is missing."""
    version = plain.get("version") if isinstance(plain, dict) else None
    if isinstance(version, str) and version not in VERSIONS:
        message = f"Version {version[:16]!r} of a usage report is not known here, only 1 and 2.0."
        raise Refusal(RefusalCode.UNSUPPORTED_VERSION, message, where=f"{where}.version")


def _read(one: _Measurement, where: str) -> Measurement:
    if one.end_time < one.start_time:
        raise malformed("a measurement ends before it starts", where=f"{where}.end_time")
    counts = one.metric_name == ENTITLEMENT and one.value.type == COUNT
    return Measurement(
        start=one.start_time,
        end=one.end_time,
        quantity=_read_count(one.value.value, f"{where}.value.value") if counts else None,
        samples=one.num_samples,
        reason=one.meta.close_reason or one.meta.termination_reason,
    )


def _read_count(value: str | int, where: str) -> int:
    """A number or numeric text: the samples carry text."""
    if isinstance(value, str) and not _COUNT.fullmatch(value):
        raise malformed("a count is a whole number", where=where)
    if not 0 <= int(value) <= MAX_COUNT:
        raise malformed(f"a count is from 0 to {MAX_COUNT}", where=where)
    return int(value)
