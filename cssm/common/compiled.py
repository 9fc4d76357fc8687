"""Statements that run thousands of times a second: compiled once, then only executed.

Putting a query together and turning it into SQL costs Django about five times what running it costs; planning it costs
PostgreSQL as much again, so there they are planned once for each connection.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db import ProgrammingError, connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, BigAutoField, Model, QuerySet
from django.db.models.query import get_related_populators

from cssm.common.statements import change, engine, is_collected, prepared_cursor

M = TypeVar("M", bound=Model)
Converter = Callable[[Any, Any, Any], Any]
_Fields = list[tuple[Any, type | None]]
_PLAIN: Final[dict[tuple[type, ...], type]] = {
    (models.CharField, models.TextField): str,
    (models.IntegerField, models.BigIntegerField, models.AutoField, models.BigAutoField): int,
    (models.BooleanField,): bool,
}


class CompiledRead:
    """A `values_list` query whose parameters stand in the order of its conditions, one `filter` for each.

    (Within one `filter` Django sorts them by name.) `build` is called once, with any values of the right types in
    place. The rows are what the query would have given.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build
        self._sql = ""
        self._vendor = ""
        self._width = 0
        self._converters: list[tuple[int, list[Converter], Any]] = []

    def fetch(self, *parameters: Any) -> list[list[Any]]:
        """Every row."""
        own = engine()
        sql, _ = self.prepare(own)
        with prepared_cursor() as cursor:
            cursor.execute(sql, [_adapt(value, own) for value in parameters])
            return [self._convert(list(row), own) for row in cursor.fetchall()]

    def prepare(self, own: BaseDatabaseWrapper) -> tuple[str, int]:
        """The statement, and how many columns it gives."""
        if self._vendor != own.vendor:
            self.compile(self._build())
            # The last, for it tells other threads that the rest is there.
            self._vendor = own.vendor
        return self._sql, self._width

    def take(self, row: list[Any], own: BaseDatabaseWrapper) -> Any:
        """What a row of it is, as the database gave it."""
        return self._convert(row, own)

    def compile(self, queryset: QuerySet[Any, Any]) -> Any:
        """Returns Django's compiler of it."""
        compiler = queryset.query.get_compiler(connection=connection)
        self._sql, _ = compiler.as_sql()
        columns = [column for column, _, _ in compiler.select or ()]
        found = compiler.get_converters(columns)
        self._converters = [(position, converters, column) for position, (converters, column) in found.items()]
        self._width = len(columns)
        return compiler

    def _convert(self, row: list[Any], own: BaseDatabaseWrapper) -> list[Any]:
        for position, converters, expression in self._converters:
            for convert in converters:
                row[position] = convert(row[position], expression, own)
        return row


class CompiledModels(CompiledRead, Generic[M]):
    """As `CompiledRead`, of a query that gives whole models, with what it selects beside them."""

    _make: Callable[[list[Any]], M]

    def __init__(self, build: Callable[[], QuerySet[M]]) -> None:
        super().__init__(build)

    def first(self, *parameters: Any) -> M | None:
        """What the first row is of, if there is any."""
        rows = self.fetch(*parameters)
        return self._make(rows[0]) if rows else None

    def take(self, row: list[Any], own: BaseDatabaseWrapper) -> M:
        return self._make(super().take(row, own))

    def compile(self, queryset: QuerySet[Any, Any]) -> Any:
        compiler = super().compile(queryset)
        about = compiler.klass_info
        model, places = about["model"], about["select_fields"]
        names = [column.target.attname for column, _, _ in compiler.select[places[0] : places[-1] + 1]]
        related = get_related_populators(about, compiler.select, connection.alias)  # type: ignore[call-arg]  # the stubs know a newer one

        def make(row: list[Any]) -> M:
            made: M = model.from_db(connection.alias, names, row[places[0] : places[-1] + 1])
            for populator in related:
                populator.populate(row, made)
            return made

        self._make = make
        return compiler


class CompiledTogether:
    """The first of each of several reads, by one statement: all of them see the same state."""

    def __init__(self, *reads: CompiledRead) -> None:
        self._reads = reads
        self._sql = ""
        self._vendor = ""
        self._widths: list[int] = []

    def first(self, *parameters: Sequence[Any]) -> list[Any]:
        """For each read, in their order, what its first row is of, or None. `parameters` are those of each."""
        own = engine()
        if self._vendor != own.vendor:
            self._compile(own)
        values = [_adapt(value, own) for each in parameters for value in each]
        with prepared_cursor() as cursor:
            cursor.execute(self._sql, values)
            row = list(cursor.fetchone())
        found: list[Any] = []
        begin = 0
        for read, width in zip(self._reads, self._widths, strict=True):
            found.append(read.take(row[begin + 1 : begin + 1 + width], own) if row[begin] else None)
            begin += 1 + width
        return found

    def _compile(self, own: BaseDatabaseWrapper) -> None:
        prepared = [read.prepare(own) for read in self._reads]
        # What is not there leaves its columns empty, the first of them too.
        parts = [
            f"LEFT JOIN (SELECT 1 AS present, {sql.removeprefix('SELECT ')} LIMIT 1) AS part{n} ON TRUE"
            for n, (sql, _) in enumerate(prepared)
        ]
        self._sql = f"SELECT {', '.join(f'part{n}.*' for n in range(len(parts)))} FROM (SELECT 1 AS one) AS always "  # noqa: S608  our own names
        self._sql += " ".join(parts)
        self._widths = [width for _, width in prepared]
        self._vendor = own.vendor


class CompiledInsert:
    """Inserts new rows of a model, and gives them the primary keys that the database makes."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        self._start = self._values = self._end = ""
        self._fields: _Fields = []
        self._has_serial = False

    def add(self, *rows: Model, keys: bool | None = None) -> None:
        """As `row.save(force_insert=True)` of each in one statement, for a model without signals and defaults of the
        database. For few rows: each number of them is a statement of its own. Within `in_one` their keys stay unknown:
        who needs them (`keys`) cannot add them there."""
        keys = not is_collected() if keys is None else keys
        if not self._fields:
            self._compile()
        own = engine()
        values = [_prepare(field, plain, row, own) for row in rows for field, plain in self._fields]
        statement = self._start + ", ".join([self._values] * len(rows)) + (self._end if keys else "")
        if keys and self._has_serial:
            self._read_keys(statement, values, rows)
        else:
            change(statement, values)
        for row in rows:
            row._state.adding, row._state.db = False, own.alias

    def _read_keys(self, statement: str, values: list[Any], rows: Sequence[Model]) -> None:
        if is_collected():
            raise ProgrammingError("What is collected gives no keys.")
        with prepared_cursor() as cursor:
            cursor.execute(statement, values)
            # They come back in the order of the values, on both engines.
            for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
                row.pk = key

    def _compile(self) -> None:
        options = self._model._meta
        quote = connection.ops.quote_name
        self._has_serial = isinstance(options.pk, AutoField | BigAutoField)
        fields = [field for field in options.concrete_fields if not (field.primary_key and self._has_serial)]
        columns = ", ".join(quote(str(field.column)) for field in fields)
        self._start = f"INSERT INTO {quote(options.db_table)} ({columns}) VALUES "  # noqa: S608  names of the model
        self._values = f"({', '.join(['%s'] * len(fields))})"
        self._end = f" RETURNING {quote(str(options.pk.column))}" if self._has_serial else ""
        # The last, for it tells other threads that the rest is there.
        self._fields = [(field, _plain_type(field)) for field in fields]


class CompiledUpdate:
    """Writes some fields of one row by its primary key: `row.save(update_fields=…)` of one that is there."""

    def __init__(self, model: type[Model], *names: str) -> None:
        self._model, self._names = model, names
        self._sql = ""
        self._fields: _Fields = []

    def save(self, row: Model) -> None:
        if not self._sql:
            self._compile()
        own = engine()
        values = [_prepare(field, plain, row, own) for field, plain in self._fields]
        change(self._sql, [*values, row.pk])

    def _compile(self) -> None:
        options = self._model._meta
        quote = connection.ops.quote_name
        fields: list[Any] = [options.get_field(name) for name in self._names]
        self._fields = [(field, _plain_type(field)) for field in fields]
        changes = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)
        key = quote(str(options.pk.column))
        self._sql = f"UPDATE {quote(options.db_table)} SET {changes} WHERE {key} = %s"  # noqa: S608  names of the model


def _plain_type(field: Any) -> type | None:
    """Of which type a field's values are stored as they are. Django prepares each, through several calls."""
    field = getattr(field, "target_field", field)
    return next((plain for kind, plain in _PLAIN.items() if type(field) in kind), None)


def _prepare(field: Any, plain: type | None, row: Model, own: BaseDatabaseWrapper) -> Any:
    value = getattr(row, field.attname)
    return value if value is None or type(value) is plain else field.get_db_prep_save(value, own)


def _adapt(value: Any, own: BaseDatabaseWrapper) -> Any:
    if isinstance(value, datetime):
        return own.ops.adapt_datetimefield_value(value)
    return value.hex if isinstance(value, UUID) and not own.features.has_native_uuid_field else value
