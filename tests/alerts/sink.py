"""A real SMTP server on a loopback socket, that can be told to misbehave."""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Sink:
    """`arrived` holds (recipient, Message-ID) of every message that the server got whole.

    `at_rcpt` and `at_data` are answers to give, first come first served, before it accepts everything;
    "drop" as an answer to DATA breaks the connection without one, "drop" at RCPT before anything was handed over.
    """

    arrived: list[tuple[str, str]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    at_rcpt: list[str] = field(default_factory=list)
    at_data: list[str] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.at_rcpt.pop(0) if self.at_rcpt else "250 OK"
        if answer == "drop":
            return await self._drop(server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content: Any = envelope.content
        found = re.search(rb"(?im)^Message-ID:\s*(\S+)", content)
        self.arrived.append((envelope.rcpt_tos[0], found.group(1).decode() if found else ""))
        self.contents.append(content)
        answer = self.at_data.pop(0) if self.at_data else "250 OK"
        return await self._drop(server) if answer == "drop" else answer

    async def _drop(self, server: SMTP) -> str:
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
        raise asyncio.CancelledError


@contextmanager
def running_sink() -> Iterator[Sink]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink = Sink(port=probe.getsockname()[1])
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
