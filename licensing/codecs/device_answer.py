"""Answers to devices, as text and as the outer form that carries it.

{"response": "<text>", "signature": {"type": "SHA256", "value": "<Base64>"} or null}
"""

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from licensing.codecs.device_message import VERSION, Header, Sudi
from licensing.codecs.refusals import Refusal, RefusalCode

_NULL: Final = Raw(b"null")
_KNOWN_LENGTH: Final = 64


class AnswerStatus(StrEnum):
    OK = "OK"
    OK_POLL = "OK_POLL"
    OK_TRY_AGAIN = "OK_TRY_AGAIN"
    FAILED = "FAILED"


class Echo(Struct):
    """What of a request is repeated in its answer; `sudi` byte for byte. Null where the request could not be read."""

    request_type: str | None = None
    nonce: str | None = None
    sudi: Raw = _NULL
    product_instance_identifier: str | None = None

    @classmethod
    def of(cls, header: Header, *, piid: str | None = None) -> "Echo":
        """`piid` where the answer gives another one than the request named: a registration."""
        return cls(header.request_type, header.nonce, header.sudi, piid or header.product_instance_identifier)


class _AnswerHeader(Struct):
    version: str
    request_type: str | None
    timestamp: int
    nonce: str | None
    sudi: Raw
    product_instance_identifier: str | None


class _Answer(Struct):
    header: _AnswerHeader
    status_code: AnswerStatus
    error_code: str | None
    status_message: str
    retry_time_seconds: int
    data: Any


class _Sealed(Struct):
    type: str
    value: str


class _Outer(Struct):
    response: str
    signature: _Sealed | None


class _Glimpse(Struct):
    """As much of a malformed request as can be echoed."""

    header: Raw = _NULL


class _HeaderGlimpse(Struct):
    request_type: Any = None
    nonce: Any = None
    product_instance_identifier: Any = None
    sudi: Raw = _NULL


def render_success(
    echo: Echo, data: Mapping[str, Any], *, milliseconds: int, status: AnswerStatus = AnswerStatus.OK
) -> str:
    """The text of an answer to a request that was done, or taken to be done (OK_POLL)."""
    return _render(echo, status, None, "", 0, data, milliseconds)


def render_refusal(echo: Echo, refusal: Refusal, *, milliseconds: int) -> str:
    """The text of an answer to a request that was not done. Only our own failure asks to try the same again."""
    internal = refusal.refusal_code is RefusalCode.INTERNAL
    status = AnswerStatus.OK_TRY_AGAIN if internal else AnswerStatus.FAILED
    code = refusal.refusal_code.value
    return _render(echo, status, code, refusal.message, refusal.retry_seconds, refusal.data, milliseconds)


def render_outer(text: str, signature: bytes | None) -> bytes:
    """The HTTP body. The signature covers the UTF-8 bytes of the text."""
    sealed = None if signature is None else _Sealed("SHA256", base64.b64encode(signature).decode())
    return msgspec.json.encode(_Outer(text, sealed))


def glimpse(text: str) -> Echo:
    """What can be echoed of a request that is out of order: what is in order on its own, the rest null."""
    try:
        outer = msgspec.json.decode(text, type=_Glimpse)
        header = msgspec.json.decode(bytes(outer.header), type=_HeaderGlimpse)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return Echo()
    try:
        msgspec.json.decode(bytes(header.sudi), type=Sudi)
        sudi = header.sudi
    except (msgspec.MsgspecError, UnicodeError):
        sudi = _NULL
    return Echo(_short(header.request_type), _short(header.nonce), sudi, _short(header.product_instance_identifier))


def _short(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= _KNOWN_LENGTH and value.isprintable() else None


def _render(
    echo: Echo,
    status: AnswerStatus,
    error_code: str | None,
    message: str,
    retry_seconds: int,
    data: Mapping[str, Any],
    milliseconds: int,
) -> str:
    header = _AnswerHeader(
        VERSION, echo.request_type, milliseconds, echo.nonce, echo.sudi, echo.product_instance_identifier
    )
    answer = _Answer(header, status, error_code, message, retry_seconds, dict(data))
    return msgspec.json.encode(answer).decode()
