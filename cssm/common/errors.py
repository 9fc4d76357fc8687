"""What can go wrong, in words people and programs can act on.

One list of error shapes for the portal, the API and the commands: every error has a stable `code`, a `message` that
says what is wrong and how to mend it, and, where that helps, `where` (the field, line or key it concerns).
"""

from collections.abc import Mapping
from typing import Any


class DomainError(Exception):
    """Base of every refusal a service can give. Nothing has been changed when one is raised."""

    default_code = "ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        where: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.where = where
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class Invalid(DomainError):
    """The input breaks a rule; the caller can mend it."""

    default_code = "INVALID"


class NotFound(DomainError):
    """No such object, or not one that this actor may know of: a stranger's object answers 404, a missing right 403."""

    default_code = "NOT_FOUND"


class Forbidden(DomainError):
    """The object is known to the actor, the right is missing."""

    default_code = "FORBIDDEN"


class Conflict(DomainError):
    """The input is well-formed, but the present state does not allow it."""

    default_code = "CONFLICT"


class Unavailable(DomainError):
    """This installation cannot do it now (a full disk, a database that is being restarted): later it may."""

    default_code = "UNAVAILABLE"
