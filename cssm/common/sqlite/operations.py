"""What the embedded engine does otherwise than stock SQLite when a whole database is emptied."""

from collections.abc import Sequence
from typing import Any

from django.core.management.color import Style
from django.db.backends.sqlite3 import operations


class DatabaseOperations(operations.DatabaseOperations):
    def sql_flush(
        self,
        style: Style,
        tables: Sequence[str],
        *,
        reset_sequences: bool = False,
        allow_cascade: bool = False,
    ) -> list[str]:
        """SQLite empties a table by DELETE, which append-only tables refuse: their triggers step aside meanwhile.

        (PostgreSQL empties by TRUNCATE, which fires no row triggers.)
        """
        statements = super().sql_flush(style, tables, reset_sequences=reset_sequences, allow_cascade=allow_cascade)
        if not statements:
            return statements
        triggers = self._read_triggers(tables)
        return [
            *(f"DROP TRIGGER {self.quote_name(name)}" for name, _ in triggers),
            *statements,
            *(definition for _, definition in triggers),
        ]

    def _read_triggers(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'")
            rows: list[Any] = cursor.fetchall()
        return [(name, definition) for name, definition, table in rows if table in set(tables)]
