"""HA groups: products that stand in for each other count once.

Two belong together if both are registered in the same Virtual Account with the same PID and software, and each lists
the other; a peer that never registered does no harm. A claim never changes another product's group before that one's
own message.
"""

import sqlite3
from typing import Final

import msgspec

MAX_MEMBERS: Final = 8


def find_group(database: sqlite3.Connection, instance: sqlite3.Row, peers: list[str], software_tag: str) -> str:
    """The group of an instance that lists these peers (`PID:SN`); empty where it lists none."""
    if not peers:
        return ""
    own = f"{instance['udi_pid']}:{instance['udi_serial_number']}"
    rows = database.execute(
        "SELECT id, udi_pid || ':' || udi_serial_number AS udi, ha_peers, ha_group FROM instance"
        " WHERE is_active AND account_id = ? AND udi_pid = ? AND software_tag = ? AND id <> ? AND ha_group <> ''",
        [instance["account_id"], instance["udi_pid"], software_tag, instance["id"]],
    ).fetchall()
    members: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        members.setdefault(row["ha_group"], []).append(row)
    for group in sorted(members):
        mutual = all(row["udi"] in peers and own in msgspec.json.decode(row["ha_peers"]) for row in members[group])
        if mutual and len(members[group]) < MAX_MEMBERS:
            return group
    return f"ha-{instance['id']}"
