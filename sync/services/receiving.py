"""Taking in an upload: unpacked to a temporary file within its limits, its envelope cut, nothing of it read yet."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

import structlog
from django.conf import settings

from cssm.common.errors import Unavailable
from sync.codecs.envelope import Envelope, Plain, Readable, read_envelope, unpack

log = structlog.get_logger(__name__)

_IN_MEMORY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A plain file of `plain.size` bytes, readable from its start as often as wanted."""

    file: Readable
    plain: Plain
    envelope: Envelope


@contextmanager
def receive_upload(chunks: Iterable[bytes], *, most: int | None = None) -> Iterator[Upload]:
    """The upload of at most so many bytes (without a word, MAX_UPLOAD_BYTES), while the context lasts.

    Raises `FileRefused`: TOO_LARGE, MALFORMED, FORBIDDEN_YAML, SIGNATURE_INVALID; `Unavailable` (STORAGE) where the
    disk does not take it.
    """
    file: IO[bytes]
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:

        def write(piece: bytes) -> object:
            try:
                return file.write(piece)
            except OSError as error:
                log.exception("upload_not_stored")
                raise Unavailable(
                    "The file could not be stored: the disk of this installation is full or does not work. Nothing was"
                    " changed. Tell the operator, then upload the same file again.",
                    code="STORAGE",
                ) from error

        plain = unpack(chunks, write, most=most or settings.MAX_UPLOAD_BYTES)
        yield Upload(file, plain, read_envelope(file, plain.size))
