"""The files of an exchange, in rows of the database: they are there with their exchange or not at all, wherever a
worker runs. Each piece is packed and encrypted."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from pki.services import vault
from sync.models import Exchange, ExchangePart
from sync.states import ExchangeKind, Side

PIECE: Final = 1024 * 1024
_LEVEL: Final = 1


class Writer:
    """Collects bytes and stores them piece by piece, in the caller's transaction. Call `finish` at the end."""

    def __init__(self, exchange: Exchange, side: Side) -> None:
        self.exchange, self.side = exchange, side
        self.size, self._number, self._pending = 0, 0, bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        self.size += len(data)
        while len(self._pending) >= PIECE:
            self._store(bytes(self._pending[:PIECE]))
            del self._pending[:PIECE]
        return len(data)

    def finish(self) -> int:
        """Store the rest; returns the size of the whole."""
        if self._pending:
            self._store(bytes(self._pending))
            self._pending.clear()
        return self.size

    def _store(self, piece: bytes) -> None:
        packed = zlib.compress(piece, _LEVEL)
        data = vault.wrap(packed, context=_context(self.exchange.pk, self.side, self._number))
        ExchangePart.objects.create(exchange=self.exchange, side=self.side, number=self._number, data=data)
        self._number += 1


class StoredFile:
    """One stored file, read from any place; one piece is in memory at a time."""

    def __init__(self, exchange: Exchange, side: Side) -> None:
        self.exchange_id, self.side = exchange.pk, side
        self._position, self._number, self._piece = 0, -1, b""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence:
            raise ValueError("only from the start")
        self._position = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, at most to the end of a piece; nothing at the end of the file."""
        number, start = divmod(self._position, PIECE)
        if number != self._number:
            self._number, self._piece = number, self._load(number)
        found = self._piece[start : start + size] if size >= 0 else self._piece[start:]
        self._position += len(found)
        return found

    def __iter__(self) -> Iterator[bytes]:
        self.seek(0)
        while piece := self.read(PIECE):
            yield piece

    def _load(self, number: int) -> bytes:
        part = ExchangePart.objects.filter(exchange=self.exchange_id, side=self.side, number=number).first()
        if part is None:
            return b""
        return zlib.decompress(vault.unwrap(bytes(part.data), context=_context(self.exchange_id, self.side, number)))


def store_file(exchange: Exchange, side: Side, chunks: Iterable[bytes]) -> int:
    """Store a whole file, in the caller's transaction; returns its size."""
    writer = Writer(exchange, side)
    for chunk in chunks:
        writer.write(chunk)
    return writer.finish()


def file_name(exchange: Exchange, side: Side) -> str:
    """As which it is downloaded: plain ASCII, whatever the server is called."""
    kind = "authorization" if exchange.kind == ExchangeKind.REGISTRATION else "synchronization"
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in exchange.server.name)
    return f"{kind}_{side.value}_{kept[:60] or exchange.server.uuid}_{exchange.pk}.yaml"


def _context(exchange_id: int, side: Side, number: int) -> str:
    return f"exchange:{exchange_id}:{side}:{number}"
