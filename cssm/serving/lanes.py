"""Work that waits for threads of its own, one item of each key in turn."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import Any, Final

STOP: Final = object()


class Job:
    """One item of work; `future` belongs to the event loop that waits for its result."""

    __slots__ = ("future", "key", "work")

    def __init__(self, key: Hashable, work: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self.key, self.work, self.future = key, work, future


class Lane:
    """So many threads, which no other lane's work can take, and a queue for each key before them.

    Whose key has waited longest is next, however much waits behind other keys. The threads last as long as the lane, so
    that what hangs on a thread (a connection to the database) is kept; each calls `leave` as its last.
    """

    def __init__(self, name: str, *, threads: int, leave: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._size = threads
        self._leave = leave
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[Job]] = {}
        # One for each job that was added. Waking a thread this way costs a tenth of what a condition does.
        self._bell: SimpleQueue[object] = SimpleQueue()
        self._waiting = 0
        self._working = 0

    @property
    def waiting(self) -> int:
        """How many are not begun yet."""
        return self._waiting

    @property
    def working(self) -> int:
        """How many are in work."""
        return self._working

    @property
    def is_behind(self) -> bool:
        """Whether what is added now has to wait for others."""
        return self._waiting + self._working > self._size

    def add(self, key: Hashable, work: Callable[[], Any]) -> Job:
        """Called within an event loop; the job's `future` gets what `work` returns or raises."""
        if len(self._threads) < self._size:
            self._start_thread()
        job = Job(key, work, asyncio.get_running_loop().create_future())
        with self._lock:
            self._queues.setdefault(key, deque()).append(job)
            self._waiting += 1
        self._bell.put(None)
        return job

    def drop(self, job: Job) -> bool:
        """Take out what is not begun; False where it is in work or done, which then goes on to its end."""
        with self._lock:
            queue = self._queues.get(job.key)
            if queue is None or job not in queue:
                return False
            queue.remove(job)
            if not queue:
                del self._queues[job.key]
            self._waiting -= 1
        return True

    def close(self) -> None:
        """End the threads after what was added until now, and wait for that."""
        for _ in self._threads:
            self._bell.put(STOP)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start_thread(self) -> None:
        # Nothing is lost with one that the end of the process cuts off: before that the server waits for all answers.
        thread = threading.Thread(target=self._work, name=f"{self.name}-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while self._bell.get() is not STOP:
            job = self._take()
            if job is not None:
                self._do(job)
        self._leave()

    def _take(self) -> Job | None:
        """The next job, unless what the bell rang for was dropped."""
        with self._lock:
            if not self._queues:
                return None
            # A dictionary keeps the order in which keys came: the first is served and goes to the end.
            key = next(iter(self._queues))
            queue = self._queues.pop(key)
            job = queue.popleft()
            if queue:
                self._queues[key] = queue
            self._waiting -= 1
            self._working += 1
        return job

    def _do(self, job: Job) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = job.work()
        except BaseException as error:  # whoever waits must hear of it, whatever it is
            failure = error
        with self._lock:
            self._working -= 1
        job.future.get_loop().call_soon_threadsafe(_settle, job.future, result, failure)


def _settle(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
