"""Transferring product instances between Virtual Accounts of one Smart Account, with all that hangs on them.

Instances of one HA group share their use, so they move together. A message that is under way is either taken before,
and its use moves, or judged anew afterwards, and its use counts in the new Virtual Account: never in both or neither.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError, Invalid, NotFound
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from licensing.models import DuplicateFinding, Endpoint, HaGroup, License, ProductInstance, UdiClaim, Usage
from licensing.services.devices.endings import lock_instance, require_manage
from licensing.services.devices.notices import move_notices
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.units import ensure_pools
from licensing.states import InstanceState


@dataclass(frozen=True, slots=True)
class Move:
    """What became of one instance; `companions` are the UDIs that moved with it as members of its HA group."""

    instance: ProductInstance
    companions: tuple[str, ...] = ()
    error: DomainError | None = None

    @property
    def message(self) -> str:
        if self.error is not None:
            return self.error.message
        together = f" together with {', '.join(self.companions)}, of its HA group" if self.companions else ""
        return f"The product instance was transferred{together}."


Follower = Callable[[Actor, Sequence[int], VirtualAccount, VirtualAccount, datetime], None]
_followers: list[Follower] = []


def register_follower(follower: Follower) -> None:
    """Add what moves along with instances: `follower(actor, instance ids, source, target, now)`, in the transaction.

    For areas above this one. It may lock pools, and nothing else that others lock.
    """
    if follower not in _followers:
        _followers.append(follower)


class _Regrouped(Exception):
    """The HA group got or lost a member between reading and locking."""


def transfer_instances(
    *, actor: Actor, instances: Sequence[ProductInstance], target: VirtualAccount, now: datetime
) -> list[Move]:
    """Each instance, as the caller knows it, to the target, by itself: one that is refused leaves the others be.

    Raises `NotFound` or `Forbidden` where the actor may not manage the target. A result's `error` is `Invalid`
    (SAME_VIRTUAL_ACCOUNT), `Conflict` (OWNED_BY_SERVER, INSTANCE_ENDED, INSTANCE_MOVED), or `NotFound`, also for an
    instance of another Smart Account, or `Forbidden`.
    """
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=target.smart_account_id, virtual_account_id=target.pk)
    moved: dict[int, tuple[ProductInstance, ...]] = {}
    results = []
    for instance in instances:
        try:
            if instance.pk not in moved:
                group = _transfer(actor, instance, target, now)
                moved.update({member.pk: group for member in group})
        except DomainError as error:
            results.append(Move(instance, error=error))
        else:
            others = tuple(member.udi for member in moved[instance.pk] if member.pk != instance.pk)
            results.append(Move(instance, companions=others))
    return results


def _transfer(
    actor: Actor, instance: ProductInstance, target: VirtualAccount, now: datetime
) -> tuple[ProductInstance, ...]:
    """Returns the members of the group, which have moved."""
    if instance.smart_account_id != target.smart_account_id:
        raise NotFound("There is no such Virtual Account in the Smart Account of this product instance.")
    require_manage(actor, instance)
    if not instance.is_direct:
        raise Conflict(
            f"{instance.udi} is in the Virtual Account in which its on-prem server has it. Move it there, and"
            " synchronize.",
            code="OWNED_BY_SERVER",
        )
    if instance.virtual_account_id == target.pk:
        raise Invalid(
            f"{instance.udi} is in {target.name} already. Choose another Virtual Account.",
            code="SAME_VIRTUAL_ACCOUNT",
            where="targetVirtualAccount",
        )
    while True:
        try:
            return retry_transient(lambda: _move_group(actor, instance, target, now))
        except _Regrouped:
            continue


def _move_group(
    actor: Actor, instance: ProductInstance, target: VirtualAccount, now: datetime
) -> tuple[ProductInstance, ...]:
    with transaction.atomic():
        known = _members_of(instance)
        members = _lock(known)
        current = next((member for member in members if member.pk == instance.pk), None)
        if current is None or not InstanceState(current.state).is_active:
            raise Conflict(f"{instance.udi} has ended and cannot be transferred.", code="INSTANCE_ENDED")
        if current.virtual_account_id != instance.virtual_account_id:
            raise Conflict(f"{instance.udi} was transferred meanwhile. Look again.", code="INSTANCE_MOVED")
        # Deleting a Virtual Account locks its row, so it either sees these instances or is seen.
        if not VirtualAccount.objects.select_for_update(no_key=True).live().filter(pk=target.pk).exists():
            raise NotFound("This Virtual Account was deleted.", where="targetVirtualAccount")
        source = VirtualAccount.objects.get(pk=current.virtual_account_id)
        uses = _move_use(members, source, target, now)
        ids = [member.pk for member in members]
        ProductInstance.objects.filter(pk__in=ids).update(virtual_account=target)
        Usage.objects.filter(instance__in=ids).update(virtual_account=target)
        Endpoint.objects.filter(instance__in=ids).update(virtual_account=target)
        HaGroup.objects.filter(pk=current.ha_group_id).update(virtual_account=target)
        # An alert about it belongs to where it is now: the dispatcher is to look at it again.
        DuplicateFinding.objects.standing().filter(instance__in=ids).update(virtual_account=target, dispatched_at=None)
        for follow in _followers:
            follow(actor, ids, source, target, now)
        move_notices(instance_ids=ids, virtual_account_id=target.pk, now=now)
        for member in members:
            for place in (source, target):
                _record(actor, member, source, target, uses.get(member.pk, []), place, now)
    return members


def _members_of(instance: ProductInstance) -> tuple[ProductInstance, ...]:
    """All that move with it, as they are now, itself among them; ended ones stay where they ended."""
    group = ProductInstance.objects.values("ha_group").filter(pk=instance.pk)
    return tuple(ProductInstance.objects.active().filter(ha_group__in=group).order_by("pk"))


def _lock(known: Sequence[ProductInstance]) -> tuple[ProductInstance, ...]:
    """Lock claims, instances and group in the order in which all do, and return the members under the locks.

    Raises `_Regrouped` where others are in the group by then: the caller's rollback gives the locks back.
    """
    claims = UdiClaim.objects.select_for_update().filter(udi__in=[member.udi for member in known])
    list(claims.order_by("udi").values_list("pk"))
    members = tuple(lock_instance(member.pk) for member in known)
    groups = {member.ha_group_id for member in members}
    list(HaGroup.objects.select_for_update(no_key=True).filter(pk__in=groups).values_list("pk"))
    if members and {member.pk for member in _members_of(members[0])} != {member.pk for member in known}:
        raise _Regrouped
    return members


def _move_use(
    members: Sequence[ProductInstance], source: VirtualAccount, target: VirtualAccount, now: datetime
) -> dict[int, list[Usage]]:
    """Take the counted use of the members out of the source's pools and put it into the target's; by instance."""
    counted = Usage.objects.counted().filter(instance__in=[member.pk for member in members])
    rows = list(counted.select_related("license").order_by("instance", "tag"))
    licenses = {row.license.pk: row.license for row in rows if row.license is not None}
    for place, sign in ((source, -1), (target, 1)):
        _change_pools(place, licenses.values(), rows, sign, now)
    uses: dict[int, list[Usage]] = {}
    for row in rows:
        uses.setdefault(row.instance_id, []).append(row)
    return uses


def _change_pools(
    place: VirtualAccount, licenses: Iterable[License], rows: Sequence[Usage], sign: int, now: datetime
) -> None:
    pools = ensure_pools(smart_account_id=place.smart_account_id, virtual_account_id=place.pk, licenses=licenses)
    changes = [
        PoolChange(pools[row.license_id].pk, row.instance_id, in_use=sign * row.quantity)
        for row in rows
        if row.license_id is not None
    ]
    record_change(virtual_account_id=place.pk, changes=changes, now=now)


def _record(
    actor: Actor,
    instance: ProductInstance,
    source: VirtualAccount,
    target: VirtualAccount,
    uses: Sequence[Usage],
    place: VirtualAccount,
    now: datetime,
) -> None:
    described = ", ".join(f"{use.quantity} of {use.license or use.tag}" for use in uses)
    record_event(
        actor=actor,
        name="instance.transferred",
        smart_account=place.smart_account_id,
        virtual_account=place,
        subject_type="product_instance",
        subject_id=str(instance.piid),
        data={
            "udi": instance.udi,
            "piid": str(instance.piid),
            "source": source.name,
            "target": target.name,
            "use": described or "nothing in use",
        },
        now=now,
    )
