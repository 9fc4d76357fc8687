"""A strict reader of contents: libyaml's events, checked against a shape, with constant memory.

Allowed is what `docs/cycles/onprem-server.md` shows and nothing else: block style, plain keys, no tags, anchors,
aliases, merge keys, duplicate or unknown keys, one document, at most 12 levels, scalars of at most 64 KiB.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

import yaml

from agents.onprem.documents.writer import MAX_SCALAR
from agents.onprem.errors import FileRefused

MAX_DEPTH: Final = 12
MAX_BETWEEN_EVENTS: Final = 8 * MAX_SCALAR
"""Bytes that may be read before the next event: the longest scalar in its longest spelling, and libyaml's buffers."""

EXTENSIONS: Final = "extensions"
START: Final = b":format:"

_AMBIGUOUS: Final = re.compile(
    r"""(?xi) \A (?: ~ | null | true | false | yes | no | on | off | y | n | = | <<
        | [-+]? \. (?: inf | nan )
        | [-+]? 0 (?: [0-9_]+ | o[0-7_]+ | b[01_]+ | x[0-9a-f_]+ )              # octal, binary, hexadecimal
        | [-+]? [0-9][0-9_]* (?: : [0-5]?[0-9] )+ (?: \.[0-9_]* )?              # base 60
        | [-+]? (?: [0-9][0-9_]* )? \. [0-9_]+ (?: e[-+]?[0-9]+ )?
        | [-+]? [0-9][0-9_]* (?: \.[0-9_]* )? e [-+]? [0-9]+ ) \Z"""
)
"""Unquoted, some reader of YAML takes it for something else than text, or for another text."""
_NUMBER: Final = re.compile(r"\A(?:0|[1-9][0-9]{0,15})\Z")
_DATE: Final = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME: Final = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z\Z")

Shape = Callable[["Reader", Any, str], Any]
"""Reads one value whose first event is given, at a path inside the file."""


class _Bounded:
    """The first `length` bytes of a file, for libyaml; refuses what no event should need."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._left = length
        self.since_event = 0

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(chunk)
        self.since_event += len(chunk)
        if self.since_event > MAX_BETWEEN_EVENTS:
            raise FileRefused("TOO_LARGE", f"A value is longer than {MAX_SCALAR} bytes.")
        if b"\r" in chunk or b"\0" in chunk:
            raise FileRefused("MALFORMED", "The file holds carriage returns or NUL bytes.")
        return chunk


def is_plain(event: Any) -> bool:
    """A scalar without quotes (no tags are allowed, so nothing else is implied by being plain)."""
    return bool(event.implicit[0])


class Reader:
    """The events of one content. `file` stands at its start and holds `length` bytes of it."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        if file.read(len(START)) != START:
            raise FileRefused("UNSUPPORTED_FORMAT", "The content does not start with ':format:'.", line=1)
        file.seek(0)
        self._source = _Bounded(file, length)
        self._events: Iterator[Any] = yaml.parse(self._source, Loader=yaml.CSafeLoader)
        self._depth = 0

    def read(self, shape: Shape) -> Any:
        """The whole content as `shape`. Raises FileRefused."""
        try:
            self._expect(yaml.StreamStartEvent)
            start = self._expect(yaml.DocumentStartEvent)
            if start.explicit or start.version or start.tags:
                raise self.refuse("FORBIDDEN_YAML", "directives and '---' are not allowed in the content", start)
            value = shape(self, self.next(), "")
            end = self._expect(yaml.DocumentEndEvent)
            if end.explicit:
                raise self.refuse("FORBIDDEN_YAML", "'...' is not allowed in the content", end)
            self._expect(yaml.StreamEndEvent)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "it is not YAML"
            raise FileRefused("MALFORMED", f"{problem}.", line=mark.line + 1 if mark else None) from None
        return value

    def next(self) -> Any:
        """The next event of the one document, already known to use nothing forbidden."""
        event = next(self._events)
        self._source.since_event = 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.refuse("FORBIDDEN_YAML", "anchors and aliases are not allowed", event)
        if getattr(event, "tag", None):
            raise self.refuse("FORBIDDEN_YAML", "tags are not allowed", event)
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self.refuse("OUT_OF_RANGE", f"deeper than {MAX_DEPTH} levels", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value.encode()) > MAX_SCALAR:
            raise self.refuse("TOO_LARGE", f"a value is longer than {MAX_SCALAR} bytes", event)
        return event

    def refuse(self, code: str, message: str, event: Any, path: str | None = None) -> FileRefused:
        return FileRefused(code, f"{message}.", line=event.start_mark.line + 1, key=path or None)

    def enter(self, event: Any, kind: type[yaml.CollectionStartEvent], path: str) -> bool:
        """Check the start of a collection; False where it is an empty one in flow style, then read to its end."""
        if not isinstance(event, kind):
            wanted = "a mapping" if kind is yaml.MappingStartEvent else "a list"
            raise self.refuse("WRONG_TYPE", f"{wanted} is expected", event, path)
        if not event.flow_style:
            return True
        if not isinstance(self.next(), yaml.CollectionEndEvent):
            raise self.refuse("FORBIDDEN_YAML", "flow collections are allowed only empty", event, path)
        return False

    def skip(self, event: Any, path: str) -> None:
        """Read over one value of any shape; what is forbidden everywhere is forbidden here too."""
        if not isinstance(event, yaml.CollectionStartEvent):
            return
        if not self.enter(event, type(event), path):
            return
        level = self._depth
        while self._depth >= level:
            inner = self.next()
            if isinstance(inner, yaml.CollectionStartEvent):
                self.skip(inner, path)

    def _expect(self, kind: type) -> Any:
        event = next(self._events)
        if not isinstance(event, kind):
            raise self.refuse("FORBIDDEN_YAML", "a file holds one content and nothing after it", event)
        return event


@dataclass(frozen=True)
class Record:
    """A mapping of known keys (without their colons); `required` ones must be there.

    Below `:extensions:` anything may stand: what `extensions` knows there is read, by its name; the rest is read over.
    A `loose` record reads over every key that it does not know.
    """

    required: Mapping[str, Shape]
    optional: Mapping[str, Shape] = field(default_factory=dict)
    extensions: Mapping[str, Shape] = field(default_factory=dict)
    loose: bool = False

    def __call__(self, reader: Reader, event: Any, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        seen: set[str] = set()
        if self.loose and not isinstance(event, yaml.MappingStartEvent):
            reader.skip(event, path)
        elif reader.enter(event, yaml.MappingStartEvent, path):
            while not isinstance(key := reader.next(), yaml.MappingEndEvent):
                name = self._read_key(reader, key, path)
                here = f"{path}:{name}:"
                if name in seen:
                    raise reader.refuse("DUPLICATE", "the key stands there twice", key, here)
                seen.add(name)
                shape = self.required.get(name) or self.optional.get(name)
                if name == EXTENSIONS and self.extensions:
                    shape = Record({}, self.extensions, loose=True)
                if shape is None and (self.loose or name == EXTENSIONS):
                    reader.skip(reader.next(), here)
                    continue
                if shape is None:
                    raise reader.refuse("UNKNOWN_KEY", "the key is not known", key, here)
                values[name] = shape(reader, reader.next(), here)
        for name in self.required:
            if name not in values:
                raise reader.refuse("MISSING_KEY", "the key is missing", event, f"{path}:{name}:")
        return values

    def _read_key(self, reader: Reader, event: Any, path: str) -> str:
        if not isinstance(event, yaml.ScalarEvent) or not is_plain(event) or event.value == "<<":
            raise reader.refuse("FORBIDDEN_YAML", "a key is a plain ':name:'", event, path)
        if self.loose and not event.value.startswith(":"):
            return str(event.value)  # of others, in their own way
        if len(event.value) < 2 or not event.value.startswith(":"):
            raise reader.refuse("UNKNOWN_KEY", f"{event.value[:80]!r} is not a key", event, path)
        return str(event.value[1:])


@dataclass(frozen=True)
class Each:
    """A list whose items are given to `take` as they come and are not kept."""

    shape: Shape
    take: Callable[[Any], None]

    def __call__(self, reader: Reader, event: Any, path: str) -> int:
        count = 0
        if reader.enter(event, yaml.SequenceStartEvent, path):
            while not isinstance(item := reader.next(), yaml.SequenceEndEvent):
                self.take(self.shape(reader, item, f"{path}[{count}]"))
                count += 1
        return count


def many(shape: Shape) -> Shape:
    """A list that is kept."""

    def read(reader: Reader, event: Any, path: str) -> list[Any]:
        items: list[Any] = []
        Each(shape, items.append)(reader, event, path)
        return items

    return read


def text(reader: Reader, event: Any, path: str) -> str:
    """Quoted or block text; plain text only where no reader of YAML could take it for something else."""
    if not isinstance(event, yaml.ScalarEvent):
        raise reader.refuse("WRONG_TYPE", "text is expected", event, path)
    if is_plain(event) and (not event.value or _AMBIGUOUS.match(event.value)):
        raise reader.refuse("WRONG_TYPE", "text is expected (put it in quotes)", event, path)
    return str(event.value)


def number(reader: Reader, event: Any, path: str) -> int:
    """A whole number from 0 in plain decimal digits."""
    if not isinstance(event, yaml.ScalarEvent) or not is_plain(event) or not _NUMBER.match(event.value):
        raise reader.refuse("WRONG_TYPE", "a whole number is expected", event, path)
    return int(event.value)


def identifier(reader: Reader, event: Any, path: str) -> str:
    """A number, or text; as text."""
    if isinstance(event, yaml.ScalarEvent) and is_plain(event) and _NUMBER.match(event.value):
        return str(event.value)
    return text(reader, event, path)


def flag(reader: Reader, event: Any, path: str) -> bool:
    if not isinstance(event, yaml.ScalarEvent) or not is_plain(event) or event.value not in ("true", "false"):
        raise reader.refuse("WRONG_TYPE", "true or false is expected", event, path)
    return bool(event.value == "true")


def moment(reader: Reader, event: Any, path: str) -> str:
    """A timestamp as it stands: it may have to be quoted back unchanged."""
    if not isinstance(event, yaml.ScalarEvent) or not _TIME.match(event.value):
        raise reader.refuse("WRONG_TYPE", "a time like 2026-03-02T09:30:00Z is expected", event, path)
    return str(event.value)


def date(reader: Reader, event: Any, path: str) -> str:
    """A day or a timestamp, as it stands."""
    if not isinstance(event, yaml.ScalarEvent) or not (_DATE.match(event.value) or _TIME.match(event.value)):
        raise reader.refuse("WRONG_TYPE", "a date like 2026-03-02 is expected", event, path)
    return str(event.value)


def facts(reader: Reader, event: Any, path: str) -> dict[str, str]:
    """A mapping of any keys to scalars, all kept as text: for what is only shown."""
    found: dict[str, str] = {}
    if reader.enter(event, yaml.MappingStartEvent, path):
        while not isinstance(key := reader.next(), yaml.MappingEndEvent):
            value = reader.next()
            if not (isinstance(key, yaml.ScalarEvent) and isinstance(value, yaml.ScalarEvent)):
                raise reader.refuse("WRONG_TYPE", "a simple value is expected", value, path)
            if key.value in found:
                raise reader.refuse("DUPLICATE", "the key stands there twice", key, path)
            found[key.value] = value.value
    return {name.strip(":"): value for name, value in found.items()}


def optional(shape: Shape) -> Shape:
    """The shape, or null."""

    def read(reader: Reader, event: Any, path: str) -> Any:
        if isinstance(event, yaml.ScalarEvent) and is_plain(event) and event.value in ("", "~", "null"):
            return None
        return shape(reader, event, path)

    return read
