"""The outer form of every file: the content, a line `---`, and two lines with the signature over all before it.

What is uploaded may be gzip; the signature, the digest and the limits are those of the plain bytes.
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from sync.errors import FileCode, FileRefused, Problem

CHUNK: Final = 256 * 1024
FORMAT: Final = "cssm-onprem/1"
SEPARATOR: Final = b"---\n"
MAX_TRAILER: Final = 128 * 1024
"""More than a certificate and a signature can take (a scalar has 64 KiB at most)."""

MAX_LINE: Final = 512 * 1024
"""More than a scalar can take, written with six bytes for each of its own."""

# YAML of real servers packs to a twentieth or so. A bomb reaches a thousand, and is caught after the first megabytes.
_MOST_RATIO: Final = 200
_RATIO_FROM: Final = 4 * 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00\x00\xfe\xff")
_TRAILER: Final = re.compile(
    rb':signing_cert: "([A-Za-z0-9+/=]{0,65536})"\r?\n:signature: "([A-Za-z0-9+/=]{1,4096})"(?:\r?\n)?', re.ASCII
)
_LAST_LINE: Final = re.compile(rb"(?:\A|\n)---\r?\n")


class Readable(Protocol):
    """A file that can be read from any place, from its start as often as wanted."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """What was uploaded, unpacked: its size in bytes and SHA-256 in hex."""

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """`content_length` is how many bytes the signature covers; `signing_cert` is PEM, empty where none is named."""

    content_length: int
    signing_cert: str
    signature: bytes


def refuse(code: FileCode, message: str, *, line: int = 0, key: str = "") -> FileRefused:
    return FileRefused(Problem(code, message, line, key))


def unpack(chunks: Iterable[bytes], write: Callable[[bytes], object], *, most: int) -> Plain:
    """Write the plain bytes of an upload, at most `most` of them; a gzip bomb is refused after a few megabytes.

    Raises `FileRefused`: TOO_LARGE, MALFORMED (empty, cut off, NUL), FORBIDDEN_YAML (a byte order mark).
    """
    digest, size, line, of_line = hashlib.sha256(), 0, 1, 0
    for piece in _plain(iter(chunks)):
        if not size:
            _refuse_marks(piece)
        size += len(piece)
        if size > most:
            raise refuse(FileCode.TOO_LARGE, f"The file has more than {most} bytes.")
        if (place := piece.find(b"\x00")) >= 0:
            line += piece.count(b"\n", 0, place)
            raise refuse(FileCode.MALFORMED, "The file holds NUL bytes; a file is UTF-8 text.", line=line)
        line += piece.count(b"\n")
        of_line = len(piece) - end - 1 if (end := piece.rfind(b"\n")) >= 0 else of_line + len(piece)
        if of_line > MAX_LINE:
            raise refuse(FileCode.TOO_LARGE, "The line is longer than any value or comment may be.", line=line)
        digest.update(piece)
        write(piece)
    if not size:
        raise refuse(FileCode.MALFORMED, "The file is empty.")
    return Plain(size, digest.hexdigest())


def read_envelope(file: Readable, size: int) -> Envelope:
    """The trailer at the end of a plain file of `size` bytes. Raises `FileRefused` (SIGNATURE_INVALID)."""
    start = max(0, size - MAX_TRAILER)
    tail = read_exactly(file, start, size - start)
    lines = list(_LAST_LINE.finditer(tail))
    if not lines:
        raise refuse(
            FileCode.SIGNATURE_INVALID,
            "The file is not signed, or its end is missing: no line '---' with the signature below it.",
        )
    found = _TRAILER.fullmatch(tail, lines[-1].end())
    if found is None:
        raise refuse(
            FileCode.SIGNATURE_INVALID,
            "After the last line '---' there must be exactly the two lines :signing_cert: and :signature:.",
        )
    begin = lines[-1].start()
    content_length = start + begin + (1 if tail[begin : begin + 1] == b"\n" else 0)
    return Envelope(content_length, _decode(found[1]).decode("ascii", "replace"), _decode(found[2]))


def digest_content(file: Readable, length: int) -> bytes:
    """SHA-256 of the signed range, 32 bytes."""
    digest = hashlib.sha256()
    for piece in read_range(file, length):
        digest.update(piece)
    return digest.digest()


def read_range(file: Readable, length: int) -> Iterator[bytes]:
    file.seek(0)
    while length > 0:
        piece = file.read(min(CHUNK, length))
        if not piece:
            raise refuse(FileCode.MALFORMED, "The file is cut off.")
        length -= len(piece)
        yield piece


def read_exactly(file: Readable, start: int, size: int) -> bytes:
    """So many bytes from `start` on, fewer only at the end: a file may give them in pieces."""
    file.seek(start)
    found = bytearray()
    while len(found) < size and (piece := file.read(size - len(found))):
        found += piece
    return bytes(found)


def write_signed(
    content: Iterable[str], write: Callable[[bytes], object], *, sign: Callable[[bytes], bytes], signing_cert: str
) -> None:
    """Write the content and its trailer. `sign` is given the SHA-256 of the content, `signing_cert` is PEM or empty."""
    digest = hashlib.sha256()
    for line in content:
        piece = line.encode()
        digest.update(piece)
        write(piece)
    certificate = base64.b64encode(signing_cert.encode("ascii")).decode()
    signature = base64.b64encode(sign(digest.digest())).decode()
    write(SEPARATOR + f':signing_cert: "{certificate}"\n:signature: "{signature}"\n'.encode())


def copy_chunks(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise refuse(FileCode.SIGNATURE_INVALID, "The signature or certificate is not Base64.") from None


def _refuse_marks(piece: bytes) -> None:
    if piece.startswith(_MARKS):
        raise refuse(FileCode.FORBIDDEN_YAML, "The file is UTF-8 without a byte order mark.", line=1)


def _plain(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for piece in chunks:
        first += piece
        if len(first) >= len(_GZIP):
            break
    if first.startswith(_GZIP):
        yield from _inflate(first, chunks)
    else:
        if first:
            yield first
        yield from (piece for piece in chunks if piece)


def _inflate(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member (RFC 1952), complete, with nothing after it."""
    inflater, packed, unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16), 0, 0
    piece: bytes | None = first
    while piece is not None:
        packed += len(piece)
        pending = piece
        while pending:
            if inflater.eof:
                raise refuse(FileCode.MALFORMED, "There is something after the end of the gzip data.")
            try:
                plain = inflater.decompress(pending, CHUNK)
            except zlib.error:
                raise refuse(FileCode.MALFORMED, "The gzip data is damaged.") from None
            pending = inflater.unconsumed_tail or inflater.unused_data
            unpacked += len(plain)
            taken = packed - len(pending)
            if unpacked > _RATIO_FROM and unpacked > taken * _MOST_RATIO:
                raise refuse(FileCode.TOO_LARGE, f"The gzip data unpacks to more than {_MOST_RATIO} times its size.")
            if plain:
                yield plain
        piece = next(chunks, None)
    if not inflater.eof:
        raise refuse(FileCode.MALFORMED, "The gzip data is cut off.")
