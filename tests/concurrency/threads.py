"""Running functions at once, each with a database connection of its own."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

PATIENCE = 600.0


class Crew:
    """Threads that begin together; `join` raises what any of them raised, and returns what each returned."""

    def __init__(self, *works: Callable[[], Any]) -> None:
        self.results: list[Any] = [None] * len(works)
        self.errors: list[BaseException] = []
        gate = threading.Barrier(len(works))
        self.threads = [
            threading.Thread(target=self._run, args=(number, work, gate), daemon=True)
            for number, work in enumerate(works)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int, work: Callable[[], Any], gate: threading.Barrier) -> None:
        try:
            gate.wait(timeout=PATIENCE)
            self.results[number] = work()
        except BaseException as error:  # a thread's failure is the test's
            self.errors.append(error)
        finally:
            connection.close()

    def join(self) -> list[Any]:
        for thread in self.threads:
            thread.join(timeout=PATIENCE)
            assert not thread.is_alive(), "a thread did not end"
        if self.errors:
            raise self.errors[0]
        return self.results


def run_at_once(*works: Callable[[], Any]) -> list[Any]:
    return Crew(*works).join()
