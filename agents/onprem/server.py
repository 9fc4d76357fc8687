"""What an on-prem server knows of itself: who it is, whom it trusts, what it was given, what it has been told to do."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from agents.common.errors import StateDamaged
from agents.onprem.errors import NotReady
from agents.onprem.folder import StateFolder


class Phase(StrEnum):
    NEW = "NEW"
    REQUESTED = "REQUESTED"
    REGISTERED = "REGISTERED"


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """PEM: the licensing root, and where they were exported with it the two authorities that may issue for us.

    Every on-prem server holds an authority below the root, so a path to the root alone does not show who issued: the
    first file installed fixes the authorities that were not given.
    """

    root: str
    sub_ca: str | None = None
    satellite_ca: str | None = None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Names of private keys in the state folder, and the host names their certificates are asked for."""

    lcs: str
    tg: str
    ssms: str
    hosts: list[str]


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What is told the portal of each product beside its UDI (WP table 4, note 1)."""

    hostname: bool = True
    ip_address: bool = True
    mac_address: bool = True


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When to synchronize over the network: `due_at` in Unix ms, `failures` those since the last success. All regular
    times are counted from `start_at`: no short month and no failure moves them."""

    every: str
    minute: int
    due_at: int
    start_at: int = 0
    failures: int = 0
    last_error: str = ""


class Server(msgspec.Struct, kw_only=True):
    """`certificates` as the portal names them, PEM. `last_sync` is the portal's text, to be quoted back unchanged."""

    instance_id: str
    satellite_name: str
    trust: Trust
    requested: Keys | None = None
    keys: Keys | None = None
    certificates: dict[str, str] = {}
    https_requested: Keys | None = None
    smart_account: str = ""
    account_domain: str = ""
    registered_at: int = 0
    last_sync: str | None = None
    last_installed_at: int = 0
    last_digest: str = ""
    last_generated: str = ""
    installed_revision: int = 0
    installed_export: str | None = None
    privacy: Privacy = Privacy()
    portal_url: str = ""
    last_network_timestamp: int = 0
    schedule: Schedule | None = None

    @property
    def phase(self) -> Phase:
        if self.keys is not None:
            return Phase.REGISTERED
        return Phase.REQUESTED if self.requested is not None else Phase.NEW

    def require_keys(self) -> Keys:
        """Raises NotReady before an authorization file has been installed."""
        if self.keys is None:
            raise NotReady("This server is not registered yet: install the authorization file from the portal.")
        return self.keys

    def key_names(self) -> set[str]:
        """Every private key that is still needed."""
        sets = [one for one in (self.requested, self.keys, self.https_requested) if one is not None]
        return {name for one in sets for name in (one.lcs, one.tg, one.ssms)}


@dataclass(frozen=True, slots=True)
class Site:
    """The folder and the clock that everything here works with. `clock` gives an aware datetime."""

    folder: StateFolder
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def now(self) -> int:
        return int(self.clock().timestamp() * 1000)


def find_server(database: sqlite3.Connection) -> Server | None:
    """Raises StateDamaged."""
    row = database.execute("SELECT body FROM server").fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row["body"], type=Server)
    except msgspec.DecodeError:
        raise StateDamaged("The state of this server cannot be read.") from None


def load_server(database: sqlite3.Connection) -> Server:
    """Raises NotReady where nothing has been requested yet."""
    server = find_server(database)
    if server is None:
        raise NotReady("There is no server here yet; start with request-registration.")
    return server


def save_server(database: sqlite3.Connection, server: Server) -> None:
    database.execute(
        "INSERT INTO server (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        [msgspec.json.encode(server).decode()],
    )


def next_revision(database: sqlite3.Connection) -> int:
    """The number for a change that the portal must hear of."""
    row = database.execute("UPDATE server SET revision = revision + 1 RETURNING revision").fetchone()
    return int(row["revision"])


def current_revision(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT revision FROM server").fetchone()["revision"])


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def parse_moment(text: str) -> datetime:
    """A timestamp of a file, to compare with another one."""
    return datetime.fromisoformat(text)
