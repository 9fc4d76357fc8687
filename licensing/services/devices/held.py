"""Product instances in local accounts that are linked to no Virtual Account here: kept as their server's files named
them, for the moment at which their account is linked. Until then they are no instances, and count nowhere.

They are staged rows of a snapshot of their own, one per server, whose `account` is the caller's number of the account.
"""

from collections.abc import Mapping
from typing import Final

from django.db import connection
from django.db.models import Count, Max, QuerySet

from licensing.models import StagedInstance, StagedUse

# Lines stay apart within a snapshot: which of two rows came later is told by them.
_MOVE: Final = """
UPDATE licensing_stagedinstance SET snapshot_id = %(target)s, account = %(number)s, line = %(after)s + r.place FROM (
  SELECT id, ROW_NUMBER() OVER (ORDER BY line, id) AS place FROM licensing_stagedinstance
   WHERE snapshot_id = %(source)s AND account = %(account)s) r
 WHERE licensing_stagedinstance.id = r.id
"""
_MOVE_USE: Final = """
UPDATE licensing_stageduse SET snapshot_id = %(target)s WHERE snapshot_id = %(source)s AND external_id IN (
  SELECT external_id FROM licensing_stagedinstance WHERE snapshot_id = %(target)s AND account = %(number)s)
"""


def hold_rows(*, held_id: int, snapshot_id: int, accounts: Mapping[int, int], full: bool) -> None:
    """Bring what is held up to date with a snapshot that has been applied, in the caller's transaction.

    `accounts` are the unlinked ones of the snapshot: the number of each by its position. What it names elsewhere, or as
    gone, is held no longer; where it is `full`, neither is what it does not name.
    """
    named = StagedInstance.objects.filter(snapshot=snapshot_id)
    held = StagedInstance.objects.filter(snapshot=held_id)
    _forget(held if full else held.filter(external_id__in=named.values("external_id")), held_id)
    _forget(named.filter(account__in=accounts, is_active=False), snapshot_id)
    for position, number in accounts.items():
        _move(snapshot_id, position, held_id, number)


def take_over(*, held_id: int, number: int, snapshot_id: int, position: int) -> None:
    """Have a snapshot name what is held of an account that it links, in the caller's transaction; what it names itself
    is as it says."""
    named = StagedInstance.objects.filter(snapshot=snapshot_id)
    _forget(StagedInstance.objects.filter(snapshot=held_id, external_id__in=named.values("external_id")), held_id)
    _move(held_id, number, snapshot_id, position)


def count_held(*, held_id: int | None) -> dict[int, int]:
    """How many instances are held, by the number of their account."""
    if held_id is None:
        return {}
    rows = StagedInstance.objects.filter(snapshot=held_id).order_by().values("account")
    return {row["account"]: row["total"] for row in rows.annotate(total=Count("pk"))}


def _forget(rows: QuerySet[StagedInstance], snapshot_id: int) -> None:
    StagedUse.objects.filter(snapshot=snapshot_id, external_id__in=rows.values("external_id")).delete()
    rows.delete()


def _move(source_id: int, account: int, target_id: int, number: int) -> None:
    """Rows of one account of the source become rows of another of the target, after those that it has."""
    last = StagedInstance.objects.filter(snapshot=target_id).aggregate(last=Max("line"))["last"]
    values = {"source": source_id, "account": account, "target": target_id, "number": number, "after": last or 0}
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, values)
        cursor.execute(_MOVE_USE, values)
