"""What is wrong with a file, or with its moment: each problem with its line, key and code. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from cssm.common.errors import Conflict, DomainError, Invalid

MOST_PROBLEMS: Final = 50


class FileCode(StrEnum):
    """The stable codes of refused files."""

    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    CSR_INVALID = "CSR_INVALID"
    UNKNOWN_SERVER = "UNKNOWN_SERVER"
    SERVER_REMOVED = "SERVER_REMOVED"
    SERVER_REGISTERED_ELSEWHERE = "SERVER_REGISTERED_ELSEWHERE"
    STALE_FILE = "STALE_FILE"
    SEQUENCE_GAP = "SEQUENCE_GAP"
    MALFORMED = "MALFORMED"
    FORBIDDEN_YAML = "FORBIDDEN_YAML"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    MISSING_KEY = "MISSING_KEY"
    WRONG_TYPE = "WRONG_TYPE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    DUPLICATE = "DUPLICATE"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    ACCOUNT_MISMATCH = "ACCOUNT_MISMATCH"


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1 (0: the file as a whole), `key` is the way to it: `:virtual_accounts:[0]:name:`."""

    code: FileCode
    message: str
    line: int = 0
    key: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


class FileRefused(Invalid):
    """The file cannot be taken as it is. `problems` lists what and where; nothing was changed."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(**describe(problems))
        self.problems = problems


class FileConflict(Conflict):
    """The file is well-formed, but its server or moment does not allow it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(**describe(problems))
        self.problems = problems


def describe(problems: Sequence[Problem]) -> dict[str, Any]:
    """The members of a `DomainError` for these problems; the first one speaks for all."""
    first, more = problems[0], len(problems) - 1
    place = f" (line {first.line})" if first.line else ""
    others = f" {more} more problems are listed in errors." if more else ""
    return {
        "message": f"{first.message}{place}{others}",
        "code": first.code.value,
        "where": first.key or None,
        "details": {"errors": [problem.as_row() for problem in problems[:MOST_PROBLEMS]]},
    }


def problems_of(error: DomainError) -> list[dict[str, Any]]:
    """The rows of any refusal, in the shape that files are answered with."""
    rows = error.details.get("errors")
    if isinstance(rows, list) and rows:
        return rows
    return [{"line": 0, "key": error.where or "", "code": error.code, "message": error.message}]
