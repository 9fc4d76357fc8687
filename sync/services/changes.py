"""Every product instance that a file changes, one line each: kept with the files of its exchange, and as long."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END
from itertools import islice
from types import TracebackType
from typing import IO, Final, Self

from cssm.common.rows import LazyRows
from licensing.services.devices.apply_snapshot import ChangedInstance, MarkedInstance
from sync.codecs.envelope import read_range
from sync.models import Exchange
from sync.services.storage import StoredFile, store_file
from sync.states import Change, MarkReason, Side

_IN_MEMORY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """`note` is by how much the use of each license changes, or why the instance is not counted."""

    change: Change
    id: str
    name: str
    virtual_account: str
    note: str


class ChangeList:
    """Collects the lines while a file is applied, and stores them with its exchange."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: ChangedInstance) -> None:
        self._write(row.change, row.external_id, row.name, row.virtual_account, row.use)

    def add_marked(self, row: MarkedInstance) -> None:
        name = f"{row.udi_pid}:{row.udi_serial_number}"
        self._write(Change.NOT_COUNTED.value, row.external_id, name, "", MarkReason(row.reason).explanation)

    def store(self, exchange: Exchange) -> None:
        """In the caller's transaction."""
        store_file(exchange, Side.CHANGES, read_range(self._file, self._file.tell()))
        self._file.seek(0, SEEK_END)

    def _write(self, *values: str) -> None:
        self._file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


class ChangedRows(LazyRows[ChangedRow]):
    """The list of an exchange, as far as it is asked for: the lines of one kind, or of all, in which each of the words
    stands. One piece of it is in memory at a time."""

    def __init__(self, exchange: Exchange, change: str = "", words: str = "") -> None:
        self.exchange, self.change, self.words = exchange, change, words.lower().split()

    def __len__(self) -> int:
        return sum(1 for _ in self._matching())

    def __iter__(self) -> Iterator[ChangedRow]:
        return map(_read, self._matching())

    def compute(self, start: int, stop: int) -> list[ChangedRow]:
        return [_read(line) for line in islice(self._matching(), start, stop)]

    def _matching(self) -> Iterator[bytes]:
        start = f'["{self.change}"'.encode()
        for line in _lines(self.exchange):
            if self.change and not line.startswith(start):
                continue
            if self.words:
                text = line.decode().lower()
                if not all(word in text for word in self.words):
                    continue
            yield line


def _read(line: bytes) -> ChangedRow:
    kind, *values = json.loads(line)
    return ChangedRow(Change(kind), *values)


def _lines(exchange: Exchange) -> Iterator[bytes]:
    rest = b""
    for piece in StoredFile(exchange, Side.CHANGES):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
