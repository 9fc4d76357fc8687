"""What another hierarchy would make of compliance in every Virtual Account with licenses of it. Changes nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from licensing.models import License, Pool
from licensing.querysets.loans import add_up, read_higher, settle_loans
from licensing.services.catalog.hierarchy_editing import check_higher
from licensing.states import Compliance

MOST_POOLS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Effect:
    """One pool whose balance would change."""

    pool: Pool
    balance_before: int
    balance_after: int

    @property
    def before(self) -> Compliance:
        return Compliance.of(self.balance_before, unlimited=self.pool.license.is_unlimited)

    @property
    def after(self) -> Compliance:
        return Compliance.of(self.balance_after, unlimited=self.pool.license.is_unlimited)

    @property
    def changes_compliance(self) -> bool:
        return self.before is not self.after


@dataclass(frozen=True, slots=True)
class HierarchyPreview:
    """`effects` are the pools whose balance would change, those whose compliance does first.

    `pools` is how many pools the change concerns; where they are more than 20,000 nothing is worked out.
    """

    pools: int
    effects: Sequence[Effect]
    is_complete: bool = True


def preview_higher(*, actor: Actor, tag: str, higher: str, now: datetime) -> HierarchyPreview:
    """What `set_higher` would do to the pools as they are now. Raises what it would raise. A handful of queries."""
    actor.require(Permission.OPERATE)
    licenses = {license.tag: license for license in License.objects.select_related("higher")}
    above = check_higher(licenses, tag=tag, higher=higher)
    families = {licenses[each].family_id for each in (tag, higher) if each}
    concerned = Pool.objects.filter(license__family__in=families, virtual_account__deleted_at__isnull=True)
    count = concerned.count()
    if count > MOST_POOLS:
        return HierarchyPreview(count, (), is_complete=False)
    wanted = {licenses[low].pk: licenses[high].pk for low, high in above.items() if high}
    accounts = dict(concerned.values_list("pk", "virtual_account"))
    balances = _balances(concerned.positions(now), accounts, wanted)
    changed = [pk for pk, (before, after) in balances.items() if before != after]
    pools = Pool.objects.filter(pk__in=changed).select_related("license", "virtual_account__smart_account")
    effects = [Effect(pool, *balances[pool.pk]) for pool in pools]
    return HierarchyPreview(count, sorted(effects, key=_rank))


def _balances(
    positions: Sequence[Mapping[str, Any]], accounts: Mapping[int, int], wanted: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """The balance of each pool before and after, by pool id; `accounts` are their Virtual Accounts.

    Pools of a Virtual Account lend to each other within the unit they are in now; with the new hierarchy within all of
    the families concerned, for those that it joins share a unit then, and of those that it parts none lends to another.
    """
    by_unit: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    by_account: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in positions:
        by_unit[row["unit"]].append(row)
        by_account[accounts[row["pk"]]].append(row)
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    for members in by_unit.values():
        before |= _settle(members, read_higher(members[0]["higher"]))
    for members in by_account.values():
        after |= _settle(members, wanted)
    return {pk: (before[pk], after[pk]) for pk in before}


def _settle(members: Sequence[Mapping[str, Any]], higher: Mapping[int, int]) -> dict[int, int]:
    own = {row["license"]: row["position"] for row in members if not row["unlimited"]}
    borrowed, lent = add_up(settle_loans(own, higher))
    return {
        row["pk"]: row["position"] + borrowed.get(row["license"], 0) - lent.get(row["license"], 0) for row in members
    }


def _rank(effect: Effect) -> tuple[bool, str, str, str]:
    account = effect.pool.virtual_account
    return (
        not effect.changes_compliance,
        account.smart_account.domain,
        account.name,
        effect.pool.license.display_name,
    )
