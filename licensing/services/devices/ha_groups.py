"""Use belongs to a high-availability group: whichever member works reports it, and it counts once (domain: HA).

A member's own message, and nothing else, moves it into a group or out of it. One member of a group is counted: the one
that reported another use than is counted last. Who stands by may report the same, which changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Sum

from accounts.services.events import record_event
from cssm.common.actor import Actor
from licensing.models import HaGroup, InstanceContact, ProductInstance, Usage
from licensing.services.devices.answers import Contended
from licensing.services.devices.endings import (
    lock_instance,
    pass_count_on,
    regain_claim,
    regain_count,
    register_succession,
    release_use,
)
from licensing.services.devices.ha_claims import Claimant, find_registrations, judge_claim, peers_of
from licensing.states import COUNTED_STATES, UsageSource


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says of the peers of its sender."""

    pk: int
    udi: str
    smart_account_id: int
    virtual_account_id: int
    udi_pid: str
    software_tag: str
    ha_peers: list[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a claimant belongs. `group_id` None: in a new group of its own. `allowed` are who may be in it beside it.

    `active` is the other member whose use is counted for the group, with that use by license id.
    """

    group_id: int | None
    allowed: frozenset[int]
    active: ProductInstance | None = None
    use: dict[int, int] = field(default_factory=dict)


def find_standing(claim: Claimant, *, group_id: int | None) -> Standing:
    """Where the claimant, now in group `group_id` (none yet: a registration), belongs by its claim. Reads only."""
    peers = peers_of(claim)
    verdict = judge_claim(claim, find_registrations(peers) if peers else {})
    allowed = frozenset(member.pk for member in verdict.members)
    # All members come to the same group, whoever speaks first: that of the oldest.
    oldest = min(verdict.members, key=lambda member: member.pk, default=None)
    wanted = group_id if oldest is None or claim.pk < oldest.pk else oldest.ha_group_id
    if wanted is not None:
        others = _members_of(wanted, claim.pk)
        if {member.pk for member in others} <= allowed:
            return _describe(wanted, allowed, others)
        if wanted != group_id and group_id is not None:
            alone = not _members_of(group_id, claim.pk)
            return Standing(group_id if alone else None, frozenset())
    return Standing(None, frozenset())


def takes_over(standing: Standing, use: dict[int, int]) -> bool:
    """Whether who reports this use, by license id, is the active one of its group from now on."""
    if standing.active is None:
        return True
    return bool(use) and use != standing.use


def lock_active_before(standing: Standing, *, instance_id: int) -> None:
    """Members are locked in the order of their ids; call this before the claimant's own message is accepted."""
    if standing.active is not None and standing.active.pk < instance_id:
        _lock(standing.active)


def enter_group(
    *, actor: Actor, claim: Claimant, piid: str, group_id: int, standing: Standing, is_counted: bool, now: datetime
) -> int:
    """Write where the claimant belongs, once its message was accepted; returns the id of its group.

    Raises `Contended` where the group is not any more what it was judged by.
    """
    target = standing.group_id
    if target is None:
        place = {"smart_account_id": claim.smart_account_id, "virtual_account_id": claim.virtual_account_id}
        target = HaGroup.objects.create(**place, created_at=now).pk
    else:
        check_group(standing, instance_id=claim.pk)
    before = None if target == group_id else ProductInstance.objects.get(pk=claim.pk)
    ProductInstance.objects.filter(pk=claim.pk).update(ha_group=target, is_counted=is_counted)
    if before is not None:
        Usage.objects.filter(instance=claim.pk).update(ha_group=target)
        _record(actor, "instance.ha_joined" if standing.allowed else "instance.ha_left", claim, piid, now)
        pass_count_on(actor=actor, instance=before, now=now)
    return target


def check_group(standing: Standing, *, instance_id: int) -> None:
    """Lock the group that is to be joined. Raises `Contended` where it has other members by now."""
    group_id = standing.group_id or 0
    list(HaGroup.objects.select_for_update(no_key=True).filter(pk=group_id).values_list("pk"))
    members = _members_of(group_id, instance_id)
    active = [member.pk for member in members if _counts(member)]
    known = [] if standing.active is None else [standing.active.pk]
    if not {member.pk for member in members} <= standing.allowed or active != known:
        raise Contended


def relieve(*, actor: Actor, standing: Standing, instance_id: int, now: datetime) -> None:
    """The member that was active stands by: what it reported is kept and counts no more."""
    if standing.active is None:
        return
    active = standing.active
    if active.pk > instance_id:
        _lock(active)
    release_use(actor=actor, instance=active, forget=False, now=now)
    ProductInstance.objects.filter(pk=active.pk).update(is_counted=False)
    _record(actor, "instance.ha_relieved", active, str(active.piid), now)


def register_ha_succession() -> None:
    """Called once, when the app is ready."""
    register_succession(promote_standby)


def promote_standby(actor: Actor, gone: ProductInstance, now: datetime) -> None:
    """The member that reported for its group has ended, left it or lost its UDI: of those that stand by, who was heard
    of last counts at once. `gone` is as it was.

    What it reported while it stood by counts: the group is not without use until somebody's next report.
    """
    if not gone.is_counted:
        return
    members = _members_of(gone.ha_group_id, gone.pk)
    if any(_counts(member) for member in members):
        return
    for heir in _heirs(members):
        # It may have ended or left the group since it was read, or have taken over by a message of its own.
        current = lock_instance(heir)
        if current.ha_group_id != gone.ha_group_id or not _may_count(current):
            continue
        if not current.is_counted:
            regain_count(actor=actor, instance_id=heir, event="instance.ha_promoted", now=now)
        return


def take_claim_back(*, actor: Actor, instance_id: int, now: datetime) -> None:
    """The UDI is this instance's again: it counts, or stands by where another member counts for its group by now."""
    group = ProductInstance.objects.values_list("ha_group", flat=True).get(pk=instance_id)
    if any(_counts(member) for member in _members_of(group, instance_id)):
        regain_claim(actor=actor, instance_id=instance_id, now=now)
    else:
        regain_count(actor=actor, instance_id=instance_id, now=now)


def describe_group(instance: ProductInstance) -> str:
    """With whom it stands, for people; empty where it is by itself."""
    others = [member.udi for member in _members_of(instance.ha_group_id, instance.pk)]
    if not others:
        return ""
    role = "Reports the use of the group with" if instance.is_counted else "Stands by in the group with"
    return f"{role} {', '.join(others)}"


def _lock(known: ProductInstance) -> None:
    current = lock_instance(known.pk)
    if current.ha_group_id != known.ha_group_id or not _counts(current):
        raise Contended


def _members_of(group_id: int, instance_id: int) -> list[ProductInstance]:
    rows = ProductInstance.objects.active().filter(ha_group=group_id).exclude(pk=instance_id)
    return list(rows.order_by("pk"))


def _heirs(members: Collection[ProductInstance]) -> list[int]:
    """Ids of those that stand by, who was heard of last first."""
    standing_by = [member.pk for member in members if _may_count(member)]
    contacts = InstanceContact.objects.filter(instance__in=standing_by)
    return list(contacts.order_by("-last_contact_at", "instance").values_list("instance", flat=True))


def _counts(member: ProductInstance) -> bool:
    return member.is_counted and member.state in COUNTED_STATES


def _may_count(member: ProductInstance) -> bool:
    return member.state in COUNTED_STATES and not member.claim_lost


def _describe(group_id: int, allowed: frozenset[int], others: Collection[ProductInstance]) -> Standing:
    active = next((member for member in others if _counts(member)), None)
    if active is None:
        return Standing(group_id, allowed)
    own = Usage.objects.counted().filter(instance=active, source=UsageSource.REPORT)
    counted = own.order_by().values_list("license")
    return Standing(group_id, allowed, active, dict(counted.annotate(units=Sum("quantity"))))


def _record(actor: Actor, name: str, row: Claimant, piid: str, now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=row.smart_account_id,
        virtual_account=row.virtual_account_id,
        subject_type="product_instance",
        subject_id=piid,
        data={"udi": row.udi, "peers": ", ".join(peers_of(row))},
        now=now,
    )
