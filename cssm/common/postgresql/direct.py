"""Statements that run thousands of times a second, given to libpq without what psycopg's cursors do around it.

A cursor goes through a chain of generators for each statement, which takes longer than libpq needs for it, and gives up
Python several times over. psycopg's own wrapper of libpq (`psycopg.pq`) and its adaptation stay in use.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

Values = Sequence[Any] | Mapping[str, Any]

MOST_STATEMENTS: Final = 200
"""Kept ready in one connection."""
_PLACEHOLDERS: Final = re.compile(r"%(?:%|s|\((\w+)\)s)")
_DONE: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class _Statement:
    """One text. It is prepared for each combination of parameter types, as whole numbers come in three sizes."""

    __slots__ = ("formats", "loaded", "names", "order", "text", "transformer")

    def __init__(self, sql: str, connection: "psycopg.Connection[Any]") -> None:
        text, self.order = _number_placeholders(sql)
        self.text = text.encode()
        self.transformer = Transformer.from_context(connection)
        self.formats = [PyFormat.AUTO] * len(self.order)
        self.names: dict[tuple[int, ...] | None, bytes] = {}
        self.loaded = b""


class Statements:
    """What is kept ready in one connection. Not for two threads at once."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self._statements: dict[str, _Statement] = {}
        self._prepared: list[bytes] = []
        self._numbers = count()

    def run(self, sql: str, values: Values) -> tuple[int, list[tuple[Any, ...]]]:
        """How many rows it hit, and those that it gave. Raises what a cursor raises."""
        if self._connection.closed:
            raise psycopg.OperationalError("the connection is closed")
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = _Statement(sql, self._connection)
        if isinstance(values, Mapping):
            values = [values[name] for name in statement.order]
        transformer = statement.transformer
        parameters = transformer.dump_sequence(values, statement.formats)
        types = transformer.types
        self._begin()
        name = statement.names.get(types) or self._prepare(statement, types)
        result = self._send(pq.PGconn.exec_prepared, name, parameters, transformer.formats)
        if not result.nfields:
            return result.command_tuples or 0, []
        # Of which types the columns are is asked once; another combination of parameters may give others.
        transformer.set_pgresult(result, set_loaders=statement.loaded != name)
        statement.loaded = name
        return result.ntuples, transformer.load_rows(0, result.ntuples, tuple)

    def _begin(self) -> None:
        """Where Django wants a transaction and none has begun yet, as psycopg would before a statement."""
        connection = self._connection
        if connection.autocommit or connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return
        if (connection.isolation_level, connection.read_only, connection.deferrable) == (None, None, None):
            self._send(pq.PGconn.exec_, b"BEGIN")
        else:
            connection.execute("SELECT")

    def _prepare(self, statement: _Statement, types: tuple[int, ...] | None) -> bytes:
        if len(self._prepared) >= MOST_STATEMENTS:
            # All of them: which are in use shows at once, and it happens hardly ever.
            self._send(pq.PGconn.exec_, b"; ".join(b"DEALLOCATE " + name for name in self._prepared))
            self._prepared.clear()
            self._statements.clear()
            statement.names.clear()
        name = f"direct_{next(self._numbers)}".encode()
        self._send(pq.PGconn.prepare, name, statement.text, types)
        statement.names[types] = name
        self._prepared.append(name)
        return name

    def _send(self, how: Any, *arguments: Any) -> Any:
        link = self._connection.pgconn
        try:
            result = how(link, *arguments)
        except MemoryError:
            # libpq gives no result at all where the connection was gone before it could send.
            if link.status == pq.ConnStatus.OK:
                raise
            raise psycopg.OperationalError(link.get_error_message(self._connection.info.encoding)) from None
        if result.status in _DONE:
            return result
        if link.status != pq.ConnStatus.OK:
            # Not the server's word, so it has no code that would tell what kind of error this is.
            raise psycopg.OperationalError(link.get_error_message(self._connection.info.encoding))
        raise error_from_result(result, encoding=self._connection.info.encoding)


def _number_placeholders(sql: str) -> tuple[str, list[str]]:
    """`%s` and `%(name)s` as `$1`, `$2`, …, the same name as the same one, and `%%` as a percent sign; and what each
    number stands for."""
    order: list[str] = []

    def replace(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        name = found[1] or str(len(order))
        if name not in order:
            order.append(name)
        return f"${order.index(name) + 1}"

    return _PLACEHOLDERS.sub(replace, sql), order


class DirectCursor:
    """As much of a cursor as statements by hand need, for one statement."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._rows: list[tuple[Any, ...]] = []
        self._next = 0
        self._sql = ""
        self.rowcount = -1

    @property
    def _query(self) -> SimpleNamespace:
        """Where Django looks for what was sent last, if it keeps a log of that."""
        return SimpleNamespace(query=self._sql.encode())

    def execute(self, sql: str, values: Values = ()) -> None:
        """Run it; `%s` stands for a value, or `%(name)s` for one of a mapping."""
        self._sql = sql
        self.rowcount, self._rows = self._statements.run(sql, values)
        self._next = 0

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, if there is one."""
        self._next += 1
        return self._rows[self._next - 1] if self._next <= len(self._rows) else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Every row that was not fetched yet."""
        begun, self._next = self._next, len(self._rows)
        return self._rows[begun:] if begun else self._rows

    def close(self) -> None:
        """Nothing is held."""
