"""Mappings and lists read against their shapes: everything wrong with them is collected, with line and key."""

from collections.abc import Iterator
from typing import Any, Final

from yaml.events import MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent

from sync.codecs.envelope import Readable, refuse
from sync.codecs.events import Events
from sync.codecs.shapes import Either, Ignored, Kind, Rows, Scalar, Shape, Text, Wrong
from sync.codecs.shortcuts import Shortcuts
from sync.errors import MOST_PROBLEMS, FileCode, FileRefused, Problem

EXTENSIONS: Final = ":extensions"
Path = tuple[Any, ...]
"""The way to a value: (the way to its parent, its key or number), or () for the content itself."""


class Reader:
    """Reads one content. Problems of YAML itself end the reading; those of values are collected in `problems`."""

    def __init__(self, file: Readable, length: int, shortcuts: Shortcuts | None = None) -> None:
        self.events = Events(file, length, shortcuts)
        self.problems: list[Problem] = []

    def note(self, code: FileCode, message: str, path: Path, line: int) -> None:
        self.problems.append(Problem(code, message, line, show_path(path)))
        if len(self.problems) >= MOST_PROBLEMS:
            raise FileRefused(*self.problems)

    def raise_problems(self) -> None:
        if self.problems:
            raise FileRefused(*self.problems)

    def read_key(self, event: Any, known: dict[str, Any], path: Path) -> str | None:
        """The key of the next pair, None where its value is to be skipped; raises for what is no key at all."""
        if type(event) is not ScalarEvent:
            raise refuse(FileCode.FORBIDDEN_YAML, "A key must be a plain word.", line=self.events.line)
        name: str = event.value
        if not event.implicit[0] or name == "<<":
            raise refuse(FileCode.FORBIDDEN_YAML, f"{name[:60]!r} is no plain key.", line=self.events.line)
        if name in known:
            self.note(FileCode.DUPLICATE, "The key stands twice.", (path, name), self.events.line)
            return None
        return name

    def read_mapping(self, shape: Shape, path: Path) -> dict[str, Any]:
        """The values of a mapping whose start was taken; what is wrong is None and noted."""
        take, fields = self.events.take, shape.fields
        values: dict[str, Any] = {}
        start = self.events.line
        while type(event := take()) is not MappingEndEvent:
            # Millions of times in a file: a known key of a single value is read here, with all else by the methods.
            if type(event) is ScalarEvent and event.value in fields and event.implicit[0] and event.value not in values:
                name, first = event.value, take()
                kind = fields[name]
                if type(kind) is Text and type(first) is ScalarEvent and not first.implicit[0]:
                    value = first.value
                    if value and len(value) <= kind.most and value.isprintable():
                        values[name] = value
                        continue
                if isinstance(kind, Scalar) and type(first) is ScalarEvent:
                    try:
                        values[name] = kind.read(first)
                    except Wrong as wrong:
                        self.note(wrong.code, wrong.message, (path, name), self.events.line)
                        values[name] = None
                else:
                    values[name] = self.read_value(kind, name, first, path)
                continue
            unknown = self.read_key(event, values, path)
            first = take()
            if unknown is None:
                self.skip(first)
            else:
                values[unknown] = self.read_value(None, unknown, first, path)
        self.check_complete(shape, values, path, start)
        return values

    def check_complete(self, shape: Shape, values: dict[str, Any], path: Path, line: int) -> None:
        if missing := shape.required - values.keys():
            for name in sorted(missing):
                self.note(FileCode.MISSING_KEY, f"{name}: is missing.", (path, name), line)

    def read_value(self, kind: Kind | None, name: str, first: Any, path: Path) -> Any:
        line = self.events.line
        if isinstance(kind, Scalar):
            if type(first) is ScalarEvent:
                try:
                    return kind.read(first)
                except Wrong as wrong:
                    self.note(wrong.code, wrong.message, (path, name), line)
                    return None
            self.note(FileCode.WRONG_TYPE, "A single value is expected.", (path, name), line)
        elif isinstance(kind, Rows):
            return list(self.read_rows(kind, name, first, path))
        elif isinstance(kind, Either):
            if type(first) is MappingStartEvent:
                return self.read_mapping(kind.shape, (path, name))
            return self.read_value(kind.scalar, name, first, path)
        elif kind is None and name != EXTENSIONS:
            self.note(FileCode.UNKNOWN_KEY, f"There is no key {name[:60]}: here.", (path, name), line)
        self.skip(first)
        return None

    def read_rows(self, kind: Rows, name: str, first: Any, path: Path) -> Iterator[dict[str, Any]]:
        """The mappings of a list, one by one."""
        for number, line, _ in self.walk_rows(name, first, path, kind.most):
            row = self.read_mapping(kind.shape, (path, name, number))
            row["line"] = line
            yield row

    def walk_rows(
        self, name: str, first: Any, path: Path, most: int, *, shortcuts: bool = False
    ) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
        """(number, line, None) of each mapping of a list, whose start has been taken when it is given.

        Where there are `shortcuts`, an entry can be one: its whole mapping is the third part.
        """
        if type(first) is not SequenceStartEvent:
            if not (type(first) is ScalarEvent and first.implicit[0] and first.value == ""):
                self.note(FileCode.WRONG_TYPE, "A list is expected.", (path, name), self.events.line)
            self.skip(first)
            return
        number = 0
        while type(event := self.events.take()) is not SequenceEndEvent:
            line = self.events.line
            if number >= most:
                raise refuse(
                    FileCode.TOO_LARGE,
                    f"The list has more than {most} entries.",
                    line=line,
                    key=show_path((path, name)),
                )
            if type(event) is MappingStartEvent:
                yield number, line, None
            elif shortcuts and (row := self.events.find_shortcut(event)) is not None:
                yield number, line, row
            else:
                self.note(FileCode.WRONG_TYPE, "A mapping is expected.", (path, name, number), line)
                self.skip(event)
            number += 1

    def skip(self, first: Any) -> None:
        """Pass over a value, looking at nothing but YAML's own rules (keys of a mapping stand once)."""
        open_keys: list[set[str] | None] = []
        event, is_key = first, False
        while True:
            kind = type(event)
            if is_key and kind is not MappingEndEvent:
                keys = open_keys[-1]
                name = event.value if kind is ScalarEvent else ""
                if kind is not ScalarEvent or name == "<<" or keys is None or name in keys:
                    raise refuse(
                        FileCode.FORBIDDEN_YAML, f"The key {name[:60]!r} is not allowed here.", line=self.events.line
                    )
                keys.add(name)
                is_key = False
            else:
                if kind is MappingStartEvent:
                    open_keys.append(set())
                elif kind is SequenceStartEvent:
                    open_keys.append(None)
                elif kind in (MappingEndEvent, SequenceEndEvent):
                    open_keys.pop()
                if not open_keys:
                    return
                is_key = open_keys[-1] is not None
            event = self.events.take()


def show_path(path: Path) -> str:
    """`:virtual_accounts:[0]:name:`"""
    if not path:
        return ""
    parent, name, *number = path
    return f"{show_path(parent)}{name[:80]}:" + (f"[{number[0]}]" if number else "")


__all__ = ["EXTENSIONS", "Ignored", "Path", "Reader", "show_path"]
