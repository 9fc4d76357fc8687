"""What must be known of a usage report to carry it: its number and its product. The rest is the portal's business."""

import sqlite3
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from agents.onprem.documents.writer import MAX_SCALAR, is_lines
from agents.onprem.products.wire import Refusal

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_MALFORMED: Final = "MALFORMED"


class _Sudi(Struct):
    udi_pid: str
    udi_serial_number: str


class _Instance(Struct):
    sudi: _Sudi


class _Identification(Struct):
    """The number stands here in version 2.0, in `meta` in version 1."""

    instance: _Instance
    report_id: Number | None = None


class _Meta(Struct):
    report_id: Number | None = None


class _Payload(Struct):
    asset_identification: _Identification
    meta: _Meta


def read_payload(payload: str, instance: sqlite3.Row) -> int:
    """The report's number. Raises Refusal: of another product, or not to be carried by a file."""
    if len(payload.encode()) > MAX_SCALAR:
        raise Refusal(_MALFORMED, f"A report is longer than the {MAX_SCALAR} bytes that a file to the portal can hold.")
    if not is_lines(payload):
        raise Refusal(_MALFORMED, "A report holds characters that no file to the portal may hold.")
    try:
        read = msgspec.json.decode(payload, type=_Payload)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal(_MALFORMED, f"A payload is no usage report: {error}.") from None
    identification = read.asset_identification
    number = identification.report_id if identification.report_id is not None else read.meta.report_id
    if number is None:
        raise Refusal(_MALFORMED, "A report has no report_id.")
    sudi = identification.instance.sudi
    if (sudi.udi_pid, sudi.udi_serial_number) != (instance["udi_pid"], instance["udi_serial_number"]):
        message = "A report is of another product than the one that sends it."
        raise Refusal("UDI_MISMATCH", message, data={"report_id": number})
    return number
