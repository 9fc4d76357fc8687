"""Files handed to a browser or program as a stream."""

from collections.abc import Iterable

from django.http import StreamingHttpResponse


def send_file(
    pieces: Iterable[bytes], *, name: str, size: int, content_type: str, status: int = 200
) -> StreamingHttpResponse:
    """A download that nobody between keeps. `name` is plain ASCII without quotes."""
    response = StreamingHttpResponse(pieces, status=status, content_type=content_type)
    response.headers["Content-Length"] = str(size)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response
