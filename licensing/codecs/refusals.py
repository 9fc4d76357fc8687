"""Why a device message is not done: the error codes devices know, and the exception that carries one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from cssm.common.errors import DomainError


class RefusalCode(StrEnum):
    """Every `error_code` of a device answer."""

    MALFORMED = "MALFORMED"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    UNSUPPORTED_REQUEST = "UNSUPPORTED_REQUEST"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CLOCK_SKEW = "CLOCK_SKEW"
    REPLAYED = "REPLAYED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105  # an error code, not a password
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105  # an error code, not a password
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105  # an error code, not a password
    TOKEN_EXHAUSTED = "TOKEN_EXHAUSTED"  # noqa: S105  # an error code, not a password
    CSR_INVALID = "CSR_INVALID"
    UDI_MISMATCH = "UDI_MISMATCH"
    UDI_REGISTERED_ELSEWHERE = "UDI_REGISTERED_ELSEWHERE"
    UDI_RESERVED = "UDI_RESERVED"
    NOT_REGISTERED = "NOT_REGISTERED"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    EXPORT_RESTRICTED = "EXPORT_RESTRICTED"
    NOT_ENTITLED = "NOT_ENTITLED"
    POLL_UNKNOWN = "POLL_UNKNOWN"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"


# A product never drops its identity for an unsigned answer, so what anyone can provoke stays unsigned.
NEVER_SIGNED: Final = frozenset({RefusalCode.SIGNATURE_INVALID, RefusalCode.MALFORMED, RefusalCode.NOT_REGISTERED})


class Refusal(DomainError):
    """A device message that is answered with an error code; it has changed nothing.

    `data` goes into the answer; `retry_seconds` tells the device when another try makes sense.
    """

    def __init__(
        self,
        code: RefusalCode,
        message: str,
        *,
        where: str | None = None,
        data: Mapping[str, Any] | None = None,
        retry_seconds: int = 0,
    ) -> None:
        super().__init__(message, code=code.value, where=where)
        self.refusal_code = code
        self.data = dict(data or {})
        self.retry_seconds = retry_seconds


def malformed(message: str, *, where: str | None = None) -> Refusal:
    """What and where: the place goes into the message too, since a device shows nothing else."""
    return Refusal(RefusalCode.MALFORMED, f"{message} (at {where})" if where else message, where=where)
