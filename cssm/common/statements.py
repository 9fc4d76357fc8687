"""Statements by hand that run for every device message, and how few round trips they take.

`sent_together` sends many before it waits for the first; `in_one` makes one statement of several changes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, DataError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

DIVISION_BY_ZERO: Final = "22012"


def engine() -> BaseDatabaseWrapper:
    """This thread's connection. Django's `connection` looks for it anew at each attribute, which adds up here."""
    return connections[DEFAULT_DB_ALIAS]


def prepared_cursor() -> Any:
    """A cursor for statements by hand that run for every device message; only the engine for PostgreSQL has its own."""
    own = engine()
    return getattr(own, "prepared_cursor", own.cursor)()


@dataclass(slots=True)
class _Change:
    sql: str
    values: Sequence[Any]
    missed: type[Exception] | None


@dataclass(slots=True)
class _Bundle:
    """What `in_one` has collected."""

    changes: list[_Change] = field(default_factory=list)
    afterwards: list[Callable[[], None]] = field(default_factory=list)


_together: ContextVar[bool] = ContextVar("together", default=False)
_bundle: ContextVar[_Bundle | None] = ContextVar("bundle", default=None)


def gives_no_results() -> bool:
    """Whether what is sent now is not waited for: keys that the database makes stay unknown."""
    return _together.get() or _bundle.get() is not None


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


def change(sql: str, values: Sequence[Any], *, missed: type[Exception] | None = None) -> None:
    """Run an INSERT, UPDATE or DELETE. Raises `missed`, where given, unless it hits one row.

    Within `in_one` it is only collected, and whatever is wrong with it is told at the end.
    """
    bundle = _bundle.get()
    if bundle is not None:
        bundle.changes.append(_Change(sql, values, missed))
        return
    with prepared_cursor() as cursor:
        cursor.execute(sql, values)
        if missed is not None and cursor.rowcount != 1:
            raise missed


@contextmanager
def sent_together() -> Iterator[None]:
    """For a run of statements that do not need each other's results: one round trip, on the engine that can.

    Only prepared statements may be sent within. Nothing is waited for until a result is asked for.
    """
    before = _together.set(True)
    try:
        with getattr(engine(), "sent_together", nullcontext)():
            yield
    finally:
        _together.reset(before)


@contextmanager
def in_one() -> Iterator[None]:
    """All that is given to `change` within, or nothing of it; at the end, and as one statement on PostgreSQL.

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
    is_one = len(bundle.changes) < 2 or own.vendor == "postgresql"
    # A failure within a caller's transaction must leave that one whole.
    with nullcontext() if is_one and not own.in_atomic_block else transaction.atomic():
        if is_one and len(bundle.changes) > 1:
            _change_at_once(bundle.changes)
        else:
            for each in bundle.changes:
                change(each.sql, each.values, missed=each.missed)
    for callback in bundle.afterwards:
        after_commit(callback)


def _change_at_once(changes: Sequence[_Change]) -> None:
    """One statement is all or nothing, without a transaction around it. Whether each hit what it must is asked for by a
    division: its failure undoes the statement."""
    parts = [f"c{n} AS ({each.sql}{' RETURNING 1' if each.missed else ''})" for n, each in enumerate(changes)]
    misses = [each.missed for each in changes if each.missed]
    asked = [f"1 / (SELECT COUNT(*) FROM c{n})" for n, each in enumerate(changes) if each.missed]  # noqa: S608  our own names
    with prepared_cursor() as cursor:
        try:
            cursor.execute(
                f"WITH {', '.join(parts)} SELECT {', '.join(asked) or '1'}",
                [value for each in changes for value in each.values],
            )
        except DataError as error:
            if misses and getattr(error.__cause__, "sqlstate", None) == DIVISION_BY_ZERO:
                raise misses[0] from None
            raise
