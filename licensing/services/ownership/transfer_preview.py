"""What a transfer would make of compliance on both sides, now and later. Changes nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from licensing.models import License, Pool
from licensing.services.ownership.transfers import Plan, TransferLine, check_lines, make_plan
from licensing.services.pools.outlooks import read_family_outlooks
from licensing.services.pools.timeline import Outlook, Standing, TermRow, compare_outlooks

Place = tuple[int, int]
"""The ids of a Virtual Account and of a family."""


@dataclass(frozen=True, slots=True)
class PoolOutlook:
    """One license in one Virtual Account before and after; shortages are (from when, how many), None where none."""

    virtual_account: VirtualAccount
    license: License
    before: Standing
    after: Standing
    shortage_before: tuple[datetime, int] | None
    shortage_after: tuple[datetime, int] | None


def preview_transfer(
    *, actor: Actor, source: VirtualAccount, lines: Sequence[TransferLine], now: datetime
) -> list[PoolOutlook]:
    """Every license whose figures would change, the source first. Raises what `transfer_licenses` would raise now.

    About a dozen queries, whatever the number of lines.
    """
    check_lines(actor=actor, source=source, lines=lines)
    licenses = {line.license.pk: line.license for line in lines}
    accounts = {source.pk: source, **{line.target.pk: line.target for line in lines}}
    pools = {
        pool.license_id: pool
        for pool in Pool.objects.filter(virtual_account=source, license__in=licenses).select_related("license")
    }
    outlooks = read_family_outlooks(
        virtual_account_ids=accounts, family_ids={license.family_id for license in licenses.values()}, now=now
    )
    of_unit = {pool.unit_id: outlooks[source.pk, licenses[id].family_id] for id, pool in pools.items()}
    plan = make_plan(lines, pools, of_unit, now)
    unlimited = [id for id, license in licenses.items() if license.is_unlimited]
    afters = {
        place: outlooks[place].with_changes(changes, unlimited=unlimited)
        for place, changes in _changes(plan, source).items()
    }
    return describe_changes(accounts.values(), outlooks, afters)


def describe_changes(
    accounts: Iterable[VirtualAccount], befores: Mapping[Place, Outlook], afters: Mapping[Place, Outlook]
) -> list[PoolOutlook]:
    """The licenses that come off otherwise, by Virtual Account in the order given, then by family."""
    changes = [
        (account, change)
        for account in accounts
        for place in sorted(place for place in afters if place[0] == account.pk)
        for change in compare_outlooks(befores[place], afters[place])
    ]
    licenses = License.objects.in_bulk({change.license_id for _, change in changes})
    return [
        PoolOutlook(
            account,
            licenses[change.license_id],
            change.before,
            change.after,
            change.shortage_before,
            change.shortage_after,
        )
        for account, change in changes
    ]


def _changes(plan: Plan, source: VirtualAccount) -> dict[Place, list[TermRow]]:
    """What leaves the source, by a negative quantity, and what comes to the targets."""
    changes: dict[Place, list[TermRow]] = defaultdict(list)
    for line, draws in plan:
        for account, sign in ((source, -1), (line.target, 1)):
            changes[account.pk, line.license.family_id] += [
                TermRow(each.line.license_id, sign * each.quantity, each.line.start, each.line.end) for each in draws
            ]
    return dict(changes)
