"""The synchronization request: Virtual Accounts, their product instances and use (white paper, tables 3 and 4).

Read as a stream of items in the order of the file; only one of them is in memory at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from yaml.events import MappingEndEvent

from sync.codecs.envelope import Readable
from sync.codecs.reader import Path, Reader
from sync.codecs.registration import MAX_PEM, NAME_LIMIT, UUID_TEXT, check_opening
from sync.codecs.shapes import Boolean, Choice, Either, Integer, Moment, Rows, Shape, Text
from sync.codecs.shortcuts import Shortcuts
from sync.errors import FileCode

REQUEST: Final = "synchronization_request"
RESPONSE: Final = "synchronization_response"
MOST_QUANTITY: Final = 1_000_000_000
MOST_ACCOUNTS: Final = 10_000
MOST_INSTANCES: Final = 10_000_000
ID_LIMIT: Final = 64
TAG_LIMIT: Final = 255

_USE: Final = Shape(
    {":id": Text(ID_LIMIT), ":tag": Text(TAG_LIMIT), ":consumed_quantity": Integer(MOST_QUANTITY)},
)
_USES: Final = Rows(_USE, most=1000)
_INSTANCE: Final = Shape(
    {
        ":id": Text(ID_LIMIT),
        ":is_active": Boolean(),
        ":software_tag_identifier": Text(TAG_LIMIT),
        ":udi_pid": Text(128),
        ":udi_serial_number": Text(128),
        ":hostname": Text(255, required=False),
        ":ip_address": Text(64, required=False),
        ":mac_address": Text(64, required=False),
        ":host_identifier": Text(255, required=False),
        ":registered_at": Moment(required=False, nullable=True),
        ":ha_group": Text(ID_LIMIT, required=False),
        ":license": _USES,
    }
)
_ACCOUNT: Final = Shape(
    {
        ":id": Text(ID_LIMIT),
        ":name": Text(NAME_LIMIT),
        ":product_instances": Rows(_INSTANCE, most=MOST_INSTANCES),
    }
)
_CONVERSION_LINE: Final = Shape(
    {
        ":conversion_type": Choice(frozenset({"LICENSE_FILE", "TRUST_BASED"})),
        ":entitlement_tag": Text(TAG_LIMIT),
        ":count": Integer(MOST_QUANTITY),
        ":payload": Text(64 * 1024, required=False, multiline=True),
    }
)
_CONVERSION: Final = Shape(
    {
        ":udi_pid": Text(128),
        ":udi_serial_number": Text(128),
        ":software_tag_identifier": Text(TAG_LIMIT),
        ":locale": Text(32, required=False),
        ":conversion_lines": Rows(_CONVERSION_LINE, most=1000),
    }
)
_SIGNATURE: Final = Shape(
    {":signing_type": Text(64), ":key": Text(1024, required=False), ":value": Text(8192, multiline=True)}
)
_RUM: Final = Shape(
    {
        ":payload": Text(64 * 1024, multiline=True),
        ":signature": Either(Text(8192, multiline=True), _SIGNATURE),
    }
)
_HEADER: Final = Shape(
    {
        ":sync_version": Text(64),
        ":ssms_version": Text(64),
        ":id_cert": Text(MAX_PEM, multiline=True),
        ":signing_cert": Text(MAX_PEM, multiline=True),
        ":collector_id": Text(UUID_TEXT),
        ":last-sync": Moment(nullable=True),
        ":last_generated": Moment(),
        ":csr": Text(MAX_PEM, required=False, multiline=True),
        ":tg_csr": Text(MAX_PEM, required=False, multiline=True),
        ":ssms_csr": Text(MAX_PEM, required=False, multiline=True),
        ":virtual_accounts": Rows(_ACCOUNT, most=MOST_ACCOUNTS),
        ":device_conversion_request": Rows(_CONVERSION, required=False),
        ":rum_reports": Rows(_RUM, required=False),
    }
)
_STREAMED: Final = frozenset({":virtual_accounts", ":device_conversion_request", ":rum_reports"})


# Not frozen, as there are hundreds of thousands in a file: each field of a frozen one is set by a call.
@dataclass(slots=True)
class Use:
    id: str
    tag: str
    quantity: int
    line: int


@dataclass(slots=True)
class Instance:
    """`account` is the position of its Virtual Account in the file, from 0; `uses` is the whole present use."""

    account: int
    line: int
    id: str
    is_active: bool
    software_tag: str
    udi_pid: str
    udi_serial_number: str
    hostname: str
    ip_address: str
    mac_address: str
    host_identifier: str
    registered_at: datetime | None
    ha_group: str
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A local Virtual Account. It comes after its instances, for its keys can stand behind them."""

    position: int
    line: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Conversion:
    line: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RumReport:
    line: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Header:
    """`last_sync` is quoted as it stands in the file, None asks for a full synchronization."""

    sync_version: str
    ssms_version: str
    id_cert: str
    signing_cert: str
    collector_id: str
    last_sync: str | None
    last_generated: str
    last_generated_at: datetime
    tg_csr: str
    ssms_csr: str

    @property
    def is_full(self) -> bool:
        return self.last_sync is None


Item = Instance | Account | Conversion | RumReport | Header


class SynchronizationReader:
    """Iterate over the items; the header comes as soon as what it must hold is known, and once more, whole, at the end.

    Problems of values are collected and raised at the end: what came before must not be used until then. With
    `shortcuts` a large file takes a third of the time; what is then raised, `FileRefused` or `Misread`, says only that
    the file must be read again without them, for what is wrong with it.
    """

    def __init__(self, file: Readable, length: int, *, shortcuts: bool = False) -> None:
        self._reader = Reader(file, length, Shortcuts(_INSTANCE, _USES) if shortcuts else None)
        self._header_given = False

    @property
    def shortcuts(self) -> int:
        """How many instances were read by them so far."""
        known = self._reader.events.shortcuts
        return 0 if known is None else known.found

    @property
    def bytes_read(self) -> int:
        return self._reader.events.bytes_read

    def raise_problems(self) -> None:
        """Those of what was read so far, where the rest is not to be read."""
        self._reader.raise_problems()

    def __iter__(self) -> Iterator[Item]:
        reader = self._reader
        values: dict[str, Any] = dict(check_opening(reader, REQUEST))
        while type(event := reader.events.take()) is not MappingEndEvent:
            name = reader.read_key(event, values, ())
            first = reader.events.take()
            if name is None:
                reader.skip(first)
            elif name in _STREAMED:
                if not self._header_given and (header := self._header(values)):
                    self._header_given = True
                    yield header
                values[name] = True
                yield from self._stream(name, first)
            else:
                values[name] = reader.read_value(_HEADER.fields.get(name), name, first, ())
        reader.check_complete(_HEADER, values, (), 1)
        reader.events.finish()
        reader.raise_problems()
        if header := self._header(values):
            yield header

    def _header(self, values: dict[str, Any]) -> Header | None:
        """When all that is required is there and right."""
        needed = _HEADER.required - _STREAMED - {":last-sync"}
        if ":last-sync" not in values or any(values.get(key) is None for key in needed):
            return None
        last_sync = values[":last-sync"]
        return Header(
            sync_version=values[":sync_version"],
            ssms_version=values[":ssms_version"],
            id_cert=values[":id_cert"],
            signing_cert=values[":signing_cert"],
            collector_id=values[":collector_id"],
            last_sync=None if last_sync is None else last_sync[0],
            last_generated=values[":last_generated"][0],
            last_generated_at=values[":last_generated"][1],
            tg_csr=values.get(":tg_csr") or "",
            ssms_csr=values.get(":ssms_csr") or "",
        )

    def _stream(self, name: str, first: Any) -> Iterator[Item]:
        kind: Any = _HEADER.fields[name]
        if name == ":virtual_accounts":
            for position, line, _ in self._reader.walk_rows(name, first, (), kind.most):
                yield from self._account(position, line, ((), name, position))
            return
        make = Conversion if name == ":device_conversion_request" else RumReport
        for row in self._reader.read_rows(kind, name, first, ()):
            yield make(row["line"], row)

    def _account(self, position: int, line: int, path: Path) -> Iterator[Item]:
        reader = self._reader
        values: dict[str, Any] = {}
        while type(event := reader.events.take()) is not MappingEndEvent:
            name = reader.read_key(event, values, path)
            first = reader.events.take()
            if name is None:
                reader.skip(first)
            elif name == ":product_instances":
                values[name] = True
                for number, row_line, known in reader.walk_rows(name, first, path, MOST_INSTANCES, shortcuts=True):
                    row = reader.read_mapping(_INSTANCE, (path, name, number)) if known is None else known
                    if not reader.problems:
                        instance = self._instance(position, row_line, row, (path, name, number))
                        if instance is not None:
                            yield instance
            else:
                values[name] = reader.read_value(_ACCOUNT.fields.get(name), name, first, path)
        reader.check_complete(_ACCOUNT, values, path, line)
        if values.get(":id") and values.get(":name"):
            yield Account(position, line, values[":id"], values[":name"])

    def _instance(self, account: int, line: int, row: dict[str, Any], path: Path) -> Instance | None:
        uses = tuple(Use(use[":id"], use[":tag"], use[":consumed_quantity"], use["line"]) for use in row[":license"])
        if len(uses) > 1:
            for key, values in ((":tag", [use.tag for use in uses]), (":id", [use.id for use in uses])):
                if len(set(values)) < len(values):
                    number = next(n for n, value in enumerate(values) if value in values[:n])
                    where = ((path, ":license", number), key)
                    self._reader.note(FileCode.DUPLICATE, "It stands twice in this instance.", where, uses[number].line)
                    return None
        registered_at = row.get(":registered_at")
        return Instance(
            account,
            line,
            row[":id"],
            row[":is_active"],
            row[":software_tag_identifier"],
            row[":udi_pid"],
            row[":udi_serial_number"],
            row.get(":hostname") or "",
            row.get(":ip_address") or "",
            row.get(":mac_address") or "",
            row.get(":host_identifier") or "",
            None if registered_at is None else registered_at[1],
            row.get(":ha_group") or "",
            uses,
        )
