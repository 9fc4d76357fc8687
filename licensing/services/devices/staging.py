"""Staging what an on-prem server's file says: rows in chunks, each chunk a short transaction of its caller."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Max

from cssm.common.bulk import insert_rows
from licensing.models import Origin, Snapshot, SnapshotAccount, StagedInstance, StagedUse

_INSTANCE_COLUMNS: Final = (
    "snapshot_id", "line", "account", "external_id", "is_active", "software_tag", "udi", "udi_pid",
    "udi_serial_number", "hostname", "ip_address", "mac_address", "host_identifier", "registered_at", "ha_group",
)  # fmt: skip
_USE_COLUMNS: Final = ("snapshot_id", "external_id", "tag", "quantity")


@dataclass(slots=True)
class StagedRow:
    """One product instance of a file with its whole present use: (tag, quantity) each."""

    line: int
    account: int
    external_id: str
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
    uses: Sequence[tuple[str, int]]


def open_origin(*, name: str, smart_account_id: int) -> Origin:
    """The origin of an on-prem server, made where missing; `name` is its UUID."""
    origin, _ = Origin.objects.get_or_create(name=name, defaults={"smart_account_id": smart_account_id})
    return origin


def open_snapshot(*, origin: Origin, smart_account_id: int, now: datetime) -> Snapshot:
    return Snapshot.objects.create(origin=origin, smart_account_id=smart_account_id, created_at=now)


def stage_rows(*, snapshot_id: int, rows: Iterable[StagedRow]) -> int:
    """Write the rows, in the caller's transaction; returns how many."""
    instances, uses = [], []
    for row in rows:
        registered_at = None if row.registered_at is None else _stored(row.registered_at)
        instances.append(
            (
                snapshot_id, row.line, row.account, row.external_id, row.is_active, row.software_tag,
                f"{row.udi_pid}:{row.udi_serial_number}", row.udi_pid, row.udi_serial_number, row.hostname,
                row.ip_address, row.mac_address, row.host_identifier, registered_at, row.ha_group,
            )
        )  # fmt: skip
        uses += [(snapshot_id, row.external_id, tag, quantity) for tag, quantity in row.uses if quantity]
    insert_rows(StagedInstance._meta.db_table, _INSTANCE_COLUMNS, instances)
    insert_rows(StagedUse._meta.db_table, _USE_COLUMNS, uses)
    return len(instances)


def refresh_statistics() -> None:
    """Let the planner know of many rows staged a moment ago; it would look each of them up one by one.

    Not inside a long transaction: until its end, nobody else's statistics could be refreshed, and the files of other
    servers would wait for this one.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {StagedInstance._meta.db_table}, {StagedUse._meta.db_table}")


def find_twice(*, snapshot_id: int, limit: int) -> list[tuple[str, int]]:
    """(id, line) of instances that the file names more than once, the last time each."""
    rows = StagedInstance.objects.filter(snapshot=snapshot_id).order_by().values("external_id")
    twice = rows.annotate(times=Count("pk"), last=Max("line")).filter(times__gt=1)
    return list(twice.order_by("last").values_list("external_id", "last")[:limit])


def count_staged(*, snapshot_id: int) -> dict[int, int]:
    """How many active instances the file names in each of its accounts, by position."""
    rows = StagedInstance.objects.filter(snapshot=snapshot_id, is_active=True).order_by().values("account")
    return {row["account"]: row["instances"] for row in rows.annotate(instances=Count("pk"))}


def link_accounts(*, snapshot_id: int, virtual_accounts: Mapping[int, int | None]) -> None:
    """Say which Virtual Account each account of the file is, by position; None where it is held unlinked."""
    SnapshotAccount.objects.bulk_create(
        SnapshotAccount(snapshot_id=snapshot_id, position=position, virtual_account_id=virtual_account_id)
        for position, virtual_account_id in virtual_accounts.items()
    )


def discard_snapshot(*, snapshot_id: int) -> None:
    """Delete it with all its rows, in the caller's transaction."""
    StagedInstance.objects.filter(snapshot=snapshot_id).delete()
    StagedUse.objects.filter(snapshot=snapshot_id).delete()
    Snapshot.objects.filter(pk=snapshot_id).delete()


def _stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
