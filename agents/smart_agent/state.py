"""What a product must not forget, in one folder: `state.json`, replaced as a whole, and private keys that never change.

A key is on disk before the state names it, and the state names a message before it is sent. Whatever is interrupted,
the next start finds either the old or the new state, never a half; a key that no state names is left over and removed.
All times in here are Unix milliseconds.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.files import TEMPORARY, sync_folder, write_private_file
from agents.common.keys import dump_key, fingerprint, load_key
from agents.smart_agent.errors import StateDamaged, UsageError
from agents.smart_agent.messages import Sudi
from agents.smart_agent.reservation_codes import Authorization as Authorized

STATE_FILE: Final = "state.json"
KEY_PREFIX: Final = "key-"


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """What this product says of itself."""

    sudi: Sudi
    software_tag: str
    hostname: str = ""
    ip_address: str = ""
    mac_address: str = ""
    ha_peers: list[Sudi] = []
    three_tier: bool = False
    """An older product, that checks a path of three certificates and no longer one (WP "3-Tier vs. 4-Tier")."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One registration: who the server says we are, and the certificates (PEM) that prove it."""

    piid: str
    key: str
    id_cert: str
    id_cert_serial: str
    signing_cert: str
    sub_ca_cert: str
    chain: list[str]
    smart_account: str
    virtual_account: str
    registered_at: int
    renew_at: int
    expires_at: int
    acknowledged: bool = False
    is_renewal: bool = False


class Entitlement(msgspec.Struct, frozen=True):
    """One license in use; `status` is the server's last word about it."""

    tag: str
    count: int
    status: str | None = None


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer to an authorization request. `compliance_status` is the virtual account's."""

    compliance_status: str
    answered_at: int
    next_at: int
    expires_at: int


class Evaluation(msgspec.Struct, frozen=True):
    """Time used up in the product's life, and since when it has been running (None = stands still)."""

    used_ms: int = 0
    since: int | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A message that may have been sent and whose answer is not known; `question` is a digest of what it asks."""

    request_type: str
    question: str
    body: str
    nonce: str
    key: str
    created_at: int


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """License reservation: what was requested, what is installed. `newest` is the timestamp (ms) of the newest
    authorization that was ever installed here: nothing older is taken any more, also after it was returned.

    `root` and `signer` are the certificates (PEM) that authorizations are verified with.
    """

    kind: str = ""
    sequence: str = ""
    root: str = ""
    signer: str = ""
    request_code: str = ""
    authorization: Authorized | None = None
    newest: int = 0
    installed_at: int = 0
    confirmation_code: str = ""
    return_code: str = ""


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """The last conversion that was asked for. `status` is PENDING until the server has told of its end; it is asked
    under `poll_id`, next at `poll_at`."""

    status: str
    message: str = ""
    poll_id: int | None = None
    poll_at: int = 0


class ExportKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key for an export-controlled license, or that it was given back. `newest` as in `Reservation`."""

    tag: str
    authorization: Authorized | None = None
    newest: int = 0
    return_code: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the schedule must remember between starts: retries that are due, and what has been said when.

    `failing_since` is when authorization requests began to fail, `told` the moments of which people were told once.
    Usage is reported every `report_every` ms, 0 for never; `report_at` is when to try again after a failure.
    """

    authorize_at: int | None = None
    failing_since: int | None = None
    renew_at: int | None = None
    warned_at: int = 0
    nagged_at: int | None = None
    poll_at: int | None = None
    report_every: int = 0
    report_at: int | None = None
    told: dict[str, int] = {}


class WaitingReport(msgspec.Struct, frozen=True, kw_only=True):
    """A usage report that the server has not said it has; `payload` is the text that `signature` is of."""

    report_id: int
    tag: str
    payload: str
    signature: dict[str, str]


class Rum(msgspec.Struct, frozen=True, kw_only=True):
    """Usage reports: until when (Unix seconds) use was measured, and what waits to be acknowledged; where the answer is
    still to come, it is asked for under `poll_id`, next at `poll_at`."""

    waiting: list[WaitingReport] = []
    measured_until: int = 0
    last_id: int = 0
    poll_id: int | None = None
    poll_at: int = 0


class State(msgspec.Struct, kw_only=True):
    """`renewal` is a new identity that has not been acknowledged yet; `renewal_key` belongs to one being asked for."""

    format: int = 1
    url: str = ""
    root: str = ""
    product: Product | None = None
    was_registered: bool = False
    identity: Identity | None = None
    renewal: Identity | None = None
    renewal_key: str = ""
    authorization: Authorization | None = None
    use: list[Entitlement] = []
    evaluation: Evaluation = Evaluation()
    last_timestamp: int = 0
    clock_offset: int = 0
    pending: dict[str, Pending] = {}
    reservation: Reservation = Reservation()
    conversion: Conversion | None = None
    export_keys: list[ExportKey] = []
    plan: Plan = Plan()
    rum: Rum = Rum()


class StateStore:
    """The folder (0700, files 0600). Only its methods touch the disk.

    Not `durable` is for fleets, whose memory need not survive a power cut.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self._durable = durable

    @contextmanager
    def locked(self) -> Iterator[State]:
        """The state, while no other process may change it; the folder is made where there is none.

        Raises UsageError for a folder of somebody else's, StateDamaged.
        """
        self._prepare()
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            state = self.read()
            self._remove_leftovers(state)
            yield state
        finally:
            os.close(handle)

    def read(self) -> State:
        """The state without a lock, for looking at; a new one where nothing was ever stored."""
        try:
            content = (self.folder / STATE_FILE).read_bytes()
        except FileNotFoundError:
            return State()
        except OSError as error:
            raise UsageError(f"{self.folder} cannot be read: {error.strerror}.") from None
        try:
            state = msgspec.json.decode(content, type=State)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StateDamaged(f"{self.folder / STATE_FILE} cannot be read.") from None
        if state.format != 1:
            raise StateDamaged(f"{self.folder / STATE_FILE} was written by another version of this program.")
        return state

    def write(self, state: State) -> None:
        """Durable when this returns."""
        content = msgspec.json.format(msgspec.json.encode(state), indent=1)
        write_private_file(self.folder / STATE_FILE, content, durable=self._durable)
        self._remove_leftovers(state)

    def add_key(self, key: rsa.RSAPrivateKey) -> str:
        """Store a private key; durable when this returns. Returns the name by which a state refers to it."""
        name = KEY_PREFIX + fingerprint(key)[:32]
        write_private_file(self.folder / name, dump_key(key), durable=self._durable)
        return name

    def load_key(self, name: str) -> rsa.RSAPrivateKey:
        """Raises StateDamaged."""
        try:
            content = (self.folder / Path(name).name).read_bytes()
        except OSError:
            raise StateDamaged(f"The private key {name} is missing from {self.folder}.") from None
        return load_key(content)

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = {path.name for path in self.folder.iterdir()}
            if not all(name == STATE_FILE or name.startswith((KEY_PREFIX, TEMPORARY)) for name in names):
                raise UsageError(f"{self.folder} holds other files: give the agent a folder of its own.")
            self.folder.chmod(0o700)
            if self._durable:
                sync_folder(self.folder.parent)
        except OSError as error:
            raise UsageError(f"{self.folder} cannot be used: {error.strerror}.") from None

    def _remove_leftovers(self, state: State) -> None:
        named = {pending.key for pending in state.pending.values()}
        named |= {one.key for one in (state.identity, state.renewal) if one is not None} | {state.renewal_key}
        for path in self.folder.glob(KEY_PREFIX + "*"):
            if path.name not in named:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(TEMPORARY + "*"):
            path.unlink(missing_ok=True)
