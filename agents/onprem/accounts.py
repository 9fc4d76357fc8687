"""Local Virtual Accounts: what products register into; the portal links each to one of its own by `:id:`."""

import sqlite3
from typing import Any
from uuid import uuid4

from agents.common.errors import UsageError
from agents.onprem.server import Site, load_server, next_revision

MAX_NAME = 100


def create_account(site: Site, name: str) -> dict[str, Any]:
    """Raises UsageError for a name that is taken, NotReady before the server is registered."""
    _check_name(name)
    with site.folder.writing() as database:
        load_server(database).require_keys()
        row = add_account(database, name)
    return {"id": row["id"], "name": row["name"]}


def rename_account(site: Site, old: str, new: str) -> dict[str, Any]:
    """The next file tells the portal. Raises UsageError."""
    _check_name(new)
    with site.folder.writing() as database:
        row = find_account(database, old)
        if new != old and database.execute("SELECT 1 FROM local_account WHERE name = ?", [new]).fetchone():
            raise UsageError(f"There is a local Virtual Account {new!r} already.")
        change_name(database, row["id"], new)
        database.execute("UPDATE local_account SET changed = ? WHERE id = ?", [next_revision(database), row["id"]])
    return {"id": row["id"], "name": new}


def add_account(database: sqlite3.Connection, name: str, *, number: int | None = None) -> sqlite3.Row:
    """Raises UsageError for a name that is taken."""
    if database.execute("SELECT 1 FROM local_account WHERE name = ?", [name]).fetchone():
        raise UsageError(f"There is a local Virtual Account {name!r} already.")
    row: sqlite3.Row = database.execute(
        "INSERT INTO local_account (id, uuid, name, changed) VALUES (?, ?, ?, ?) RETURNING *",
        [number, str(uuid4()), name, next_revision(database)],
    ).fetchone()
    return row


def change_name(database: sqlite3.Connection, number: int, name: str) -> None:
    database.execute("UPDATE local_account SET name = ? WHERE id = ?", [name, number])


def find_account(database: sqlite3.Connection, name: str) -> sqlite3.Row:
    """Raises UsageError."""
    row: sqlite3.Row | None = database.execute("SELECT * FROM local_account WHERE name = ?", [name]).fetchone()
    if row is None:
        names = [one["name"] for one in database.execute("SELECT name FROM local_account ORDER BY name")]
        raise UsageError(f"There is no local Virtual Account {name!r}; there are: {', '.join(names) or 'none'}.")
    return row


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(f"A name has 1 to {MAX_NAME} printable characters.")
