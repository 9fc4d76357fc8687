"""What may stand under which key: kinds of values, and mappings of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from yaml.events import ScalarEvent

from sync.errors import FileCode

# What YAML 1.1 or 1.2 readers take for something else than text when it is not quoted. Plain decimal numbers are
# not among them: they read back as the same text.
_NOT_TEXT: Final = re.compile(
    r"~|null|true|false|yes|no|on|off|y|n"
    r"|[-+]?(?:0[0-9_]+|0o[0-7_]+|0b[01_]+|0x[0-9a-f_]+)"
    r"|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?\.(?:inf|nan)"
    r"|[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:e[-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?e[-+]?[0-9]+",
    re.IGNORECASE | re.ASCII,
)
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?Z", re.ASCII)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class Wrong(Exception):
    """A value is not what its key holds."""

    def __init__(self, code: FileCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Scalar:
    """A kind of scalar; `read` raises `Wrong`."""

    required: bool

    def read(self, event: ScalarEvent) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Text(Scalar):
    """Text of at most `most` characters, one line unless `multiline`. Optional text may be empty or null: erased."""

    most: int
    required: bool = True
    multiline: bool = False

    def read(self, event: ScalarEvent) -> str:
        value: str = event.value
        if event.implicit[0] and (value in _NULLS or _NOT_TEXT.fullmatch(value) is not None):
            if value in _NULLS and not self.required:
                return ""
            raise Wrong(FileCode.WRONG_TYPE, f"Text is expected; YAML reads {value!r} as something else. Quote it.")
        if not value and self.required:
            raise Wrong(FileCode.WRONG_TYPE, "Text is expected, and it is empty.")
        if len(value) > self.most:
            raise Wrong(FileCode.OUT_OF_RANGE, f"It has {len(value)} characters; {self.most} are allowed.")
        if not value.isprintable() and not (self.multiline and _is_lines(value)):
            raise Wrong(FileCode.OUT_OF_RANGE, "It holds characters that cannot be printed.")
        return value


@dataclass(frozen=True, slots=True)
class Integer(Scalar):
    """A plain decimal number from 0 to `most`."""

    most: int
    required: bool = True

    def read(self, event: ScalarEvent) -> int:
        if not event.implicit[0] or _INTEGER.fullmatch(event.value) is None:
            raise Wrong(FileCode.WRONG_TYPE, f"A plain decimal number is expected, not {event.value[:40]!r}.")
        number = int(event.value)
        if number > self.most:
            raise Wrong(FileCode.OUT_OF_RANGE, f"The number is larger than {self.most}.")
        return number


@dataclass(frozen=True, slots=True)
class Boolean(Scalar):
    required: bool = True

    def read(self, event: ScalarEvent) -> bool:
        if not event.implicit[0] or event.value not in {"true", "false"}:
            raise Wrong(FileCode.WRONG_TYPE, f"true or false is expected, not {event.value[:40]!r}.")
        return bool(event.value == "true")


@dataclass(frozen=True, slots=True)
class Moment(Scalar):
    """An instant, ISO 8601 in UTC with `Z`; null where `nullable`. Read as (the text itself, the instant)."""

    required: bool = True
    nullable: bool = False

    def read(self, event: ScalarEvent) -> tuple[str, datetime] | None:
        value: str = event.value
        if self.nullable and event.implicit[0] and value in _NULLS:
            return None
        found = _MOMENT.fullmatch(value)
        if found is None:
            raise Wrong(FileCode.WRONG_TYPE, f"A time like 2026-03-02T09:30:00Z is expected, not {value[:40]!r}.")
        try:
            moment = datetime.fromisoformat(value[:19]).replace(tzinfo=UTC)
        except ValueError:
            raise Wrong(FileCode.OUT_OF_RANGE, f"There is no such time: {value[:40]}.") from None
        return value, moment.replace(microsecond=int((found[1] or "0")[:6].ljust(6, "0")))


@dataclass(frozen=True, slots=True)
class Choice(Scalar):
    values: frozenset[str]
    required: bool = True

    def read(self, event: ScalarEvent) -> str:
        if event.value not in self.values:
            raise Wrong(FileCode.OUT_OF_RANGE, f"It must be one of {', '.join(sorted(self.values))}.")
        return str(event.value)


@dataclass(frozen=True, slots=True)
class Shape:
    """A mapping: its keys (`:name`, without the colon that ends them) and what each of them holds."""

    fields: Mapping[str, "Kind"]
    required: frozenset[str] = field(init=False)
    has_required = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", frozenset(key for key, kind in self.fields.items() if kind.required))


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of mappings, at most `most`; `stream` ones are handed over one by one as they are read."""

    shape: Shape
    most: int = 10_000
    required: bool = True
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Anything at all, within the limits of a file."""

    required: bool = False


@dataclass(frozen=True, slots=True)
class Either:
    """A scalar, or a mapping of one shape."""

    scalar: Scalar
    shape: Shape
    required: bool = True


Kind = Scalar | Rows | Ignored | Either


def _is_lines(value: str) -> bool:
    return all(line.isprintable() for line in value.replace("\r\n", "\n").replace("\t", " ").split("\n"))
