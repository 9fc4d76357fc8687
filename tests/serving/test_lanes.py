"""Work that waits for threads: whose turn it is, and what becomes of what nobody waits for any more."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from cssm.serving.lanes import Lane


@contextmanager
def opened(*, threads: int = 1, leave: Callable[[], None] = lambda: None) -> Iterator[Lane]:
    lane = Lane("test", threads=threads, leave=leave)
    try:
        yield lane
    finally:
        lane.close()


class Turnstile:
    """Work that stands in the way until it is let go."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.free.wait(10)
        return "through"


def run(play: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(play(), 10)

    return asyncio.run(limited())


def test_every_key_has_its_turn_however_much_waits_behind_another():
    done: list[str] = []

    async def play() -> None:
        with opened() as lane:
            ahead = Turnstile()
            first = lane.add("ahead", ahead)
            crowd = [lane.add("crowd", partial(done.append, f"crowd {n}")) for n in range(4)]
            single = lane.add("single", lambda: done.append("single"))
            pair = [lane.add("pair", partial(done.append, f"pair {n}")) for n in range(2)]
            ahead.free.set()
            await asyncio.gather(*(job.future for job in (first, *crowd, single, *pair)))

    run(play)
    assert done == ["crowd 0", "single", "pair 0", "crowd 1", "pair 1", "crowd 2", "crowd 3"]


def test_who_comes_back_queues_behind_those_who_came_before():
    done: list[str] = []

    async def play() -> None:
        with opened() as lane:
            turnstile = Turnstile()
            first = lane.add("crowd", turnstile)
            assert await asyncio.to_thread(turnstile.begun.wait, 10)
            jobs = [lane.add(key, partial(done.append, key)) for key in ("other", "crowd", "other")]
            turnstile.free.set()
            await asyncio.gather(first.future, *(job.future for job in jobs))

    run(play)
    assert done == ["other", "crowd", "other"]


def test_what_is_dropped_before_its_turn_is_never_begun():
    done: list[str] = []

    async def play() -> None:
        with opened() as lane:
            turnstile = Turnstile()
            ahead = lane.add("a", turnstile)
            assert await asyncio.to_thread(turnstile.begun.wait, 10)
            dropped = lane.add("a", lambda: done.append("dropped"))
            kept = lane.add("a", lambda: done.append("kept"))
            assert lane.waiting == 2
            assert lane.drop(dropped)
            assert lane.waiting == 1
            assert not lane.drop(dropped)
            turnstile.free.set()
            await asyncio.gather(ahead.future, kept.future)
            # What comes later is done all the same, although the bell rang once too often.
            await lane.add("b", lambda: done.append("later")).future

    run(play)
    assert done == ["kept", "later"]


def test_what_is_in_work_cannot_be_dropped():
    async def play() -> None:
        with opened() as lane:
            turnstile = Turnstile()
            job = lane.add("a", turnstile)
            assert await asyncio.to_thread(turnstile.begun.wait, 10)
            assert (lane.waiting, lane.working) == (0, 1)
            assert not lane.drop(job)
            turnstile.free.set()
            assert await job.future == "through"
            assert not lane.drop(job)
            assert lane.working == 0

    run(play)


def test_a_lane_has_its_number_of_threads_and_keeps_them():
    """What hangs on a thread, such as a connection, is made once, and closed as the last that it does."""
    left: list[int] = []

    async def play() -> set[int]:
        with opened(threads=2, leave=lambda: left.append(threading.get_ident())) as lane:
            both = threading.Barrier(2, timeout=10)

            def meet() -> int:
                both.wait()
                return threading.get_ident()

            found = set()
            for _ in range(3):
                pair = [lane.add(None, meet).future for _ in range(2)]
                found |= set(await asyncio.gather(*pair))
            turnstiles = [Turnstile(), Turnstile()]
            held = [lane.add(None, turnstile).future for turnstile in turnstiles]
            for turnstile in turnstiles:
                assert await asyncio.to_thread(turnstile.begun.wait, 10)
            behind = [lane.is_behind]
            third = lane.add(None, threading.get_ident).future
            assert [*behind, lane.is_behind] == [False, True]
            for turnstile in turnstiles:
                turnstile.free.set()
            await asyncio.gather(*held)
            assert await third in found
            return found

    threads = run(play)
    assert len(threads) == 2
    assert set(left) == threads


def test_a_failure_reaches_whoever_waits_and_ends_nothing_else():
    def fail() -> None:
        raise LookupError("no such thing")

    async def play() -> None:
        with opened() as lane:
            with pytest.raises(LookupError, match="no such thing"):
                await lane.add("a", fail).future
            assert await lane.add("a", lambda: "fine").future == "fine"

    run(play)


def test_a_result_that_nobody_waits_for_any_more_is_let_go():
    complaints: list[Any] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, complaint: complaints.append(complaint))
        with opened() as lane:
            turnstile = Turnstile()
            job = lane.add("a", turnstile)
            assert await asyncio.to_thread(turnstile.begun.wait, 10)
            job.future.cancel()
            turnstile.free.set()
            assert await lane.add("a", lambda: "fine").future == "fine"

    run(play)
    assert complaints == []


def test_closing_a_lane_ends_what_it_took_first():
    done: list[int] = []

    async def play() -> None:
        with opened() as lane:
            jobs = [lane.add(n, partial(done.append, n)) for n in range(20)]
            await asyncio.to_thread(lane.close)
            await asyncio.gather(*(job.future for job in jobs))

    run(play)
    assert done == list(range(20))
