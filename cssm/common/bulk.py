"""Many new rows at once, past the models: COPY on PostgreSQL, raw inserts on SQLite."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from django.db import connection

BATCH: Final = 5_000


def insert_rows(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert the rows, in the caller's transaction; their values are as the database stores them.

    They may come from a query of the same connection: while rows are written it can do nothing else, so they are read
    in batches before.
    """
    names = ", ".join(columns)
    pending = iter(rows)
    with connection.cursor() as cursor:
        while batch := list(islice(pending, BATCH)):
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in batch:
                        copy.write_row(row)
            else:
                places = ", ".join(["%s"] * len(columns))
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", batch)  # noqa: S608  our own names


def commit_lazily() -> None:
    """Let the caller's transaction end without waiting for the disk: for rows that are made anew if they are lost."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO OFF")
