"""Who is told that a product counts elsewhere, as a snapshot has it: set-based, within `apply_snapshot`.

Two are told: whoever reports a product that another Smart Account has (stored, not counted), and whoever lost one to
this snapshot after 90 days of silence. Neither learns who the other is.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection

from accounts.services.events import record_events
from cssm.common.actor import SYSTEM
from cssm.common.jobs import nudge
from licensing.services.devices.notices import move_notices

# Holders in another Smart Account that stop counting, because a product of this snapshot took their UDI over.
_FOREIGN_LOSERS: Final = """
SELECT v.holder_id FROM snap_verdict v JOIN licensing_productinstance h ON h.id = v.holder_id
 WHERE v.reason = '' AND v.holder_id <> v.instance_id AND h.smart_account_id <> %(sa)s AND h.state IN {active}
"""
_LOST: Final = f"""
SELECT smart_account_id, virtual_account_id, piid, udi FROM licensing_productinstance
 WHERE id IN ({_FOREIGN_LOSERS}) AND is_counted ORDER BY id
"""  # noqa: S608  our own statements
_CLEAR: Final = """
UPDATE licensing_instancenotice SET cleared_at = %(now)s, dispatched_at = NULL
 WHERE kind = 'claimed_elsewhere' AND cleared_at IS NULL AND instance_id IN (
   SELECT instance_id FROM snap_verdict WHERE reason <> 'claimed_elsewhere' UNION SELECT id FROM snap_gone)
"""
_GIVE: Final = f"""
INSERT INTO licensing_instancenotice (smart_account_id, virtual_account_id, instance_id, kind, at)
SELECT p.smart_account_id, p.virtual_account_id, p.id, 'claimed_elsewhere', %(now)s FROM licensing_productinstance p
 WHERE p.id IN (SELECT instance_id FROM snap_verdict WHERE reason = 'claimed_elsewhere' UNION {_FOREIGN_LOSERS})
   AND NOT EXISTS (SELECT 1 FROM licensing_instancenotice n
                    WHERE n.instance_id = p.id AND n.kind = 'claimed_elsewhere' AND n.cleared_at IS NULL)
 ORDER BY p.id
"""  # noqa: S608  our own statements
_MOVED: Final = """
SELECT i.instance_id, n.va FROM snap_named n
  JOIN licensing_instancenotice i ON i.instance_id = n.instance_id AND i.cleared_at IS NULL
 WHERE n.wanted AND n.was_active AND n.moves AND i.virtual_account_id <> n.va
"""


def record_lost_claims(*, dialect: Mapping[str, str], parameters: Mapping[str, Any], now: datetime) -> None:
    """Write into the logs of others what they lose. Before the rows change, with the claims locked."""
    lost: dict[int, list[tuple[int, str, str, dict[str, str]]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_LOST.format(**dialect), parameters)
        for smart_account_id, virtual_account_id, piid, udi in cursor.fetchall():
            lost[smart_account_id].append((virtual_account_id, "product_instance", uuid_text(piid), {"udi": udi}))
    for smart_account_id, rows in sorted(lost.items()):
        record_events(actor=SYSTEM, name="instance.claim_lost", smart_account_id=smart_account_id, rows=rows, now=now)


def tell_claims(*, dialect: Mapping[str, str], parameters: Mapping[str, Any], now: datetime) -> None:
    """Raise and clear the notices, once the rows have changed."""
    moved: dict[int, list[int]] = defaultdict(list)
    with connection.cursor() as cursor:
        changed = 0
        for statement in (_CLEAR, _GIVE):
            cursor.execute(statement.format(**dialect), parameters)
            changed += max(0, cursor.rowcount)
        cursor.execute(_MOVED, parameters)
        for instance_id, virtual_account_id in cursor.fetchall():
            moved[virtual_account_id].append(instance_id)
    for virtual_account_id, ids in sorted(moved.items()):
        move_notices(instance_ids=ids, virtual_account_id=virtual_account_id, now=now)
    if changed or moved:
        nudge("alerts.dispatch")


def uuid_text(value: Any) -> str:
    """A UUID as PostgreSQL gives it, or as SQLite keeps it: 32 hex digits."""
    text = str(value)
    return text if "-" in text else f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
