"""Clients of an ASGI application, without a network between."""

import asyncio
from collections.abc import Iterable
from typing import Any


class Visitor:
    """One request. `leave` closes the connection; what was answered until then is in `status`, `headers` and `body`."""

    def __init__(
        self, path: str, *pieces: bytes, method: str = "POST", kind: str = "application/json", length: int | None = None
    ) -> None:
        size = sum(map(len, pieces)) if length is None else length
        headers = [(b"host", b"testserver"), (b"content-type", kind.encode()), (b"content-length", b"%d" % size)]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": headers if method == "POST" else headers[:1],
            "client": ("192.0.2.9", 40404),
            "server": ("testserver", "80"),
        }
        self.pieces = list(pieces)
        self.sent: list[Any] = []
        self.asked = 0
        self.progress = asyncio.Condition()
        self._gone = asyncio.Event()

    async def receive(self) -> Any:
        self.asked += 1
        if self.pieces or self.asked == 1:
            piece = self.pieces.pop(0) if self.pieces else b""
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        async with self.progress:
            self.sent.append(message)
            self.progress.notify_all()

    def leave(self) -> None:
        self._gone.set()

    async def call(self, application: Any) -> "Visitor":
        await application(self.scope, self.receive, self.send)
        return self

    async def see(self, wanted: bytes) -> None:
        """Wait until this much of the answer is there."""
        async with self.progress:
            await self.progress.wait_for(lambda: wanted in self.body)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return dict(_as_text(self.sent[0]["headers"]))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


class CutOff(Visitor):
    """One whose connection breaks after its first piece, with more to come."""

    async def receive(self) -> Any:
        if self.asked == 0:
            return {**await super().receive(), "more_body": True}
        return {"type": "http.disconnect"}


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
