"""Call Home, as a Transport Gateway takes it: a message out of a SOAP 1.1 or 1.2 envelope, and the answer into one.

Nothing is fetched or expanded: a document type, comments and processing instructions are refused.
"""

import base64
import binascii
from typing import Final

from lxml import etree

from agents.onprem.products.wire import BadOuterForm

MESSAGE_NS: Final = "urn:cssm:smart-license:1"
CONTENT_TYPES: Final = {
    "http://schemas.xmlsoap.org/soap/envelope/": "text/xml; charset=utf-8",
    "http://www.w3.org/2003/05/soap-envelope": "application/soap+xml; charset=utf-8",
}
"""By the namespace of the envelope."""
ACCEPTED: Final = frozenset({"text/xml", "application/xml", "application/soap+xml"})


def unwrap(body: bytes) -> tuple[bytes, str]:
    """The message, and the namespace in which to answer. Raises BadOuterForm."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise BadOuterForm("it is not XML") from None
    name, tree = etree.QName(root), root.getroottree()
    if tree.docinfo.doctype or any(not isinstance(node.tag, str) for node in root.iter()):
        raise BadOuterForm("a document type, comments and processing instructions are not allowed")
    if name.localname != "Envelope" or name.namespace not in CONTENT_TYPES:
        raise BadOuterForm("it is no envelope of SOAP 1.1 or 1.2")
    path = f"{{{name.namespace}}}Body/{{{MESSAGE_NS}}}SmartLicense/{{{MESSAGE_NS}}}message"
    found = root.findall(path)
    if len(found) != 1 or len(found[0]):
        raise BadOuterForm("its Body must hold one SmartLicense with one message")
    try:
        return base64.b64decode("".join((found[0].text or "").split()), validate=True), name.namespace
    except (binascii.Error, ValueError):
        raise BadOuterForm("its message is not Base64") from None


def wrap(message: bytes, namespace: str) -> bytes:
    """The envelope of an answer."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="{namespace}"><soap:Body>'
        f'<SmartLicense xmlns="{MESSAGE_NS}"><message>{base64.b64encode(message).decode()}</message></SmartLicense>'
        "</soap:Body></soap:Envelope>"
    ).encode()
