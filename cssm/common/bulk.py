"""Many new rows at once, past the models: COPY on PostgreSQL, raw inserts on SQLite."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection


def insert_rows(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert the rows, in the caller's transaction; their values are as the database stores them."""
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(columns))
            statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  our own names
            # Any iterable will do, whatever the stubs say; holding all rows at once would not.
            cursor.executemany(statement, rows)  # type: ignore[arg-type]  # see above
