"""YAML as the files have it: block style, plain keys `:name:`, text always in double quotes. Pure."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

FORMAT: Final = "cssm-onprem/1"
MAX_SCALAR: Final = 64 * 1024

_NOT_PRINTABLE: Final = re.compile("[\x7f-\x84\x85\x86-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What JSON would write as it is and YAML 1.1 would not read back (or read as a line break)."""


def quote(text: str) -> str:
    """A double-quoted scalar. Raises ValueError above 64 KiB."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SCALAR:
        raise ValueError(f"a value is longer than {MAX_SCALAR} bytes")
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def is_lines(text: str) -> bool:
    """Whether text of several lines holds only what the portal takes from a file."""
    return all(line.isprintable() for line in text.replace("\r\n", "\n").replace("\t", " ").split("\n"))


def flag(value: bool) -> str:
    return "true" if value else "false"


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-03-02T09:30:00.000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def entry(name: str, value: str) -> str:
    """A top-level line; `value` as it is to stand in the file."""
    return f":{name}: {value}\n"


def text_block(name: str, text: str) -> str:
    """A top-level block scalar; `text` ends with exactly one line break, as PEM does."""
    lines = text.rstrip("\n").split("\n")
    return f":{name}: |\n" + "".join(f"  {line}\n" for line in lines)


def head(kind: str) -> str:
    """How every content begins."""
    return entry("format", FORMAT) + entry("type", kind)


def encode(parts: Iterable[str], *, chunk: int = 64 * 1024) -> Iterable[bytes]:
    """The parts as UTF-8 in pieces of about `chunk` characters, so that a long file is never held whole."""
    gathered: list[str] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= chunk:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    yield "".join(gathered).encode()
