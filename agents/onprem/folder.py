"""The state folder: one SQLite database and the server's private keys, all for its owner alone (0700, files 0600)."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.errors import StateDamaged, UsageError
from agents.common.files import sync_folder, write_private_file
from agents.common.keys import dump_key, fingerprint, generate_key, load_key
from agents.onprem.schema import STEPS, VERSION

DATABASE: Final = "onprem.sqlite3"
OUTBOX: Final = "outbox"
BUSY_SECONDS: Final = 30.0


class StateFolder:
    """Opens the database and keeps the keys. Any number of processes and threads may use one folder at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def outbox(self) -> Path:
        """Where requests lie until somebody carries them to the portal."""
        return self.path / OUTBOX

    @property
    def exists(self) -> bool:
        return (self.path / DATABASE).exists()

    def prepare(self) -> None:
        """Make the folder and the database where there are none. Raises UsageError, StateDamaged."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.exists and any(self.path.iterdir()):
                raise UsageError(f"{self.path} holds other files: give the server a folder of its own.")
            self.path.chmod(0o700)
            self.outbox.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self.path / DATABASE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            sync_folder(self.path)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be used: {error.strerror}.") from None
        with self.reading():
            pass  # makes the tables

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """No other process makes or drops keys, or writes or installs files, meanwhile; products are served on."""
        self._require()
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One moment's view of everything, whatever others write meanwhile. Raises UsageError without a state."""
        with closing(self._connect()) as database:
            database.execute("BEGIN")
            yield database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All of what is done inside, or nothing; one writer at a time. Durable when this ends."""
        with closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def add_key(self, purpose: str) -> str:
        """Make and store a key pair; durable when this returns. Returns the name by which the state refers to it."""
        key = generate_key()
        name = f"{purpose}-{fingerprint(key)[:16]}.key"
        write_private_file(self.path / name, dump_key(key))
        return name

    def load_key(self, name: str) -> rsa.RSAPrivateKey:
        """Raises StateDamaged."""
        try:
            return load_key((self.path / Path(name).name).read_bytes())
        except OSError:
            raise StateDamaged(f"The private key {name} is missing from {self.path}.") from None

    def remove_keys(self, keep: set[str]) -> None:
        """Drop the keys that no state names any more."""
        for path in self.path.glob("*.key"):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def _require(self) -> None:
        if not self.exists:
            raise UsageError(f"{self.path} holds no on-prem server; start with request-registration.")

    def _connect(self) -> sqlite3.Connection:
        self._require()
        try:
            database = sqlite3.connect(self.path / DATABASE, timeout=BUSY_SECONDS, isolation_level=None)
            database.row_factory = sqlite3.Row
            for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                database.execute(f"PRAGMA {setting}")
            self._upgrade(database)
        except sqlite3.DatabaseError as error:
            raise StateDamaged(f"{self.path / DATABASE} cannot be read: {error}.") from None
        return database

    def _upgrade(self, database: sqlite3.Connection) -> None:
        """Bring what an earlier version wrote, or nothing yet, up to this one. Raises StateDamaged for a later one."""
        if _version(database) == VERSION:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            found = _version(database)
            if found > VERSION:
                raise StateDamaged(f"{self.path} was written by a later version of this program.")
            for statements in STEPS[found:]:
                for statement in statements:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
