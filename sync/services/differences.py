"""What a file changes, in figures and names: shown before it is applied, and kept with it afterwards."""

from datetime import datetime
from typing import Any

from licensing.models import Pool
from licensing.services.devices.apply_snapshot import Outcome
from licensing.states import Compliance
from sync.services.local_accounts import Linked
from sync.states import MarkReason

MOST_MARKED = 200


def describe_difference(*, outcome: Outcome, linked: Linked, full: bool, now: datetime) -> dict[str, Any]:
    """JSON for people and programs, in the transaction in which it was applied (or would have been)."""
    return {
        "synchronization": "full" if full else "incremental",
        "instances": {
            "named": outcome.named,
            "added": outcome.added_count,
            "returned": outcome.returned_count,
            "removed": outcome.removed_count,
            "changed": outcome.changed_count,
            "moved": outcome.moved_count,
            "useChanged": outcome.use_changed_count,
            "addedNames": list(outcome.added),
            "removedNames": list(outcome.removed),
            "movedNames": list(outcome.moved),
        },
        "virtualAccounts": {
            "created": list(linked.created),
            "renamed": list(linked.renamed),
            "unlinked": list(linked.unlinked),
        },
        "licenses": _describe_licenses(outcome, now),
        "markedCount": len(outcome.marked),
        "marked": [
            {
                "id": marked.external_id,
                "udiPid": marked.udi_pid,
                "udiSerialNumber": marked.udi_serial_number,
                "reason": marked.reason,
                "message": MarkReason(marked.reason).explanation,
            }
            for marked in outcome.marked[:MOST_MARKED]
        ],
    }


def _describe_licenses(outcome: Outcome, now: datetime) -> list[dict[str, Any]]:
    growth = {(change.virtual_account_id, change.license_id): change.quantity for change in outcome.use}
    pools = Pool.objects.filter(
        virtual_account__in={key[0] for key in growth}, license__in={key[1] for key in growth}
    ).with_figures(now)
    rows = pools.select_related("license", "virtual_account").order_by("virtual_account__name", "license__display_name")
    return [
        {
            "virtualAccount": pool.virtual_account.name,
            "license": pool.license.display_name,
            "entitlementTag": pool.license.tag,
            "inUseBefore": pool.now_in_use - growth[pool.virtual_account_id, pool.license_id],
            "inUse": pool.now_in_use,
            "quantity": pool.now_purchased,
            "available": pool.now_balance,
            "status": Compliance(pool.now_status).label,
        }
        for pool in rows
        if (pool.virtual_account_id, pool.license_id) in growth
    ]
