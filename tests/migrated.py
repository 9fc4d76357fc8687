"""Databases with every table: migrated once, then copied for each process and each journey that needs one.

Migrating takes half a minute, copying a tenth of a second.
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "var"
PREFIX = "portal_migrated_"
# Django makes these rows anew, one by one, where they are missing after a flush.
_MADE_BY_MIGRATE = ("django_content_type", "auth_permission")


def copy_migrated_file(target: Path) -> None:
    """Make the SQLite file `target`, with every table and no row of ours."""
    source = KEPT / f"{PREFIX}{_fingerprint()}.sqlite3"
    with _alone():
        if not source.exists():
            for old in KEPT.glob(f"{PREFIX}*"):
                old.unlink()
            made = KEPT / "being_migrated.sqlite3"
            made.unlink(missing_ok=True)
            _migrate(f"sqlite:///{made}")
            with closing(sqlite3.connect(made)) as file:
                file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            made.rename(source)
    for left_over in target.parent.glob(f"{target.name}*"):
        left_over.unlink()
    shutil.copyfile(source, target)


def copy_migrated_database(server: str, target: str) -> None:
    """Make the database `target` on the PostgreSQL server of this address, with every table and no row of ours.

    One of this name that an interrupted run left behind gives way.
    """
    source = f"{PREFIX}{_fingerprint()}"
    with _alone(), closing(psycopg.connect(_at(server), autocommit=True)) as connection:
        found = [
            name
            for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{PREFIX}%"])
        ]
        if source not in found:
            made = f"{PREFIX}unfinished"
            for old in {*found, made}:
                _drop(connection, old)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(made)))
            _migrate(urlsplit(server)._replace(path=f"/{made}").geturl())
            renaming = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(renaming.format(sql.Identifier(made), sql.Identifier(source)))
        _drop(connection, target)
        copying = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copying.format(sql.Identifier(target), sql.Identifier(source)))


def empty_quickly(connection: BaseDatabaseWrapper) -> None:
    """Let Django's `flush` of this PostgreSQL connection delete rows where there are any.

    TRUNCATE makes a new file for each table and index, hundreds of them after each test of real transactions. Deleting
    past the triggers and keys is a right of the superuser; who is none truncates.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser') = 'on'")
        if cursor.fetchone() != (True,):
            return
    named = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = [name for name in named if name not in _MADE_BY_MIGRATE]
    look = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables)  # noqa: S608  ours

    def delete_rows(sql_list: Iterable[str]) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(look)
            for (name,) in cursor.fetchall():
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608  ours

    connection.ops.execute_sql_flush = delete_rows  # type: ignore[method-assign]  # for the tests alone


def drop_database(server: str, name: str) -> None:
    with closing(psycopg.connect(_at(server), autocommit=True)) as connection:
        _drop(connection, name)


def _drop(connection: psycopg.Connection[tuple[str]], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _at(server: str) -> str:
    return server.replace("postgres://", "postgresql://")


def _fingerprint() -> str:
    """Of all that decides what the tables look like: our migrations, and those of the packages of this version."""
    migrations = sorted([*ROOT.glob("*/migrations/*.py"), *ROOT.glob("*/*/migrations/*.py")])
    seen = hashlib.sha256()
    for path in [*migrations, ROOT / "cssm" / "common" / "triggers.py", ROOT / "uv.lock"]:
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def _migrate(address: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment.update(DATABASE_URL=address, DEBUG="true", CACHE_URL="", CELERY_BROKER_URL="")
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@contextmanager
def _alone() -> Iterator[None]:
    """The others wait until it is made."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
