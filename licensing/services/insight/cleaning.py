"""Taking duplicates off: what would come of it, and doing it, each instance by itself."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError
from cssm.common.permissions import Permission
from licensing.models import DuplicateFinding, License, Pool, ProductInstance, Usage
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.origins import DIRECT
from licensing.services.insight.duplicates import review
from licensing.services.pools.outlooks import read_outlooks
from licensing.services.pools.timeline import Standing
from licensing.states import Compliance


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """`refusal` says why it cannot be removed here; `uses` are (license, quantity) that would be freed."""

    instance: ProductInstance
    refusal: str
    uses: Sequence[tuple[License, int]]


@dataclass(frozen=True, slots=True)
class PoolEffect:
    """What the removal makes of one pool."""

    pool: Pool
    freed: int
    before: Standing
    after: Standing

    @property
    def recovers(self) -> bool:
        return self.before.status is not Compliance.AUTHORIZED and self.after.status is Compliance.AUTHORIZED


@dataclass(frozen=True, slots=True)
class Preview:
    rows: Sequence[PreviewRow]
    effects: Sequence[PoolEffect]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one instance."""

    instance: ProductInstance
    removed: bool
    message: str


def preview_removal(*, actor: Actor, findings: Iterable[DuplicateFinding], now: datetime) -> Preview:
    """What removing the instances of the findings would free, and which pools it would bring back to compliance."""
    instances = _instances_of(findings)
    uses: dict[int, list[Usage]] = defaultdict(list)
    counted = Usage.objects.visible_to(actor).counted().filter(instance__in=[row.pk for row in instances])
    for use in counted.select_related("license").order_by("tag"):
        uses[use.instance_id].append(use)
    rows = [
        PreviewRow(row, _refusal(actor, row), [(use.license, use.quantity) for use in uses[row.pk] if use.license])
        for row in instances
    ]
    freed: dict[tuple[int, int], int] = defaultdict(int)
    for row in rows:
        for license, quantity in row.uses if not row.refusal else ():
            freed[row.instance.virtual_account_id, license.pk] += quantity
    return Preview(rows, _find_effects(freed, now))


def remove_duplicates(*, actor: Actor, findings: Iterable[DuplicateFinding], now: datetime) -> list[Result]:
    """Remove the instances of the findings, each in a transaction of its own; one that is refused stops no other.

    Needs MANAGE_ASSETS on the Virtual Account of each. What an on-prem server reports is refused: the server owns it
    (domain: On-prem servers).
    """
    results = []
    for instance in _instances_of(findings):
        try:
            remove_duplicate(actor=actor, instance=instance, now=now)
            results.append(Result(instance, True, "Removed."))
        except DomainError as error:
            results.append(Result(instance, False, error.message))
    return results


def remove_duplicate(*, actor: Actor, instance: ProductInstance, now: datetime) -> None:
    """Remove one, and settle the findings about it.

    Raises `Forbidden`, `NotFound`, or `Conflict` (OWNED_BY_ON_PREM).
    """
    if instance.origin.name != DIRECT:
        raise Conflict(ON_PREM, code="OWNED_BY_ON_PREM")
    remove_instance(actor=actor, instance=instance, now=now)
    doubles = DuplicateFinding.objects.standing().filter(other=instance).values_list("instance", flat=True)
    review([instance.pk, *doubles], now=now)


ON_PREM = "An on-prem server reports it. Remove it there; it leaves here with the next synchronization."


def _instances_of(findings: Iterable[DuplicateFinding]) -> list[ProductInstance]:
    """Each once: an instance may be found for two reasons."""
    ids = {finding.instance_id for finding in findings}
    rows = ProductInstance.objects.filter(pk__in=ids).select_related("origin", "virtual_account", "contact")
    return list(rows.order_by("virtual_account__name", "udi", "pk"))


def _refusal(actor: Actor, instance: ProductInstance) -> str:
    place = {"smart_account_id": instance.smart_account_id, "virtual_account_id": instance.virtual_account_id}
    if instance.origin.name != DIRECT:
        return ON_PREM
    if not actor.may(Permission.MANAGE_ASSETS, **place):
        return "Your role does not allow to remove instances of this Virtual Account."
    return ""


def _find_effects(freed: dict[tuple[int, int], int], now: datetime) -> list[PoolEffect]:
    pools = Pool.objects.filter(
        virtual_account__in={virtual_account for virtual_account, _ in freed},
        license__in={license_id for _, license_id in freed},
    )
    chosen = [
        pool
        for pool in pools.select_related("license", "virtual_account")
        if (pool.virtual_account_id, pool.license_id) in freed
    ]
    # Licenses that stand in for each other recover together, so whole families are looked at.
    members = Pool.objects.filter(unit__in={pool.unit_id for pool in chosen}).select_related(
        "license", "virtual_account"
    )
    effects = []
    outlooks = read_outlooks(unit_ids={pool.unit_id for pool in chosen}, now=now)
    befores = {unit: outlook.at(0) for unit, outlook in outlooks.items()}
    afters: dict[int, dict[int, Standing]] = {}
    for pool in members.order_by("virtual_account__name", "license__display_name", "pk"):
        outlook = outlooks[pool.unit_id]
        if pool.unit_id not in afters:
            less = {id: need - freed.get((pool.virtual_account_id, id), 0) for id, need in outlook.needs.items()}
            afters[pool.unit_id] = replace(outlook, needs=less).at(0)
        before, after = befores[pool.unit_id][pool.license_id], afters[pool.unit_id][pool.license_id]
        if before != after:
            effects.append(PoolEffect(pool, freed.get((pool.virtual_account_id, pool.license_id), 0), before, after))
    return effects
