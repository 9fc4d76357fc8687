"""libyaml's events, one by one, with everything refused that two readers could understand differently.

One document in block style: no tags, anchors, aliases, merge keys, explicit document marks or flow collections
(except empty ones), at most 12 levels, scalars of at most 64 KiB. What libyaml has to hold between two events is
limited too, so that no scalar is ever in memory whole to be found too long.
"""

from typing import Any, Final

import yaml
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from sync.codecs.envelope import Readable, refuse
from sync.codecs.shortcuts import Shortcuts
from sync.errors import FileCode

MAX_DEPTH: Final = 12
MAX_SCALAR: Final = 64 * 1024
# A scalar can be written with six bytes for each of its own; libyaml reads ahead by a few kilobytes.
_MOST_BETWEEN: Final = 8 * MAX_SCALAR
# What has fewer characters has fewer bytes than are allowed, whatever they are.
_SURELY_SHORT: Final = MAX_SCALAR // 4
_ENDS: Final = (MappingEndEvent, SequenceEndEvent)
_STARTS: Final = (MappingStartEvent, SequenceStartEvent)


class _Feed:
    """The signed range of a file, counted since `reader` was given its last event."""

    def __init__(self, reader: "Events", file: Readable, length: int) -> None:
        file.seek(0)
        self.reader, self.file, self.left = reader, file, length
        self.since, self.event = 0, None

    def read(self, size: int = 4096, /) -> bytes:
        # Here rather than at each event: there are dozens of them in a piece.
        if self.event is not self.reader.event:
            self.since, self.event = 0, self.reader.event
        shortcuts = self.reader.shortcuts
        piece = self.fetch(size) if shortcuts is None else shortcuts.read(self.fetch, size)
        self.since += len(piece)
        if self.since > _MOST_BETWEEN:
            message = f"A value or comment is longer than {MAX_SCALAR} bytes."
            raise refuse(FileCode.TOO_LARGE, message, line=self.reader.line)
        return piece

    def fetch(self, size: int) -> bytes:
        piece = self.file.read(min(size, self.left))
        self.left -= len(piece)
        return piece


class Events:
    """Call `start` once, then `take` for each event of the content, then `finish`."""

    def __init__(self, file: Readable, length: int, shortcuts: Shortcuts | None = None) -> None:
        self.length, self.shortcuts = length, shortcuts
        self.event: Any = None
        self._feed = _Feed(self, file, length)
        self._next = CParser(self._feed).get_event
        self._depth = 0
        self._in_flow = False

    @property
    def line(self) -> int:
        """Where the last event began, from 1."""
        return 1 if self.event is None else int(self.event.start_mark.line) + 1

    @property
    def bytes_read(self) -> int:
        return self.length - self._feed.left

    def start(self) -> None:
        """The start of the one document, whose content is a mapping."""
        if type(self._event()) is not StreamStartEvent:
            raise refuse(FileCode.MALFORMED, "This is not YAML.")
        event = self._event()
        if type(event) is not DocumentStartEvent:
            raise refuse(FileCode.MALFORMED, "The file has no content.")
        if event.explicit or event.version or event.tags:
            raise self.forbid("document marks and directives")
        if type(self.take()) is not MappingStartEvent:
            raise refuse(FileCode.WRONG_TYPE, "The content must be a mapping.", line=1)

    def finish(self) -> None:
        """Raises unless the document and the stream end here."""
        event = self._event()
        if type(event) is DocumentEndEvent and event.explicit:
            raise self.forbid("document marks")
        if type(self._event()) is not StreamEndEvent:
            raise refuse(FileCode.FORBIDDEN_YAML, "There is a second document in the content.", line=self.line)
        if self.shortcuts is not None:
            self.shortcuts.finish()

    def find_shortcut(self, event: Any) -> dict[str, Any] | None:
        """The mapping that a list entry stands for, if it does."""
        if self.shortcuts is None or type(event) is not ScalarEvent:
            return None
        return self.shortcuts.find(event.value, self.line)

    def take(self) -> Any:
        """The next event within the content. Raises `FileRefused`: FORBIDDEN_YAML, MALFORMED, TOO_LARGE."""
        # By far most are short single values outside of flow collections.
        try:
            event: Any = self._next()
        except yaml.YAMLError as error:
            raise self._malformed(error) from None
        kind = type(event)
        if kind is ScalarEvent and not self._in_flow:
            self.event = event
            if event.tag is not None or event.anchor is not None:
                raise self.forbid("tags and anchors")
            value = event.value
            if len(value) > _SURELY_SHORT and len(value.encode()) > MAX_SCALAR:
                raise refuse(FileCode.TOO_LARGE, f"A value is longer than {MAX_SCALAR} bytes.", line=self.line)
            if "\x00" in value:
                raise refuse(FileCode.MALFORMED, "A value holds a NUL character.", line=self.line)
            return event
        if event is None:
            raise refuse(FileCode.MALFORMED, "The content ends too early.", line=self.line)
        self.event = event
        if self._in_flow and kind not in _ENDS:
            raise self.forbid("flow collections ({…} and […]) other than empty ones")
        self._in_flow = False
        if kind in _STARTS:
            if event.tag is not None or event.anchor is not None:
                raise self.forbid("tags and anchors")
            self._depth += 1
            self._in_flow = event.flow_style
            if self._depth > MAX_DEPTH:
                raise refuse(
                    FileCode.TOO_LARGE, f"The content is nested deeper than {MAX_DEPTH} levels.", line=self.line
                )
        elif kind in _ENDS:
            self._depth -= 1
        elif kind is AliasEvent:
            raise self.forbid("aliases")
        else:
            raise refuse(FileCode.MALFORMED, "The content ends too early.", line=self.line)
        return event

    def forbid(self, what: str) -> Exception:
        return refuse(FileCode.FORBIDDEN_YAML, f"Files have no {what}.", line=self.line)

    def _event(self) -> Any:
        """The next event, also before and behind the content."""
        try:
            event: Any = self._next()
        except yaml.YAMLError as error:
            raise self._malformed(error) from None
        if event is None:
            raise refuse(FileCode.MALFORMED, "The content ends too early.", line=self.line)
        self.event = event
        return event

    def _malformed(self, error: yaml.YAMLError) -> Exception:
        mark = getattr(error, "problem_mark", None)
        line = self.line if mark is None else mark.line + 1
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        return refuse(FileCode.MALFORMED, f"This is not the YAML of a file: {reason}.", line=line)
