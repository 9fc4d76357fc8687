"""The file-system broker of one machine: kombu's, without its windows in which a reader sees half a file.

Kombu's own creates a message's file first and fills it then. Who takes it in between reads nothing, and a Celery worker
that cannot read a message ends, and all of `make run` with it. Here a file only appears once it is whole.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from time import monotonic_ns
from typing import Any, Final
from urllib.parse import quote

import structlog
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

log = structlog.get_logger(__name__)

HIDDEN: Final = "."
"""A name that begins so is of no queue: kombu reads the queue from what follows a name's first dot."""


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]  # as kombu calls it
        name = f"{monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        replace_file(Path(self.data_folder_out) / name, dumps(payload))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message of the queue. One that cannot be read is dropped: what it was about is in rows."""
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f"{HIDDEN}{name}.taken"
            try:
                (folder / name).rename(taken)
                text = taken.read_text()
                taken.unlink()
                return loads(text)
            except FileNotFoundError:
                continue  # another worker was faster
            except ValueError as error:
                log.warning("message_dropped", file=name, error=str(error))
        raise Empty

    def get_table(self, exchange: str) -> list[filesystem.exchange_queue_t]:  # type: ignore[override]  # named tuples
        try:
            table = loads(self._table_file(exchange).read_text())
        except FileNotFoundError:
            return []
        return [filesystem.exchange_queue_t(*row) for row in table]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with self._table_lock():
            table = self.get_table(exchange)
            if row not in table:
                replace_file(self._table_file(exchange), dumps([row, *table]))

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        self._purge(queue)
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with self._table_lock():
            table = self.get_table(exchange)
            if row in table:
                replace_file(self._table_file(exchange), dumps([each for each in table if each != row]))

    def _table_file(self, exchange: str) -> Path:
        return self.control_folder / f"{quote(exchange, safe='')}.exchange"

    @contextmanager
    def _table_lock(self) -> Iterator[None]:
        """Several processes bind their queues as they start."""
        self.control_folder.mkdir(parents=True, exist_ok=True)
        with (self.control_folder / f"{HIDDEN}lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    Channel = Channel


def replace_file(path: Path, text: str) -> None:
    """Write the file so that a reader sees all of it or none of it."""
    unfinished = path.with_name(f"{HIDDEN}{path.name}.{uuid.uuid4()}.new")
    unfinished.write_text(text)
    unfinished.replace(path)
