"""Call Home: device messages in SOAP 1.1 and 1.2 envelopes. Strict, size-limited, pure.

    <Envelope><Body>
      <SmartLicense xmlns="urn:cssm:smart-license:1"><message>BASE64</message></SmartLicense>
    </Body></Envelope>

The BASE64 is of the outer form of `device_message`, in the answer of that of `device_answer`. Nothing is fetched or
expanded: a document type, comments and processing instructions are refused, so that no two readers see two messages.
"""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lxml import etree

MESSAGE_NS: Final = "urn:cssm:smart-license:1"
MAX_ENVELOPE: Final = 16 * 1024 * 1024
_WHITE: Final = b" \t\r\n"


class SoapVersion(StrEnum):
    """The values are the namespaces of the envelopes."""

    V1_1 = "http://schemas.xmlsoap.org/soap/envelope/"
    V1_2 = "http://www.w3.org/2003/05/soap-envelope"

    @property
    def content_type(self) -> str:
        return "text/xml; charset=utf-8" if self is SoapVersion.V1_1 else "application/soap+xml; charset=utf-8"


class FaultCode(StrEnum):
    """Who is to blame (SOAP 1.1 section 4.4.1, SOAP 1.2 part 1 section 5.4.6)."""

    SENDER = "sender"
    RECEIVER = "receiver"
    MUST_UNDERSTAND = "MustUnderstand"
    VERSION_MISMATCH = "VersionMismatch"

    def named_in(self, version: SoapVersion) -> str:
        return _NAMES[version].get(self, self.value)


_NAMES: Final = {
    SoapVersion.V1_1: {FaultCode.SENDER: "Client", FaultCode.RECEIVER: "Server"},
    SoapVersion.V1_2: {FaultCode.SENDER: "Sender", FaultCode.RECEIVER: "Receiver"},
}
_UNDERSTAND: Final = {SoapVersion.V1_1: ("1",), SoapVersion.V1_2: ("1", "true")}


class SoapInvalid(Exception):
    """No envelope of ours; `version` is that to answer in."""

    def __init__(
        self, message: str, *, version: SoapVersion = SoapVersion.V1_1, fault: FaultCode = FaultCode.SENDER
    ) -> None:
        super().__init__(message)
        self.message, self.version, self.fault = message, version, fault


@dataclass(frozen=True, slots=True)
class Opened:
    version: SoapVersion
    message: bytes


def open_envelope(body: bytes) -> Opened:
    """The message in an envelope. Raises `SoapInvalid`, also above 16 MiB, for more than 256 levels and for a message
    of more than 10 MB as Base64, which is where the parser stops."""
    root = _parse(body)
    version = _find_version(root)
    parts = [_local_name(part, version) for part in root]
    if parts not in (["Body"], ["Header", "Body"]):
        raise SoapInvalid("the Envelope must hold an optional Header and one Body", version=version)
    if len(parts) == 2:
        _check_header(root[0], version)
    return Opened(version, _read_message(root[-1], version))


def wrap_message(message: bytes, version: SoapVersion) -> bytes:
    """The envelope of a message or answer."""
    root, body = _new_envelope(version)
    wrapper = etree.SubElement(body, f"{{{MESSAGE_NS}}}SmartLicense", nsmap={None: MESSAGE_NS})
    etree.SubElement(wrapper, f"{{{MESSAGE_NS}}}message").text = base64.b64encode(message).decode()
    return _render(root)


def render_fault(
    message: str, *, code: str, correlation_id: str, version: SoapVersion, fault: FaultCode = FaultCode.SENDER
) -> bytes:
    """A SOAP fault; its detail holds one of the portal's error codes and the correlation id."""
    root, body = _new_envelope(version)
    element = etree.SubElement(body, f"{{{version}}}Fault")
    name = f"soap:{fault.named_in(version)}"
    if version is SoapVersion.V1_1:
        etree.SubElement(element, "faultcode").text = name
        etree.SubElement(element, "faultstring").text = message
        detail = etree.SubElement(element, "detail")
    else:
        etree.SubElement(etree.SubElement(element, f"{{{version}}}Code"), f"{{{version}}}Value").text = name
        text = etree.SubElement(etree.SubElement(element, f"{{{version}}}Reason"), f"{{{version}}}Text")
        text.text = message
        text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
        detail = etree.SubElement(element, f"{{{version}}}Detail")
    error = etree.SubElement(detail, f"{{{MESSAGE_NS}}}error", nsmap={None: MESSAGE_NS})
    etree.SubElement(error, f"{{{MESSAGE_NS}}}code").text = code
    etree.SubElement(error, f"{{{MESSAGE_NS}}}correlationId").text = correlation_id
    return _render(root)


def _parse(body: bytes) -> etree._Element:
    if len(body) > MAX_ENVELOPE:
        raise SoapInvalid(f"longer than {MAX_ENVELOPE} bytes")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SoapInvalid(f"not XML: {_first_line(error)}") from None
    tree = root.getroottree()
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise SoapInvalid("a document type (DTD) is not allowed")
    declared = (tree.docinfo.encoding or "UTF-8").upper()
    if declared not in ("UTF-8", "US-ASCII", "ASCII") or b"\0" in body:  # UTF-16 needs no declaration
        raise SoapInvalid("the encoding must be UTF-8")
    strange = root.getprevious() is not None or root.getnext() is not None
    if strange or any(not isinstance(node.tag, str) for node in root.iter()):
        raise SoapInvalid("comments, processing instructions and entities are not allowed")
    return root


def _first_line(error: Exception) -> str:
    """Where it is in the envelope, without the parser's advice to its programmer."""
    text = str(getattr(error, "msg", None) or error).partition("\n")[0]
    return text.replace(", use XML_PARSE_HUGE option", "")[:200]


def _find_version(root: etree._Element) -> SoapVersion:
    name = etree.QName(root)
    if name.localname == "Envelope" and name.namespace in set(SoapVersion):
        return SoapVersion(name.namespace)
    raise SoapInvalid("the root must be an Envelope of SOAP 1.1 or 1.2", fault=FaultCode.VERSION_MISMATCH)


def _local_name(element: etree._Element, version: SoapVersion) -> str:
    name = etree.QName(element)
    return name.localname if name.namespace == version else ""


def _check_header(header: etree._Element, version: SoapVersion) -> None:
    """What must be understood is not: no header means anything here."""
    for block in header:
        if block.get(f"{{{version}}}mustUnderstand", "").strip() in _UNDERSTAND[version]:
            name = etree.QName(block).localname
            raise SoapInvalid(
                f"the header {name!r} is not understood", version=version, fault=FaultCode.MUST_UNDERSTAND
            )


def _read_message(body: etree._Element, version: SoapVersion) -> bytes:
    wanted = f"{{{MESSAGE_NS}}}SmartLicense", f"{{{MESSAGE_NS}}}message"
    wrappers = list(body)
    if len(wrappers) != 1 or wrappers[0].tag != wanted[0] or not _is_bare(wrappers[0]):
        raise SoapInvalid(f"the Body must hold one SmartLicense of {MESSAGE_NS}", version=version)
    messages = list(wrappers[0])
    if len(messages) != 1 or messages[0].tag != wanted[1] or not _is_bare(messages[0], may_hold_text=True):
        raise SoapInvalid("SmartLicense must hold one message, and that only text", version=version)
    text = (messages[0].text or "").encode().translate(None, _WHITE)
    try:
        message = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SoapInvalid("the message is not Base64", version=version) from None
    if not message:
        raise SoapInvalid("the message is empty", version=version)
    return message


def _is_bare(element: etree._Element, *, may_hold_text: bool = False) -> bool:
    """No attributes; children or text, not both."""
    if element.attrib or (may_hold_text and len(element)):
        return False
    texts = [] if may_hold_text else [element.text, *(child.tail for child in element)]
    return not any((text or "").strip() for text in texts)


def _new_envelope(version: SoapVersion) -> tuple[etree._Element, etree._Element]:
    root = etree.Element(f"{{{version}}}Envelope", nsmap={"soap": version.value})
    return root, etree.SubElement(root, f"{{{version}}}Body")


def _render(root: etree._Element) -> bytes:
    rendered: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return rendered
