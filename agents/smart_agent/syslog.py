"""What a product says, as syslog lines (RFC 5424, facility local7)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from agents.smart_agent.status import format_time

FACILITY: Final = 23
APP: Final = "smart-agent"


class Severity(IntEnum):
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One message; `at` in Unix ms, `name` is the MSGID."""

    at: int
    severity: Severity
    name: str
    text: str

    def render(self, host: str) -> str:
        """`<187>1 2026-03-02T09:30:00Z edge-1 smart-agent - AUTH_RENEW_FAILED - text`."""
        return (
            f"<{FACILITY * 8 + self.severity}>1 {format_time(self.at)} {host or '-'} {APP} - {self.name} - {self.text}"
        )
