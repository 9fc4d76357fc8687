"""Call Home: a message in a SOAP 1.1 envelope, and the answer out of one. Nothing in it is fetched or expanded."""

import base64
import binascii
from typing import Final

from lxml import etree

from agents.smart_agent.errors import NetworkFailure

MESSAGE_NS: Final = "urn:cssm:smart-license:1"
SOAP_NS: Final = "http://schemas.xmlsoap.org/soap/envelope/"
CONTENT_TYPE: Final = "text/xml; charset=utf-8"


def wrap(message: bytes) -> bytes:
    """The envelope of a message."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="{SOAP_NS}"><soap:Body>'
        f'<SmartLicense xmlns="{MESSAGE_NS}"><message>{base64.b64encode(message).decode()}</message></SmartLicense>'
        "</soap:Body></soap:Envelope>"
    ).encode()


def unwrap(envelope: bytes) -> bytes:
    """The answer in an envelope; what it says is not believed here. Raises NetworkFailure for anything else."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(envelope, parser)
        body = root.findall(f"{{{SOAP_NS}}}Body")
        messages = [
            found for one in body for found in one.findall(f"{{{MESSAGE_NS}}}SmartLicense/{{{MESSAGE_NS}}}message")
        ]
        if len(messages) == 1 and not len(messages[0]):
            return base64.b64decode("".join((messages[0].text or "").split()), validate=True)
    except (etree.XMLSyntaxError, binascii.Error, ValueError):
        pass
    raise NetworkFailure("The answer is not a SOAP envelope with a message.")
