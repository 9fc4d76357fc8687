"""The file with which a portal acknowledges usage reports that a person handed in. Pure.

    <smartLicense><smartLicenseRumAck><data>{JSON}</data><signature>BASE64</signature></smartLicenseRumAck>…

One `smartLicenseRumAck` for each product of the upload. The signature is ECDSA P-256/SHA-256, by the authority that
signs reservations, over the bytes of the `data` element as they stand: what is believed is what is signed.
"""

import base64
import binascii
import re
from typing import Any, Final
from xml.sax.saxutils import unescape

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agents.smart_agent.errors import VerificationFailed
from agents.smart_agent.messages import Sudi

MAX_FILE: Final = 16 * 1024 * 1024
_ONE: Final = re.compile(
    rb"<smartLicenseRumAck>(?P<data><data>(?P<text>[^<>]*)</data>)"
    rb"<signature>(?P<signature>[A-Za-z0-9+/]+={0,2})</signature></smartLicenseRumAck>"
)
_FILE: Final = re.compile(rb"<smartLicense>(?P<parts>.*)</smartLicense>\s*", re.DOTALL)


class Acknowledged(msgspec.Struct, frozen=True):
    report_id: int | None
    status: str


class ForProduct(msgspec.Struct, frozen=True):
    sudi: dict[str, Any]
    acknowledgements: list[Acknowledged]


def read_file(content: bytes, *, sudi: Sudi, signer: ec.EllipticCurvePublicKey) -> dict[int, str]:
    """The status of each report of this product. Raises VerificationFailed, also where the file has none for it."""
    found = _FILE.fullmatch(content) if len(content) <= MAX_FILE else None
    parts = list(_ONE.finditer(found["parts"])) if found else []
    if found is None or b"".join(part.group() for part in parts) != found["parts"]:
        raise VerificationFailed("This is not an acknowledgement of usage reports, or it was changed.")
    own = [told for told in (_read(part, signer) for part in parts) if _is_of(told.sudi, sudi)]
    if not own:
        raise VerificationFailed("The file acknowledges no reports of this product.")
    return {one.report_id: one.status for told in own for one in told.acknowledgements if one.report_id is not None}


def _read(part: re.Match[bytes], signer: ec.EllipticCurvePublicKey) -> ForProduct:
    try:
        signer.verify(base64.b64decode(part["signature"], validate=True), part["data"], ec.ECDSA(hashes.SHA256()))
        return msgspec.json.decode(unescape(part["text"].decode()), type=ForProduct)
    except (InvalidSignature, ValueError, binascii.Error, msgspec.DecodeError):
        raise VerificationFailed(
            "An acknowledgement was not signed by the authority that signs reservations."
        ) from None


def _is_of(named: dict[str, Any], own: Sudi) -> bool:
    serial = named.get("udi_serial_number")
    if serial:
        return (named.get("udi_pid"), serial) == (own.udi_pid, own.udi_serial_number)
    return bool(own.uuid) and named.get("uuid") == own.uuid
