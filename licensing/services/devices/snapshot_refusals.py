"""Export-restricted licenses that products of an on-prem server use and may not: set-based, within `apply_snapshot`.

The server's Smart Account decides; its products have no ID token here.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.db import connection

from cssm.common.jobs import nudge

_STILL: Final = """
SELECT SUM(u.quantity) FROM licensing_usage u
 WHERE u.instance_id = licensing_instancenotice.instance_id AND u.license_id = licensing_instancenotice.license_id
   AND u.kind = 'export_restricted' AND u.quantity > 0
"""
_TOUCHED: Final = "(SELECT instance_id FROM snap_use UNION SELECT instance_id FROM snap_use_gone)"
_CLEAR: Final = f"""
UPDATE licensing_instancenotice SET cleared_at = %(now)s, dispatched_at = NULL
 WHERE kind = 'use_refused' AND cleared_at IS NULL
   AND (instance_id IN (SELECT id FROM snap_gone) OR instance_id IN {_TOUCHED} AND ({_STILL}) IS NULL)
"""  # noqa: S608  our own statements
_UPDATE: Final = f"""
UPDATE licensing_instancenotice SET quantity = ({_STILL}), dispatched_at = NULL
 WHERE kind = 'use_refused' AND cleared_at IS NULL AND instance_id IN {_TOUCHED} AND quantity <> ({_STILL})
"""  # noqa: S608  our own statements
_GIVE: Final = """
INSERT INTO licensing_instancenotice (smart_account_id, virtual_account_id, instance_id, kind, license_id, quantity,
       reason, at)
SELECT p.smart_account_id, p.virtual_account_id, p.id, 'use_refused', s.license_id, s.quantity, 'account', %(now)s
  FROM snap_use s JOIN licensing_productinstance p ON p.id = s.instance_id
 WHERE s.kind = 'export_restricted' AND s.quantity > 0 AND NOT EXISTS (
   SELECT 1 FROM licensing_instancenotice n WHERE n.instance_id = p.id AND n.kind = 'use_refused'
      AND n.license_id = s.license_id AND n.cleared_at IS NULL)
 ORDER BY p.id, s.license_id
"""


def tell_refused_use(*, dialect: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
    """Raise, update and clear the notices, once the rows have changed."""
    changed = 0
    with connection.cursor() as cursor:
        for statement in (_CLEAR, _UPDATE, _GIVE):
            cursor.execute(statement.format(**dialect), parameters)
            changed += max(0, cursor.rowcount)
    if changed:
        nudge("alerts.dispatch")
