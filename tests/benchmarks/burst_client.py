"""Run as a program: the clients of the burst, each in its own process, so that neither's measure waits for the other.

`burst_client.py burst|steady FILE PORT RATE`, where FILE is a JSON list of [kind, request as Latin-1 text]. `burst`
opens a connection for each, then sends all of them at once. `steady` sends RATE a second, whatever becomes of them,
each over a connection of its own, until there are no more or standard input ends. Both print JSON: a list of [kind,
moment of sending, seconds until the answer was there, start of the answer where it is no success]. Moments are
monotonic and the same in all processes.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

ACCEPTED = b'\\"status_code\\":\\"OK\\"'
PATIENCE = 240.0


class Exchange(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, kind: str, request: bytes) -> None:
        self.kind, self.request = kind, request
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = self.taken = 0.0
        self.data = b""
        self.wanted = -1
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connected.set_result(None)

    def send(self) -> None:
        self.sent = time.monotonic()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.wanted < 0 and (head := self.data.find(b"\r\n\r\n")) > 0:
            lines = self.data[:head].lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self.wanted = head + 4 + length
        if 0 <= self.wanted <= len(self.data):
            self.taken = time.monotonic() - self.sent
            self.transport.close()
            self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)

    @property
    def outcome(self) -> tuple[str, float, float, str]:
        failure = "" if self.taken and ACCEPTED in self.data else (self.data[:600].decode("latin-1") or "no answer")
        return self.kind, self.sent, self.taken, failure


async def connect(kind: str, request: bytes, port: int) -> Exchange:
    exchange = Exchange(kind, request)
    await asyncio.get_running_loop().create_connection(lambda: exchange, "127.0.0.1", port)
    return exchange


async def burst(requests: list[tuple[str, bytes]], port: int) -> list[Exchange]:
    exchanges = [await connect(kind, request, port) for kind, request in requests]
    for exchange in exchanges:
        exchange.send()
    await asyncio.wait([exchange.answered for exchange in exchanges], timeout=PATIENCE)
    return exchanges


async def steady(requests: list[tuple[str, bytes]], port: int, rate: float) -> list[Exchange]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: None if ended.done() else ended.set_result(None))
    begun = time.monotonic()
    tasks = []

    async def one(kind: str, request: bytes) -> Exchange:
        exchange = await connect(kind, request, port)
        exchange.send()
        await asyncio.wait([exchange.answered], timeout=PATIENCE)
        return exchange

    for number, (kind, request) in enumerate(requests):
        await asyncio.wait([ended], timeout=max(0.0, begun + number / rate - time.monotonic()))
        if ended.done():
            break
        tasks.append(loop.create_task(one(kind, request)))
    return list(await asyncio.gather(*tasks))


def main(what: str, file: str, port: int, rate: float) -> None:
    requests = [(kind, text.encode("latin-1")) for kind, text in json.loads(Path(file).read_text())]
    work = burst(requests, port) if what == "burst" else steady(requests, port, rate)
    json.dump([exchange.outcome for exchange in asyncio.run(work)], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
