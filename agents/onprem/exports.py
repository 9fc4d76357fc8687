"""What a synchronization request tells: everything, or what has changed since the last response that was installed."""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from agents.onprem.documents.requests import Account, Instance, License
from agents.onprem.documents.writer import stamp
from agents.onprem.server import Privacy, moment

_INSTANCES: Final = """
    SELECT i.*, u.id AS usage_id, u.tag, u.quantity FROM instance i
    LEFT JOIN usage u ON u.instance_id = i.id AND u.quantity > 0 AND i.is_active
    WHERE i.account_id = :account AND (i.changed > :since OR (:full AND i.is_active))
    ORDER BY i.id, u.id"""

_ACCOUNTS: Final = """
    SELECT * FROM local_account a WHERE :full OR changed > :since OR EXISTS (
        SELECT 1 FROM instance i WHERE i.account_id = a.id AND i.changed > :since)
    ORDER BY id"""


def list_accounts(database: sqlite3.Connection, *, full: bool, since: int, privacy: Privacy) -> Iterator[Account]:
    """The Virtual Accounts of one file, their instances read as the file is written.

    `since` is the revision that the portal has confirmed. Products that ended are named until it has confirmed that.
    """
    for row in database.execute(_ACCOUNTS, {"full": full, "since": since}):
        instances = _list_instances(database, row["id"], full=full, since=since, privacy=privacy)
        yield Account(id=row["id"], name=row["name"], instances=instances)


def _list_instances(
    database: sqlite3.Connection, account: int, *, full: bool, since: int, privacy: Privacy
) -> Iterator[Instance]:
    rows = database.execute(_INSTANCES, {"account": account, "full": full, "since": since})
    for _, group in groupby(rows, key=lambda row: row["id"]):
        own = list(group)
        first = own[0]
        yield Instance(
            id=first["id"],
            is_active=bool(first["is_active"]),
            software_tag=first["software_tag"],
            udi_pid=first["udi_pid"],
            udi_serial_number=first["udi_serial_number"],
            hostname=first["hostname"] if privacy.hostname else "",
            ip_address=first["ip_address"] if privacy.ip_address else "",
            mac_address=first["mac_address"] if privacy.mac_address else "",
            host_identifier=first["host_identifier"],
            registered_at=stamp(moment(first["registered_at"])),
            ha_group=first["ha_group"],
            licenses=[
                License(id=row["usage_id"], tag=row["tag"], quantity=row["quantity"]) for row in own if row["usage_id"]
            ],
        )
