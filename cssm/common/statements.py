"""Statements by hand that run for every device message, and several changes made as one."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, DataError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

NOT_A_NUMBER: Final = "22P02"
# The server tells it in its own language, and with that one's quotation marks.
MISSED: Final = re.compile(r"\bmissed (\d+), \d+\b")


def engine() -> BaseDatabaseWrapper:
    """This thread's connection. Django's `connection` looks for it anew at each attribute, which adds up here."""
    return connections[DEFAULT_DB_ALIAS]


def prepared_cursor() -> Any:
    """A cursor for statements by hand that run for every device message; only the engine for PostgreSQL has its own."""
    own = engine()
    return getattr(own, "prepared_cursor", own.cursor)()


Missed = type[Exception] | Exception


@dataclass(slots=True)
class _Change:
    sql: str
    values: Sequence[Any]
    missed: Missed | None
    rows: int = 1
    changes_rows: bool = True


@dataclass(slots=True)
class _Bundle:
    """What `in_one` has collected."""

    changes: list[_Change] = field(default_factory=list)
    afterwards: list[Callable[[], None]] = field(default_factory=list)


_bundle: ContextVar[_Bundle | None] = ContextVar("bundle", default=None)


def is_collected() -> bool:
    """Whether changes are put together within `in_one`, which is all or nothing by itself."""
    return _bundle.get() is not None


def after_commit(callback: Callable[[], None], *, using: str | None = None) -> None:
    """As Django's `on_commit`, robust; within `in_one` after its end."""
    bundle = _bundle.get()
    if bundle is not None:
        bundle.afterwards.append(callback)
        return
    transaction.on_commit(callback, using=using, robust=True)


def change(sql: str, values: Sequence[Any], *, missed: Missed | None = None, rows: int = 1) -> None:
    """Run an INSERT, UPDATE or DELETE. Raises `missed`, where given, unless it hits so many rows.

    Within `in_one` it is only collected, and whatever is wrong with it is told at the end.
    """
    bundle = _bundle.get()
    if bundle is not None:
        bundle.changes.append(_Change(sql, values, missed, rows))
        return
    _run(_Change(sql, values, missed, rows))


def require(sql: str, values: Sequence[Any], *, missed: Missed) -> None:
    """Run a SELECT of at most one row, which may lock it. Raises `missed` where there is none.

    Within `in_one` it is only collected, as a change is.
    """
    bundle = _bundle.get()
    if bundle is not None:
        bundle.changes.append(_Change(sql, values, missed, changes_rows=False))
        return
    _run(_Change(sql, values, missed, changes_rows=False))


def _run(each: _Change) -> None:
    with prepared_cursor() as cursor:
        cursor.execute(each.sql, each.values)
        found = cursor.rowcount if each.changes_rows else len(cursor.fetchall())
    if each.missed is not None and found != each.rows:
        raise each.missed


@contextmanager
def in_one(*, savepoint: bool = True) -> Iterator[None]:
    """All that is given to `change` within, or nothing of it; at the end, and as one statement on PostgreSQL.

    Within a transaction of the caller that is left whole by a failure, unless `savepoint` is false.

    For changes of different tables, which do not see each other. What asks the database within gets its state before
    them; changes by models may not be made within, for they would stand outside of it.
    """
    if _bundle.get() is not None:
        raise ProgrammingError("These changes are put together already.")
    bundle = _Bundle()
    token = _bundle.set(bundle)
    try:
        yield
    finally:
        _bundle.reset(token)
    own = engine()
    at_once = own.vendor == "postgresql" or len(bundle.changes) < 2
    needs_none = at_once and not (savepoint and own.in_atomic_block)
    with nullcontext() if needs_none else transaction.atomic(savepoint=savepoint):
        if at_once and len(bundle.changes) > 1:
            _change_at_once(bundle.changes)
        else:
            for each in bundle.changes:
                _run(each)
    for callback in bundle.afterwards:
        after_commit(callback)


def _change_at_once(changes: Sequence[_Change]) -> None:
    """One statement is all or nothing, without a transaction around it. A text that is no number undoes it, and tells
    which change missed its rows."""
    parts = [
        f"c{n} AS ({each.sql}{' RETURNING 1' if each.missed and each.changes_rows else ''})"
        for n, each in enumerate(changes)
    ]
    asked = [
        f"(SELECT CASE COUNT(*) WHEN {each.rows} THEN 0 ELSE CAST('missed {n}, ' || COUNT(*) AS integer) END FROM c{n})"  # noqa: S608  our own names
        for n, each in enumerate(changes)
        if each.missed
    ]
    with prepared_cursor() as cursor:
        try:
            cursor.execute(
                f"WITH {', '.join(parts)} SELECT {', '.join(asked) or '1'}",
                [value for each in changes for value in each.values],
            )
        except DataError as error:
            told = getattr(error.__cause__, "diag", None)
            found = MISSED.search(told.message_primary or "") if told and told.sqlstate == NOT_A_NUMBER else None
            missed = changes[int(found[1])].missed if found else None
            if missed is None:
                raise
            raise missed from None
