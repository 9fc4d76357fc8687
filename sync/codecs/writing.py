"""Writing content as lines of block-style YAML, whatever its size: values may be iterators."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

# Written without quotes: what no reader takes for anything but this text.
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*", re.ASCII)
_RESERVED: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Block:
    """Text that is written as a block scalar, line by line: a PEM."""

    text: str


def write_mapping(values: Mapping[str, Any], *, indent: str = "") -> Iterator[str]:
    """Lines of a mapping; each key `name` is written `:name:`. None is null, an empty list or mapping `[]` or `{}`."""
    for name, value in values.items():
        yield from _pair(indent, name, value)


def show_moment(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond, with Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _pair(indent: str, name: str, value: Any) -> Iterator[str]:
    head = f"{indent}:{name}:"
    if isinstance(value, Block):
        yield f"{head} |\n"
        yield from (f"{indent}  {line}\n" for line in value.text.strip().splitlines())
    elif isinstance(value, Mapping):
        yield f"{head} {{}}\n" if not value else f"{head}\n"
        yield from write_mapping(value, indent=f"{indent}  ")
    elif isinstance(value, Iterable) and not isinstance(value, str):
        yield from _rows(head, indent, value)
    else:
        yield f"{head} {_scalar(value)}\n"


def _rows(head: str, indent: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    empty = True
    for row in rows:
        if empty:
            yield f"{head}\n"
            empty = False
        lines = write_mapping(row, indent=f"{indent}  ")
        yield f"{indent}- {next(lines)[len(indent) + 2 :]}"
        yield from lines
    if empty:
        yield f"{head} []\n"


def _scalar(value: str | int | bool | datetime | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        # In quotes, or some readers make a time of it and quote it back in another form.
        return f'"{show_moment(value)}"'
    if _PLAIN.fullmatch(value) is not None and value.lower() not in _RESERVED:
        return value
    return f'"{"".join(map(_escape, value))}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
