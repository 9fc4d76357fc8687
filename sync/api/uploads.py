"""Files in and out of API calls: read as a stream, never held whole."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.exceptions import UnsupportedMediaType

from cssm.common.downloads import send_file
from cssm.common.errors import Invalid
from sync.codecs.envelope import CHUNK, refuse
from sync.errors import FileCode
from sync.models import Exchange
from sync.services.exchanges import open_file, size_of_file
from sync.services.receiving import Upload, receive_upload
from sync.services.storage import file_name
from sync.states import Side

YAML: Final = "application/yaml"
BODY_TYPES: Final = (YAML, "application/gzip", "application/octet-stream", "application/x-yaml", "application/x-gzip")
MULTIPART: Final = "multipart/form-data"
_MULTIPART_EXTRA: Final = 64 * 1024


def receive(request: HttpRequest, *, most: int | None = None) -> AbstractContextManager[Upload]:
    """The file in a request: its body, or the multipart field `file`; of at most so many bytes, without a word
    MAX_UPLOAD_BYTES. Raises `FileRefused`, `Invalid`."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    limit = min(most or settings.MAX_UPLOAD_BYTES, settings.MAX_UPLOAD_BYTES)
    if length.isdecimal() and int(length) > limit + _MULTIPART_EXTRA:
        raise refuse(FileCode.TOO_LARGE, f"The file has more than {limit} bytes.")
    if request.content_type == MULTIPART:
        file = request.FILES.get("file")
        if file is None:
            raise Invalid("The form has no file in its field 'file'.", code=FileCode.MALFORMED.value, where="file")
        return receive_upload(file.chunks(), most=limit)
    if request.content_type not in BODY_TYPES:
        raise UnsupportedMediaType(request.content_type or "nothing")
    return receive_upload(read_chunks(request), most=limit)


def read_chunks(request: HttpRequest) -> Iterator[bytes]:
    while piece := request.read(CHUNK):
        yield piece


def wants_background(request: HttpRequest) -> bool:
    """RFC 7240."""
    preferences = request.headers.get("Prefer", "").lower().split(",")
    return any(preference.strip().partition(";")[0].strip() == "respond-async" for preference in preferences)


def answer_file(exchange: Exchange, *, side: Side = Side.RESPONSE, status: int = 200) -> StreamingHttpResponse:
    """One of the two files of an exchange, as a download. Raises `NotFound` where there is none."""
    return send_file(
        open_file(exchange, side),
        name=file_name(exchange, side),
        size=size_of_file(exchange, side),
        content_type=YAML,
        status=status,
    )


def show_problems(errors: Any) -> list[dict[str, Any]]:
    return [
        {"line": row.get("line", 0), "key": row.get("key", ""), "code": row["code"], "message": row["message"]}
        for row in errors
    ]
