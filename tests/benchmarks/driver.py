"""A closed-loop HTTP/1.1 driver that does as little as possible: prepared bytes out, status and body in."""

import socket
import threading
import time
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Result:
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.latencies_ms) / self.seconds


def http_request(path: str, body: bytes, *, port: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def run(requests: list[bytes], *, port: int, connections: int, accept: bytes, keep: bool = False) -> Result:
    """Send all requests over `connections` keep-alive connections; an answer without `accept` in it is a failure."""
    result, numbers, lock = Result(), count(), threading.Lock()

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (number := next(numbers)) < len(requests):
                begun = time.perf_counter()
                link.sendall(requests[number])
                answer = _read_answer(link)
                taken = (time.perf_counter() - begun) * 1000
                with lock:
                    result.latencies_ms.append(taken)
                    if accept not in answer:
                        result.failures.append(answer)
                    if keep:
                        result.bodies[number] = answer.partition(b"\r\n\r\n")[2]

    threads = [threading.Thread(target=work) for _ in range(connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - begun
    return result


def _read_answer(link: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = link.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += link.recv(65536)
    return head + b"\r\n\r\n" + body
