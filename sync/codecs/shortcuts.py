"""Product instances in their plainest form, recognised in the text before libyaml has to look at it.

Nearly all of a large file are instances whose lines are each a known key and a plain or simply quoted value. Such a
text is read here, and libyaml is given a list entry of one value in its place, with as many lines, in which stands a
word that nobody could know when the file was written. Where that word comes back as an entry of a list of instances, in
its turn, the text itself would have been an entry there too, for all of its lines are further in than its dash. Should
the text have been something else, a part of a longer value say, the word comes back elsewhere or not at all: `Misread`.

Whatever is in any way special stays as it is, so everything that is wrong with a file is still found by the reader.
"""

import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from yaml.events import ScalarEvent

from sync.codecs.shapes import Rows, Scalar, Shape, Text, Wrong

_PIECE: Final = 256 * 1024
# An instance whose text is longer is none of the plain ones.
_MOST: Final = 64 * 1024

# Printable ASCII in quotes without any escape, or a word that YAML ends at the end of its line.
_VALUE: Final = r'(?:"[ !#-\[\]-~]*+"|[A-Za-z0-9](?:[A-Za-z0-9_.,/+:-]*[A-Za-z0-9_])?)'
_PAIR: Final = rf":[a-z_]+: {_VALUE}"


def _use(indent: str) -> str:
    number = "(?:0|[1-9][0-9]{0,8})"
    return rf"\n{indent}- :id: {_VALUE}\n(?P=use)  :tag: {_VALUE}\n(?P=use)  :consumed_quantity: {number}"


_INSTANCE: Final = re.compile(
    (
        rf"\n(?P<dash> {{0,16}})- (?P<before>{_PAIR}(?:\n(?P=dash)  {_PAIR})*+)"
        rf"\n(?P=dash)  :license:(?: \[\]|(?P<uses>{_use('(?P<use>(?P=dash)  (?:  )?)')}(?:{_use('(?P=use)')})*+))"
        rf"(?P<after>(?:\n(?P=dash)  {_PAIR})*+)"
        # Were the next line further in than the dash, it would go on with the last value.
        r"(?=\n(?!(?P=dash) ) *[-:])"
    ).encode("ascii")
)
_PAIRS: Final = re.compile(r"(:[a-z_]+): (.+)")
_USES: Final = re.compile(r":id: (.+)\n *:tag: (.+)\n *:consumed_quantity: (.+)")
_ID, _TAG, _QUANTITY = _USE_KEYS = (":id", ":tag", ":consumed_quantity")


class Misread(Exception):
    """A text was taken for an instance that is none: the file is to be read again without shortcuts."""


def _reader(kind: Scalar) -> Callable[[str], Any]:
    """Reads the value written as it is given; raises `Wrong`."""

    @lru_cache(2048)
    def read(raw: str) -> Any:
        is_quoted = raw[0] == '"'
        return kind.read(ScalarEvent(None, None, (not is_quoted, is_quoted), raw[1:-1] if is_quoted else raw))

    return read


class Shortcuts:
    """Give libyaml what `read` returns, in place of what `fetch` does; ask `find` for the instance behind an entry."""

    def __init__(self, shape: Shape, uses: Rows) -> None:
        """`shape` is that of an instance, `uses` what it has under `:license:`."""
        self._kinds = {name: kind for name, kind in shape.fields.items() if isinstance(kind, Scalar)}
        self._readers = {name: _reader(kind) for name, kind in self._kinds.items()}
        kinds = [uses.shape.fields[name] for name in _USE_KEYS]
        self._use_readers = [_reader(kind) for kind in kinds if isinstance(kind, Scalar)]
        self._required, self._most = shape.required, uses.most
        self._word = f"instance-{secrets.token_hex(16)}-"
        self._rows: dict[str, dict[str, Any]] = {}
        self._given = self.found = 0
        self._rest, self._ready, self._place = b"", b"", 0

    def read(self, fetch: Callable[[int], bytes], size: int) -> bytes:
        """At most `size` bytes for libyaml, none at the end."""
        while self._place >= len(self._ready):
            piece = b""
            while len(piece) < _PIECE and (more := fetch(_PIECE - len(piece))):
                piece += more
            self._ready, self._place = self._replace(piece), 0
            if not piece:
                break
        place = self._place
        self._place += size
        return self._ready[place : place + size]

    def find(self, value: str, line: int) -> dict[str, Any] | None:
        """What a mapping of the shape reads as that begins on this line, if `value` stands for one.

        Raises `Misread` where it is out of turn.
        """
        if not value.startswith(self._word):
            return None
        if value != f"{self._word}{self.found}":
            raise Misread
        self.found += 1
        row = self._rows.pop(value)
        for use in row[":license"]:
            use["line"] += line
        return row

    def finish(self) -> None:
        """Raises `Misread` unless all came back."""
        if self.found != self._given:
            raise Misread

    def _replace(self, piece: bytes) -> bytes:
        """The text as far as it is known what it is; the rest waits for what follows."""
        text = self._rest + piece
        if not piece:
            self._rest = b""
            return text
        parts, done = [], 0
        for match in _INSTANCE.finditer(text):
            begin, end = match.span()
            if (row := self._row(match)) is not None:
                word = f"{self._word}{self._given}"
                self._given += 1
                self._rows[word] = row
                entry = f'\n{match["dash"].decode()}- "{word}"'.encode() + b"\n" * (text.count(b"\n", begin, end) - 1)
                parts += [text[done:begin], entry]
            else:
                parts.append(text[done:end])
            done = end
        # What follows the last instance is likely to be the beginning of the next.
        keep = done if done and len(text) - done <= _MOST else max(done, text.rfind(b"\n"))
        parts.append(text[done:keep])
        self._rest = text[keep:]
        return b"".join(parts)

    def _row(self, match: re.Match[bytes]) -> dict[str, Any] | None:
        """The instance as the reader would give it, None where that has something to say about it.

        The lines of its uses count from its own.
        """
        before, uses, after = match.group("before", "uses", "after")
        kinds, readers = self._kinds, self._readers
        pairs = _PAIRS.findall((before + after).decode("ascii"))
        row: dict[str, Any] = {}
        try:
            for name, raw in pairs:
                kind = kinds[name]
                # By far most are texts in quotes, each another.
                if raw[0] == '"' and type(kind) is Text and 2 < len(raw) <= kind.most:
                    row[name] = raw[1:-1]
                else:
                    row[name] = readers[name](raw)
            row[":license"] = [] if uses is None else self._read_uses(uses, before.count(b"\n") + 2)
        except (KeyError, Wrong):
            return None
        is_twice = len(row) <= len(pairs)
        return None if is_twice or not self._required <= row.keys() or len(row[":license"]) > self._most else row

    def _read_uses(self, text: bytes, line: int) -> list[dict[str, Any]]:
        read_id, read_tag, read_quantity = self._use_readers
        return [
            {_ID: read_id(id), _TAG: read_tag(tag), _QUANTITY: read_quantity(quantity), "line": line + 3 * number}
            for number, (id, tag, quantity) in enumerate(_USES.findall(text.decode("ascii")))
        ]
