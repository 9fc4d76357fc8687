"""The codes by which a product without any connection reserves licenses. Pure: no clock, no files.

request code out → authorization code in → confirmation code out … return code out (WP "License Reservation").
An authorization is read strictly: every byte of it has one place, so nothing can be hidden in it, wrapped around it or
slipped between what is signed and what is believed.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final
from uuid import UUID

import base58
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agents.smart_agent.errors import UsageError, VerificationFailed

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SPECIFIC: Final = "C"
EXPORT: Final = "EXPORT"
UNIVERSAL: Final = "D"
MAX_SIZE: Final = 1024 * 1024
_UNIVERSAL_BODY: Final = 118
_RETURN_BODY: Final = 50
_PART: Final = re.compile(r"[!-~]+")
_SEPARATORS: Final = frozenset(",|<>&\"'`\\")

_TEXT: Final = rb"[^<>]*"
_ENTITLEMENT: Final = (
    rb"<entitlement><tag>(" + _TEXT + rb")</tag><count>([1-9][0-9]{0,17})</count>"
    rb"<startDate>([0-9]{4}-[0-9]{2}-[0-9]{2}|)</startDate><endDate>([0-9]{4}-[0-9]{2}-[0-9]{2}|)</endDate>"
    rb"<licenseType>(PERPETUAL|TERM|SUBSCRIPTION|DEMO|EXPORT)</licenseType><displayName>(" + _TEXT + rb")</displayName>"
    rb"<tagDescription>" + _TEXT + rb"</tagDescription><subscriptionID>(" + _TEXT + rb")</subscriptionID></entitlement>"
)
_ONE: Final = re.compile(_ENTITLEMENT)
_FILE: Final = re.compile(
    rb"<specificPLR>(?P<body><authorizationCode><flag>A</flag><version>C</version>"
    rb"<piid>(?P<piid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})</piid>"
    rb"<timestamp>(?P<timestamp>[1-9][0-9]{0,15})</timestamp><entitlements>(?P<entitlements>[^\r\n]*)</entitlements>"
    rb"</authorizationCode>)<signature>(?P<signature>[A-Za-z0-9+/]+={0,2})</signature>"
    rb"(?P<udi><udi>(?P<product>[^<>&]+)</udi>)</specificPLR>\r?\n?"
)


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """So much of a license; dates as YYYY-MM-DD, empty where there is none."""

    tag: str
    count: int
    license_type: str
    start: str = ""
    end: str = ""
    subscription_id: str = ""


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization whose signature has been verified; `signature` is its DER form in hex, `timestamp` in ms."""

    kind: str
    piid: str
    timestamp: int
    signature: str
    entitlements: list[Reserved]


def udi_text(pid: str, serial: str, uuid: str | None = None) -> str:
    """As codes name a product."""
    return f"P:{pid},S:{serial}" + (f",U:{uuid}" if uuid else "")


def make_request_code(*, kind: str, sequence: str, pid: str, serial: str, software_tag: str) -> str:
    """Raises UsageError for a product id or serial number that no code can hold."""
    for name in (pid, serial):
        if not _PART.fullmatch(name) or _SEPARATORS & set(name) or len(name) > 128:
            raise UsageError(f"{name!r} cannot stand in a request code.")
    if ":" in serial:
        raise UsageError("A serial number with a colon cannot be reserved for.")
    short_hash = base58.b58encode(hashlib.sha256(software_tag.encode()).digest()).decode()[:8]
    body = f"{kind}{sequence}-Z{pid}:{serial}-A{short_hash}"
    return f"{body}-{hashlib.sha256(body.encode()).digest()[0]:02X}"


def read_authorization(
    content: bytes, *, kind: str, udis: list[str], signer: ec.EllipticCurvePublicKey
) -> Authorization:
    """The authorization, if it is of this kind, signed by `signer`, for one of `udis`. Raises VerificationFailed."""
    if len(content) > MAX_SIZE:
        raise VerificationFailed("The file is too large for an authorization code.")
    if kind == UNIVERSAL:
        return _read_universal(content, udis, signer)
    authorization = _read_specific(content, udis, signer)
    if any(each.license_type == EXPORT for each in authorization.entitlements):
        raise VerificationFailed("This is an export authorization key, not a reservation.")
    return authorization


def read_export_key(content: bytes, *, udi: str, signer: ec.EllipticCurvePublicKey) -> Authorization:
    """The export authorization key, with its one entitlement. Raises VerificationFailed."""
    if len(content) > MAX_SIZE:
        raise VerificationFailed("The answer is too large for an authorization key.")
    authorization = _read_specific(content, [udi], signer)
    if [each.license_type for each in authorization.entitlements] != [EXPORT]:
        raise VerificationFailed("This is a reservation, not an export authorization key.")
    return authorization


def make_confirmation_code(*, udi: str, sequence: str, authorization: Authorization) -> str:
    text = f"{udi}|{sequence}|{authorization.piid}|{authorization.timestamp}"
    return base58.b58encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def make_return_code(authorization: Authorization) -> str:
    piid = UUID(authorization.piid).bytes
    key = hashlib.sha256(bytes.fromhex(authorization.signature)).digest()
    message = authorization.kind.encode() + piid + str(authorization.timestamp).encode()
    mac = hmac.digest(key, message, "sha256")[:20]
    number, digits = int.from_bytes(piid + mac, "big"), []
    for _ in range(_RETURN_BODY):
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    code = authorization.kind + "".join(reversed(digits))
    return "-".join(code[start : start + 6] for start in range(0, len(code), 6))


def _read_specific(content: bytes, udis: list[str], signer: ec.EllipticCurvePublicKey) -> Authorization:
    found = _FILE.fullmatch(content)
    if found is None:
        raise VerificationFailed("This is not an authorization code, or it was changed.")
    try:
        signature = base64.b64decode(found["signature"], validate=True)
    except binascii.Error:
        raise VerificationFailed("The signature is not Base64.") from None
    _verify(signer, signature, found["body"] + found["udi"])
    rows = [each.groups() for each in _ONE.finditer(found["entitlements"])]
    if b"".join(each.group() for each in _ONE.finditer(found["entitlements"])) != found["entitlements"]:
        raise VerificationFailed("The entitlements of the authorization code cannot be read.")
    try:
        product = found["product"].decode("ascii")
        entitlements = [
            Reserved(
                tag=_unescape(tag),
                count=int(count),
                start=start.decode(),
                end=end.decode(),
                license_type=license_type.decode(),
                subscription_id=_unescape(subscription),
            )
            for tag, count, start, end, license_type, _name, subscription in rows
        ]
    except UnicodeDecodeError:
        raise VerificationFailed("The authorization code is not UTF-8.") from None
    if product not in udis:
        raise VerificationFailed(f"The authorization is for {product}, not for this product.")
    return Authorization(
        kind=SPECIFIC,
        piid=found["piid"].decode(),
        timestamp=int(found["timestamp"]),
        signature=signature.hex(),
        entitlements=entitlements,
    )


def _read_universal(content: bytes, udis: list[str], signer: ec.EllipticCurvePublicKey) -> Authorization:
    code = content.decode("ascii", "replace").strip().replace("-", "")
    number = 0
    for character in code[1:]:
        digit = ALPHABET.find(character)
        if digit < 0:
            raise VerificationFailed("This is not a universal authorization code.")
        number = number * 58 + digit
    if code[:1] != UNIVERSAL or len(code) != 1 + _UNIVERSAL_BODY or number.bit_length() > 86 * 8:
        raise VerificationFailed("This is not a universal authorization code.")
    data = number.to_bytes(86, "big")
    piid, timestamp = str(UUID(bytes=data[:16])), int.from_bytes(data[16:22], "big")
    signature = encode_dss_signature(int.from_bytes(data[22:54], "big"), int.from_bytes(data[54:], "big"))
    for udi in udis:
        try:
            _verify(signer, signature, f"{piid}|{udi}|{timestamp}".encode())
        except VerificationFailed:
            continue
        return Authorization(kind=UNIVERSAL, piid=piid, timestamp=timestamp, signature=signature.hex(), entitlements=[])
    raise VerificationFailed("The code was not signed for this product.")


def _verify(signer: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
    try:
        signer.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise VerificationFailed("The signature is not by the authority that signs reservations.") from None


def _unescape(text: bytes) -> str:
    return text.decode().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
