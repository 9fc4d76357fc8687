"""A usage report as it travels: its payload, exactly as it was signed, and the signature beside it.

    {"payload": "<text>", "header": {…}, "signature": {"sudi": {…}, "signing_type", "key", "value"}}

In messages, in calls, and in files: one report, a list of them, or the XML that products save,

    <smartLicense><RUMReport><![CDATA[{"payload": …, "signature": …}]]></RUMReport>…</smartLicense>

of which nothing is fetched or expanded: a document type, entities, comments and processing instructions are refused.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from lxml import etree
from msgspec import Meta, Raw, Struct

from licensing.codecs.device_message import Short
from licensing.codecs.refusals import malformed
from licensing.codecs.rum.payload import BuiltinSignature, ReportedSudi, parse_payload
from licensing.codecs.strict_json import JsonInvalid, check_json, decode

MAX_FILE: Final = 16 * 1024 * 1024
MAX_REPORTS: Final = 1000
MAX_HEADER: Final = 64 * 1024
VERIFIABLE, BUILTIN = "SHA256withRSA", "builtin"

_ROOTS: Final = ("smartLicense", "RUMReport")


class ReportSignature(Struct, forbid_unknown_fields=True):
    """`key` is the serial number of an ID certificate for SHA256withRSA, and the maker's matter for builtin."""

    signing_type: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[str, Meta(max_length=8192)]
    key: Annotated[str, Meta(max_length=1024)] = ""
    sudi: ReportedSudi | None = None

    @property
    def value_bytes(self) -> bytes:
        """Empty, which verifies under no key, where the value is not Base64."""
        try:
            return base64.b64decode(self.value, validate=True)
        except (binascii.Error, ValueError):
            return b""


@dataclass(frozen=True, slots=True)
class Submitted:
    """One report as it came, unread. `header` is JSON, or empty; `where` is its place.

    `said_udis` are the products that it is of, according to whoever carries it.
    """

    payload: str
    signature: ReportSignature
    header: str = ""
    where: str = "payload"
    said_udis: frozenset[str] = frozenset()


class _Wrapper(Struct, forbid_unknown_fields=True):
    payload: Raw
    signature: ReportSignature
    header: Raw = msgspec.field(default_factory=Raw)


class _UsageRow(Struct, forbid_unknown_fields=True):
    """One device of a `reportusage` call."""

    usage: Annotated[list[_Wrapper], Meta(min_length=1, max_length=MAX_REPORTS)]
    sudi: ReportedSudi | None = None


class _UsageData(Struct, forbid_unknown_fields=True):
    reports: Annotated[list[_UsageRow], Meta(min_length=1, max_length=MAX_REPORTS)]
    timestamp: int | None = None
    nonce: Short | None = None


class _UsageCall(Struct, forbid_unknown_fields=True):
    data: _UsageData


class _MessageData(Struct, forbid_unknown_fields=True):
    reports: Annotated[list[_Wrapper], Meta(min_length=1, max_length=MAX_REPORTS)]


_WRAPPER: Final = msgspec.json.Decoder(_Wrapper)
_CALL: Final = msgspec.json.Decoder(_UsageCall)
_MESSAGE: Final = msgspec.json.Decoder(_MessageData)


@dataclass(frozen=True, slots=True)
class UsageCall:
    """The body of `reportusage`."""

    nonce: str | None
    reports: Sequence[Submitted]


def parse_message(data: Raw) -> list[Submitted]:
    """The data of a RUM_REPORT; a payload is text there. Raises `Refusal` (MALFORMED)."""
    try:
        wrappers = decode(_MESSAGE, bytes(data), root="$.data").reports
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None
    return [_open(one, f"$.data.reports[{n}]", only_text=True) for n, one in enumerate(wrappers)]


def parse_call(body: bytes) -> UsageCall:
    """A payload is text, or an object of which the bytes count as they stand. Raises `Refusal` (MALFORMED)."""
    text = _decode_text(body)
    _check(text, "body")
    try:
        data = decode(_CALL, text, root="body").data
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None
    reports = [
        _open(one, f"data.reports[{n}].usage[{m}]", sudi=row.sudi)
        for n, row in enumerate(data.reports)
        for m, one in enumerate(row.usage)
    ]
    if len(reports) > MAX_REPORTS:
        raise malformed(f"at most {MAX_REPORTS} reports at once", where="data.reports")
    return UsageCall(data.nonce, reports)


def read_file(content: bytes) -> list[Submitted]:
    """The reports in a file: JSON or XML. Raises `Refusal` (MALFORMED)."""
    if len(content) > MAX_FILE:
        raise malformed(f"a file has at most {MAX_FILE} bytes")
    text = _decode_text(content).strip()
    if not text.startswith("<"):
        return _read_json(text)
    texts = _read_xml(text)
    if not texts or len(texts) > MAX_REPORTS:
        raise malformed(f"a file holds 1 to {MAX_REPORTS} reports")
    return [_read_wrapper(one, f"RUMReport[{n}]") for n, one in enumerate(texts, start=1)]


def _read_json(text: str) -> list[Submitted]:
    plain = _check(text, "file")
    if isinstance(plain, dict) and "asset_identification" in plain:
        # The payload alone, as products show it: what signs it stands in it.
        builtin = parse_payload(text, where="file").builtin or BuiltinSignature()
        return [Submitted(text, ReportSignature(BUILTIN, builtin.value, builtin.key), "", "file")]
    if not isinstance(plain, list):
        return [_read_wrapper(text, "file")]
    if not 1 <= len(plain) <= MAX_REPORTS:
        raise malformed(f"a file holds 1 to {MAX_REPORTS} reports")
    parts = msgspec.json.decode(text, type=list[Raw])
    return [_read_wrapper(bytes(one).decode(), f"file[{n}]") for n, one in enumerate(parts)]


def _read_wrapper(text: str, where: str) -> Submitted:
    _check(text, where)
    try:
        return _open(decode(_WRAPPER, text, root=where), where)
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None


def _open(wrapper: _Wrapper, where: str, *, only_text: bool = False, sudi: ReportedSudi | None = None) -> Submitted:
    raw = bytes(wrapper.payload)
    if raw.startswith(b'"'):
        payload: str = msgspec.json.decode(raw)
    elif raw.startswith(b"{") and not only_text:
        payload = raw.decode()
    else:
        raise malformed("a payload is text", where=f"{where}.payload")
    header = bytes(wrapper.header).decode()
    if header == "null":
        header = ""
    if header and (not header.startswith("{") or len(header) > MAX_HEADER):
        raise malformed(f"a header is an object of at most {MAX_HEADER} characters", where=f"{where}.header")
    said = frozenset(one.udi for one in (sudi, wrapper.signature.sudi) if one is not None)
    return Submitted(payload, wrapper.signature, header, f"{where}.payload", said)


def _check(text: str, where: str) -> Any:
    try:
        return check_json(text)
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where or where) from None


def _decode_text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed(f"not UTF-8: byte {error.start}") from None


def _read_xml(text: str) -> list[str]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise malformed(f"not XML: {str(error).splitlines()[0][:200]}") from None
    tree = root.getroottree()
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise malformed("a document type (DTD) is not allowed")
    if (tree.docinfo.encoding or "UTF-8").upper() not in ("UTF-8", "US-ASCII", "ASCII"):
        raise malformed("the encoding must be UTF-8")
    strange = root.getprevious() is not None or root.getnext() is not None
    if strange or any(not isinstance(node.tag, str) for node in root.iter()):
        raise malformed("comments, processing instructions and entities are not allowed")
    if root.tag not in _ROOTS:
        raise malformed(f"the root must be {' or '.join(_ROOTS)}")
    reports = [root] if root.tag == _ROOTS[1] else list(root)
    if root.attrib or any(one.tag != _ROOTS[1] or len(one) or one.attrib for one in reports):
        raise malformed("smartLicense holds RUMReport elements, and those only text")
    if root.tag == _ROOTS[0] and any((part or "").strip() for part in (root.text, *(one.tail for one in reports))):
        raise malformed("between the reports stands text")
    return [(one.text or "").strip() for one in reports]
