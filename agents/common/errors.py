"""Everything that can go wrong, each with the exit code of the program."""

from collections.abc import Mapping
from typing import Any, ClassVar


class AgentError(Exception):
    """`code` names the kind for programs, the message tells a person."""

    exit_code: ClassVar[int] = 2
    code = "AGENT_ERROR"


class UsageError(AgentError):
    """What was asked for makes no sense here and now; nothing was sent."""

    code = "USAGE"


class StateDamaged(AgentError):
    """The state folder holds something that this program has not written."""

    code = "STATE_DAMAGED"


class VerificationFailed(AgentError):
    """A certificate, signature or answer does not prove what it claims; it had no effect."""

    code = "VERIFICATION_FAILED"


class NetworkFailure(AgentError):
    """No answer came; the same command later sends the very same bytes."""

    exit_code = 3
    code = "NETWORK"


class Refused(AgentError):
    """The server said no (or not now).

    `signed` tells whether the answer is proven to be the server's: what is not never changes what the product knows.
    `retry_seconds` is 0 where the server named no time. `data` is the answer's.
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        signed: bool = False,
        retry_seconds: int = 0,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.signed = signed
        self.retry_seconds = retry_seconds
        self.data = data or {}
