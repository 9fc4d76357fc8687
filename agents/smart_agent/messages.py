"""Device messages: requests built and signed, answers opened and checked. Pure: no clock, no files, no network.

A message is `{"request" | "response": "<text>", "signature": {"type": "SHA256", "value": "<Base64>"}}`; the text is
JSON itself and is signed as it is carried: RSASSA-PKCS1-v1_5 with SHA-256 over its UTF-8 bytes.
"""

import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.signatures import sign, verify
from agents.smart_agent.errors import Refused, VerificationFailed

PROTOCOL_VERSION: Final = "1.3"
LOCALE: Final = "en_US.UTF-8"
CONNECT_INFO: Final[Mapping[str, Any]] = {
    "name": "C_agent",
    "version": "5.8.6",
    "production": True,
    "capabilities": ["UTILITY", "DLC", "AppHA", "MULTITIER", "EXPORT_2", "OK_TRY_AGAIN"],
}


OK_POLL: Final = "OK_POLL"
MULTITIER: Final = "MULTITIER"
"""The capability of products that check a path of any length."""


class RequestType(StrEnum):
    REGISTRATION = "REGISTRATION"
    ACK = "ACK"
    RENEWAL = "RENEWAL"
    DEREGISTRATION = "DEREGISTRATION"
    AUTHORIZATION = "AUTHORIZATION"
    CONVERSION = "CONVERSION"
    POLL = "POLL"
    EXPORT_AUTHORIZATION = "EXPORT_AUTHORIZATION"
    THIRD_PARTY_KEY = "THIRD_PARTY_KEY"
    RUM_REPORT = "RUM_REPORT"


class Sudi(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A product's unique device identifier, with the member names of the wire."""

    udi_pid: str
    udi_serial_number: str
    udi_vid: str | None = None
    uuid: str | None = None
    host_identifier: str | None = None
    mac_address: str | None = None


class Signature(msgspec.Struct, frozen=True):
    type: str
    value: str


class SignedResponse(msgspec.Struct, frozen=True):
    """The outer form of an answer."""

    response: str
    signature: Signature | None = None


class ResponseHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Lenient: the answer to a message that could not be read has little to echo."""

    request_type: str | None = None
    timestamp: int | None = None
    nonce: str | None = None
    sudi: Any = None
    product_instance_identifier: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The text of an answer."""

    header: ResponseHeader
    status_code: str
    error_code: str | None = None
    status_message: str | None = None
    retry_time_seconds: int | None = None
    data: dict[str, Any] = {}


def make_nonce() -> str:
    """32 printable ASCII characters of 128 random bits."""
    return secrets.token_hex(16)


def registration_data(*, id_token: str, csr: str, software_tag: str, **optional: Any) -> dict[str, Any]:
    """The `data` of a REGISTRATION; of the optional members (`hostname`, `ip_address`, …) the empty ones stay out."""
    required = {"id_token": id_token, "csr": csr, "software_tag_identifier": software_tag}
    return required | {name: value for name, value in optional.items() if value}


def renewal_data(*, csr: str, software_tag: str, **optional: Any) -> dict[str, Any]:
    """The `data` of a RENEWAL: a CSR for the new key."""
    required = {"csr": csr, "software_tag_identifier": software_tag}
    return required | {name: value for name, value in optional.items() if value}


def authorization_data(use: Mapping[str, int], **optional: Any) -> dict[str, Any]:
    """The `data` of an AUTHORIZATION: the whole current use as `{tag: count}`."""
    entitlements = [{"tag": tag, "count": count} for tag, count in use.items()]
    return {"entitlements": entitlements} | {name: value for name, value in optional.items() if value}


def build_text(
    *,
    request_type: str,
    sudi: Sudi,
    data: Mapping[str, Any],
    timestamp: int,
    nonce: str,
    piid: str | None = None,
    id_cert_serial: str | None = None,
    three_tier: bool = False,
) -> str:
    """The text of a request. `timestamp` is Unix time in ms; `piid` and `id_cert_serial` (hex) once there are any."""
    capabilities = [one for one in CONNECT_INFO["capabilities"] if not three_tier or one != MULTITIER]
    header = {
        "version": PROTOCOL_VERSION,
        "request_type": request_type,
        "timestamp": timestamp,
        "nonce": nonce,
        "locale": LOCALE,
        "sudi": sudi,
        "product_instance_identifier": piid,
        "id_cert_serial_number": id_cert_serial,
        "connect_info": {**CONNECT_INFO, "capabilities": capabilities},
    }
    return msgspec.json.encode({"header": header, "data": data}).decode()


def sign_request(text: str, key: rsa.RSAPrivateKey) -> bytes:
    """The body to send for a request text."""
    envelope = {"request": text, "signature": {"type": "SHA256", "value": sign(key, text.encode())}}
    return msgspec.json.encode(envelope)


def build_request(
    *,
    key: rsa.RSAPrivateKey,
    request_type: str,
    sudi: Sudi,
    data: Mapping[str, Any],
    timestamp: int,
    nonce: str | None = None,
    piid: str | None = None,
    id_cert_serial: str | None = None,
    three_tier: bool = False,
) -> bytes:
    """`build_text` and `sign_request` in one: the body, ready to be posted."""
    text = build_text(
        request_type=request_type,
        sudi=sudi,
        data=data,
        timestamp=timestamp,
        nonce=nonce or make_nonce(),
        piid=piid,
        id_cert_serial=id_cert_serial,
        three_tier=three_tier,
    )
    return sign_request(text, key)


def open_response(body: bytes) -> SignedResponse:
    """The outer form of an answer, nothing verified yet. Raises VerificationFailed."""
    try:
        return msgspec.json.decode(body, type=SignedResponse)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise VerificationFailed("The answer is not a device message.") from None


def parse_response(text: str) -> Response:
    """The text of an answer. Raises VerificationFailed."""
    try:
        return msgspec.json.decode(text.encode(), type=Response)
    except (msgspec.DecodeError, UnicodeError):
        raise VerificationFailed("The text of the answer does not have the agreed form.") from None


def verify_response(envelope: SignedResponse, signer: rsa.RSAPublicKey) -> None:
    """The signature over the text exactly as it was carried. Raises VerificationFailed."""
    if envelope.signature is None:
        raise VerificationFailed("The answer is not signed.")
    if envelope.signature.type != "SHA256":
        raise VerificationFailed(f"The answer is signed in an unknown way: {envelope.signature.type!r}.")
    try:
        verify(signer, envelope.response.encode(), envelope.signature.value)
    except VerificationFailed:
        raise VerificationFailed("The answer's signature is not by the key of the signing certificate.") from None


def check_echo(response: Response, *, request_type: str, nonce: str, sudi: Sudi, piid: str | None) -> None:
    """That this answers what was asked. A `piid` of None (registration) accepts any. Raises VerificationFailed."""
    header = response.header
    expected = {"request type": request_type, "nonce": nonce, "sudi": msgspec.to_builtins(sudi)}
    echoed = {"request type": header.request_type, "nonce": header.nonce, "sudi": header.sudi}
    if piid is not None:
        expected["product instance identifier"] = piid
        echoed["product instance identifier"] = header.product_instance_identifier
    for name, value in expected.items():
        if echoed[name] != value:
            raise VerificationFailed(f"The answer belongs to another request: its {name} is not the one sent.")


def raise_unless_ok(response: Response, *, signed: bool) -> None:
    """Raises Refused for every status but OK, and OK_POLL: taken, with the answer still to come."""
    if response.status_code in ("OK", OK_POLL):
        return
    raise Refused(
        response.error_code or response.status_code,
        response.status_message or "The server gives no reason.",
        signed=signed,
        retry_seconds=response.retry_time_seconds or 0,
        data=response.data,
    )


class Promise(msgspec.Struct, frozen=True):
    """The data of OK_POLL."""

    poll_id: int
    poll_interval: int = 300


def read_promise(response: Response) -> Promise:
    """Raises VerificationFailed."""
    try:
        return msgspec.convert(response.data, Promise, strict=False)
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"The promise of an answer is incomplete: {error}.") from None
