"""Database triggers that keep records as they were written, whoever writes SQL: for PostgreSQL and SQLite.

A migration adds `RefuseChanges` to each append-only table. Where SQLite copies a table to alter it, its triggers are
lost: a test compares what the database holds with `append_only_tables()`.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

REFUSAL: Final = "is append-only: write a correction instead"
_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% {REFUSAL}', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$
"""


class RunsSql(Operation):
    """An operation that is a few statements, the same forwards for every state; the tables stay as they are."""

    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """No model changes."""

    def statements(self, table: str, columns: list[str], vendor: str) -> list[str]:
        raise NotImplementedError

    def undoing(self, table: str, vendor: str) -> list[str]:
        raise NotImplementedError

    model_name: str

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        meta = to_state.apps.get_model(app_label, self.model_name)._meta
        columns = [field.column for field in meta.concrete_fields]
        for statement in self.statements(meta.db_table, columns, schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
        for statement in self.undoing(table, schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)


class RefuseChanges(RunsSql):
    """Refuse to delete rows of the model, and to update any column but `allowed` (those of a later, single mark)."""

    def __init__(self, model_name: str, *, allowed: Iterable[str] = ()) -> None:
        self.model_name = model_name
        self.allowed = tuple(allowed)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (self.__class__.__qualname__, [self.model_name], {"allowed": self.allowed} if self.allowed else {})

    def describe(self) -> str:
        return f"Refuse changes of {self.model_name}"

    def statements(self, table: str, columns: list[str], vendor: str) -> list[str]:
        kept = ", ".join(f'"{column}"' for column in columns if column not in self.allowed)
        whens = {"update": f"BEFORE UPDATE OF {kept}", "delete": "BEFORE DELETE"}
        if vendor == "postgresql":
            body = "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            made = [
                f'CREATE TRIGGER {trigger_name(table, kind)} {when} ON "{table}" {body}' for kind, when in whens.items()
            ]
            return [_FUNCTION, *made]
        body = f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
        return [
            f'CREATE TRIGGER {trigger_name(table, kind)} {when} ON "{table}" {body}' for kind, when in whens.items()
        ]

    def undoing(self, table: str, vendor: str) -> list[str]:
        suffix = f' ON "{table}"' if vendor == "postgresql" else ""
        return [f"DROP TRIGGER {trigger_name(table, kind)}{suffix}" for kind in ("update", "delete")]


class LetChange(RunsSql):
    """Take the triggers of `RefuseChanges` away until it makes them again; SQLite may have lost them already."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (self.__class__.__qualname__, [self.model_name], {})

    def statements(self, table: str, columns: list[str], vendor: str) -> list[str]:
        suffix = f' ON "{table}"' if vendor == "postgresql" else ""
        return [f"DROP TRIGGER IF EXISTS {trigger_name(table, kind)}{suffix}" for kind in ("update", "delete")]

    def undoing(self, table: str, vendor: str) -> list[str]:
        return []


def trigger_name(table: str, kind: str) -> str:
    return f"{table}_no_{kind}"
