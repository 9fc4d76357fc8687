"""Statements that run thousands of times a second: compiled once, then only executed.

Putting a query together and turning it into SQL costs Django about five times what running it costs; planning it costs
PostgreSQL as much again, so there they are planned once for each connection.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

Converter = Callable[[Any, Any, Any], Any]


def prepared_cursor() -> Any:
    """A cursor for statements by hand that run for every device message; only the engine for PostgreSQL has its own."""
    return getattr(connection, "prepared_cursor", connection.cursor)()


class CompiledRead:
    """A `values_list` query whose parameters stand in the order of its conditions, one `filter` for each.

    (Within one `filter` Django sorts them by name.) `build` is called once, with any values of the right types in
    place. The rows are what the query would have given.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, tuple[Any, ...]]]) -> None:
        self._build = build
        self._sql = ""
        self._vendor = ""
        self._converters: list[tuple[int, list[Converter], Any]] = []

    def fetch(self, *parameters: Any) -> list[list[Any]]:
        """Every row."""
        if self._vendor != connection.vendor:
            self._compile()
        with prepared_cursor() as cursor:
            cursor.execute(self._sql, [_adapt(value) for value in parameters])
            rows = [list(row) for row in cursor.fetchall()]
        for row in rows:
            for position, converters, expression in self._converters:
                for convert in converters:
                    row[position] = convert(row[position], expression, connection)
        return rows

    def _compile(self) -> None:
        compiler = self._build().query.get_compiler(connection=connection)
        self._sql, _ = compiler.as_sql()
        found = compiler.get_converters([column for column, _, _ in compiler.select or ()])
        self._converters = [(position, converters, column) for position, (converters, column) in found.items()]
        self._vendor = connection.vendor


class CompiledInsert:
    """Inserts one new row of a model at a time, and gives it its primary key."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        self._sql = ""
        self._fields: list[Any] = []

    def add(self, row: Model) -> None:
        """As `row.save(force_insert=True)`, for a model without signals and defaults of the database."""
        if not self._sql:
            self._compile()
        values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in self._fields]
        with prepared_cursor() as cursor:
            cursor.execute(self._sql, values)
            row.pk = cursor.fetchone()[0]
        row._state.adding, row._state.db = False, connection.alias

    def _compile(self) -> None:
        options = self._model._meta
        quote = connection.ops.quote_name
        self._fields = [field for field in options.concrete_fields if not field.primary_key]
        columns = ", ".join(quote(str(field.column)) for field in self._fields)
        values = ", ".join(["%s"] * len(self._fields))
        key = quote(str(options.pk.column))
        self._sql = f"INSERT INTO {quote(options.db_table)} ({columns}) VALUES ({values}) RETURNING {key}"  # noqa: S608  names of the model


def _adapt(value: Any) -> Any:
    return value.hex if isinstance(value, UUID) and not connection.features.has_native_uuid_field else value
