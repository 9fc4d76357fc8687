"""What an on-prem server refuses, each with a stable code for programs and a place for people."""

from agents.common.errors import AgentError


class FileRefused(AgentError):
    """A file from the portal that was not installed; nothing was changed.

    `code` is one of those that the portal's own answers use (SIGNATURE_INVALID, CERTIFICATE_INVALID, STALE_FILE, …).
    `line` counts from 1, `key` is the path inside the file; both are None where the file as a whole is meant.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, *, line: int | None = None, key: str | None = None) -> None:
        place = ", ".join(part for part in (f"line {line}" if line else "", key or "") if part)
        super().__init__(f"{place}: {message}" if place else message)
        self.code = code
        self.line = line
        self.key = key


class NotReady(AgentError):
    """The server lacks what the command needs: it must be registered, or a file installed, first."""

    code = "NOT_READY"


class StorageFailed(AgentError):
    """The disk, or the database on it, did not do what was asked: full, read-only, locked for too long."""

    code = "STORAGE"
