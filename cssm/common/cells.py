"""The values of a table's cells as plain data, for files of any length.

django-tables2 finds out anew for every cell which arguments its column wants, which takes longer than reading the row
from the database. Here each column is looked at once.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter, methodcaller
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django_tables2.columns import Column
from django_tables2.rows import BoundRow
from django_tables2.utils import Accessor

Reader = Callable[[Any], Any]


def read_cells(table: Any, records: Iterable[Any], names: list[str]) -> Iterator[list[Any]]:
    """The values of the named columns of one record after the other, as `value_<column>` gives them."""
    readers: list[Reader] | None = None
    for record in records:
        if readers is None:
            readers = [_reader(table, table.columns[name], record) for name in names]
        yield [read(record) for read in readers]


def _reader(table: Any, bound: Any, sample: Any) -> Reader:
    accessor = Accessor(bound.accessor)
    if isinstance(sample, dict):
        return lambda record: BoundRow(record, table=table).get_cell_value(bound.name)
    find = _find_label(accessor) if _has_choices(accessor, sample) else attrgetter(".".join(accessor.bits))
    convert = _converter(table, bound)
    empty = bound.column.empty_values

    def read(record: Any) -> Any:
        try:
            value = find(record)
            value = value() if callable(value) and not isinstance(value, type) else value
        except (AttributeError, ObjectDoesNotExist):
            value = None
        return None if value in empty else convert(value, record)

    return read


def _has_choices(accessor: Accessor, sample: Any) -> bool:
    """Whether the cell shows the label of a model field's choice."""
    try:
        penultimate, _ = accessor.penultimate(sample)
        field = accessor.get_field(sample)
    except Exception:
        return False
    return isinstance(penultimate, Model) and bool(getattr(field, "choices", None))


def _find_label(accessor: Accessor) -> Reader:
    """The label of a choice, as the model gives it."""
    label = methodcaller(f"get_{accessor.bits[-1]}_display")
    if len(accessor.bits) == 1:
        return label
    owner = attrgetter(".".join(accessor.bits[:-1]))
    return lambda record: label(owner(record))


def _converter(table: Any, bound: Any) -> Callable[[Any, Any], Any]:
    function = bound.value
    if getattr(function, "__func__", None) is Column.value:
        function = bound.column.render
        if getattr(function, "__func__", None) is Column.render:
            return lambda value, record: value
    wanted = inspect.signature(function).parameters
    fixed = {"column": bound.column, "bound_column": bound, "table": table, "bound_row": None}
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in wanted.values())
    given = fixed if takes_all else {name: thing for name, thing in fixed.items() if name in wanted}
    wants_value, wants_record = takes_all or "value" in wanted, takes_all or "record" in wanted

    def convert(value: Any, record: Any) -> Any:
        arguments = dict(given)
        if wants_value:
            arguments["value"] = value
        if wants_record:
            arguments["record"] = record
        return function(**arguments)

    return convert
