"""Long bodies and answers pass by piece by piece."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from cssm.serving.streams import Streams
from tests.serving.visitors import CutOff, Visitor

PIECE = b"x" * 65_536


def run(application: Any, play: Callable[[Streams], Awaitable[Any]], *, threads: int = 1) -> Any:
    async def limited() -> Any:
        streams = Streams(application, threads=threads)
        try:
            return await asyncio.wait_for(play(streams), 20)
        finally:
            await asyncio.to_thread(streams.close)

    return asyncio.run(limited())


class Report:
    """An answer that is made only as far as it is let, and notes its end."""

    def __init__(self, pieces: int) -> None:
        self.made, self.pieces = 0, pieces
        self.go_on, self.closed = threading.Semaphore(1), threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> "Report":
        start_response("200 OK", [("Content-Type", "text/csv")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self.pieces):
            assert self.go_on.acquire(timeout=10)
            self.made += 1
            yield b"line %d\n" % number

    def close(self) -> None:
        self.closed.set()


def test_the_first_line_of_a_report_is_sent_before_the_second_is_made():
    report = Report(3)

    async def play(streams: Streams) -> None:
        visitor = Visitor("/reports/", method="GET")
        reading = asyncio.create_task(visitor.call(streams))
        for number in range(3):
            await visitor.see(b"line %d\n" % number)
            assert report.made == number + 1
            report.go_on.release()
        await reading
        assert visitor.body == b"line 0\nline 1\nline 2\n"
        assert visitor.headers == {"content-type": "text/csv"}

    run(report, play)
    assert report.closed.is_set()


def test_a_report_ends_where_its_reader_has_gone():
    report = Report(10_000)

    async def play(streams: Streams) -> None:
        visitor = Visitor("/reports/", method="GET")
        reading = asyncio.create_task(visitor.call(streams))
        await visitor.see(b"line 0\n")
        report.go_on.release()
        await visitor.see(b"line 1\n")
        visitor.leave()
        while asyncio.all_tasks() - {asyncio.current_task(), reading} and not report.closed.is_set():
            report.go_on.release()
            await asyncio.sleep(0)
        await reading

    run(report, play)
    assert report.closed.is_set()
    assert report.made < 10_000


def test_of_a_large_upload_no_more_is_taken_than_is_read():
    """The network holds the rest back, so that a file of any size fits."""
    taken: list[int] = []
    visitor = Visitor("/onprem/files", *[PIECE] * 200)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        while piece := environ["wsgi.input"].read(len(PIECE)):
            assert piece == PIECE
            taken.append(visitor.asked)
        start_response("200 OK", [])
        return [b"%d" % len(taken)]

    answered = run(application, visitor.call)
    assert answered.body == b"200"
    assert taken == list(range(1, 201))


def test_an_upload_that_breaks_off_is_not_taken_for_a_whole_one():
    found: list[Any] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        try:
            while piece := environ["wsgi.input"].read(len(PIECE)):
                found.append(len(piece))
        except OSError as error:
            found.append(type(error))
            raise
        start_response("200 OK", [])
        return [b"whole"]

    visitor = CutOff("/onprem/files", PIECE, PIECE)
    run(application, visitor.call)
    assert found == [len(PIECE), ConnectionResetError]
    assert b"whole" not in visitor.body


def test_what_fails_midway_is_broken_off_and_not_ended():
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])

        def pieces() -> Iterator[bytes]:
            yield b"half"
            raise LookupError("gone")

        return pieces()

    visitor = Visitor("/reports/", method="GET")
    with pytest.raises(LookupError):
        run(application, visitor.call)
    assert all(part.get("more_body", True) for part in visitor.sent)


def test_a_slow_reader_takes_one_thread_and_no_other():
    report = Report(2)

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/reports/":
            return report(environ, start_response)
        start_response("200 OK", [])
        return [b"page"]

    async def play(streams: Streams) -> None:
        reader = Visitor("/reports/", method="GET")
        reading = asyncio.create_task(reader.call(streams))
        await reader.see(b"line 0\n")
        assert (await Visitor("/", method="GET").call(streams)).body == b"page"
        report.go_on.release()
        await reading

    run(application, play, threads=2)
