"""What a transfer of product instances would take along, and what it would make of compliance. Changes nothing."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from licensing.models import Hold, License, ProductInstance, Reservation, Usage
from licensing.services.ownership.transfer_preview import Place, PoolOutlook, describe_changes
from licensing.services.pools.outlooks import read_family_outlooks
from licensing.services.pools.timeline import Outlook, TermRow
from licensing.states import InstanceState


@dataclass(frozen=True, slots=True)
class MovingInstance:
    """`uses` are (license, quantity) that count, of the instance itself; with a `refusal` it stays where it is.

    `held` is what is reserved for it, which moves with the lines that it is held of. `chosen` is false for a member of
    the HA group of one that was: it moves along.
    """

    instance: ProductInstance
    chosen: bool
    uses: Sequence[tuple[License, int]]
    held: Sequence[Hold] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class MovePreview:
    rows: Sequence[MovingInstance]
    outlook: Sequence[PoolOutlook]

    @property
    def moving(self) -> list[MovingInstance]:
        return [row for row in self.rows if not row.refusal]

    @property
    def staying(self) -> list[MovingInstance]:
        return [row for row in self.rows if row.refusal]


SHARED: Final = (
    "It shares its licenses with the failed product that it replaces. Enter the return code of that one first."
)


def preview_moves(
    *, actor: Actor, instances: Sequence[ProductInstance], target: VirtualAccount, now: datetime
) -> MovePreview:
    """What `transfer_instances` would do now: each instance, those that move with it, and every license concerned.

    Raises `NotFound` or `Forbidden` where the actor may not manage the target. About a dozen queries.
    """
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=target.smart_account_id, virtual_account_id=target.pk)
    refusals = {instance.pk: _refusal(actor, instance, target) for instance in instances}
    chosen = {instance.pk for instance in instances}
    groups = {instance.ha_group_id for instance in instances if not refusals[instance.pk]}
    members = ProductInstance.objects.active().filter(ha_group__in=groups).select_related("virtual_account")
    found = [member for member in members.order_by("udi", "pk") if member.pk not in chosen]
    shared = _find_shared([*instances, *found])
    for instance in instances:
        if instance.ha_group_id in shared:
            refusals[instance.pk] = refusals[instance.pk] or SHARED
    everything = [*instances, *(member for member in found if member.ha_group_id not in shared)]
    uses: dict[int, list[tuple[License, int]]] = defaultdict(list)
    counted = Usage.objects.counted().filter(instance__in=[instance.pk for instance in everything])
    for use in counted.select_related("license").order_by("tag"):
        if use.license is not None:
            uses[use.instance_id].append((use.license, use.quantity))
    held: dict[int, list[Hold]] = defaultdict(list)
    holds = Hold.objects.counting_at(now).filter(reservation__instance__in=[each.pk for each in everything])
    for hold in holds.select_related("license", "line", "reservation").order_by("pk"):
        held[hold.reservation.instance_id].append(hold)
    rows = [
        MovingInstance(each, each.pk in chosen, uses[each.pk], held[each.pk], refusals.get(each.pk, ""))
        for each in everything
    ]
    return MovePreview(rows, _preview_pools([row for row in rows if not row.refusal], target, now))


def _find_shared(instances: Collection[ProductInstance]) -> set[int]:
    """The HA groups in which a reservation shares its licenses with that of a failed product (`move_reservations`)."""
    shared = Reservation.objects.active().filter(instance__in=[each.pk for each in instances], is_shared=True)
    return set(shared.values_list("instance__ha_group", flat=True))


def _refusal(actor: Actor, instance: ProductInstance, target: VirtualAccount) -> str:
    place = {"smart_account_id": instance.smart_account_id, "virtual_account_id": instance.virtual_account_id}
    if not actor.may(Permission.MANAGE_ASSETS, **place):
        return "Your role does not allow to transfer instances of this Virtual Account."
    if not instance.is_direct:
        return "Its on-prem server says in which Virtual Account it is. Move it there, and synchronize."
    if instance.virtual_account_id == target.pk:
        return f"It is in {target.name} already."
    if not InstanceState(instance.state).is_active:
        return "Its registration has ended."
    return ""


def _preview_pools(rows: Collection[MovingInstance], target: VirtualAccount, now: datetime) -> list[PoolOutlook]:
    accounts = {row.instance.virtual_account_id: row.instance.virtual_account for row in rows}
    accounts[target.pk] = target
    licenses = {license.pk: license for row in rows for license, _ in row.uses}
    licenses |= {hold.license.pk: hold.license for row in rows for hold in row.held}
    families = {license.family_id for license in licenses.values()}
    befores = read_family_outlooks(virtual_account_ids=accounts, family_ids=families, now=now)
    needs: dict[Place, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    lines: dict[Place, list[TermRow]] = defaultdict(list)
    for row in rows:
        moving = [*row.uses, *((hold.license, hold.quantity) for hold in row.held)]
        for place, sign in ((row.instance.virtual_account_id, -1), (target.pk, 1)):
            for license, quantity in moving:
                needs[place, license.family_id][license.pk] += sign * quantity
            for hold in row.held:
                if hold.line is not None:
                    term = TermRow(hold.license_id, sign * hold.quantity, hold.line.start, hold.line.end)
                    lines[place, hold.license.family_id].append(term)
    unlimited = frozenset(id for id, license in licenses.items() if license.is_unlimited)
    afters = {
        place: _with_needs(befores[place], changes, unlimited).with_changes(lines[place])
        for place, changes in needs.items()
    }
    return describe_changes(accounts.values(), befores, afters)


def _with_needs(outlook: Outlook, changes: Mapping[int, int], unlimited: frozenset[int]) -> Outlook:
    needs = {**outlook.needs, **{id: outlook.needs.get(id, 0) + change for id, change in changes.items()}}
    return replace(outlook, needs=needs, unlimited=outlook.unlimited | (unlimited & changes.keys()))
