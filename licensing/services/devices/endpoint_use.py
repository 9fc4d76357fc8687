"""Endpoints that several controllers see: one of them counts each (white paper, Endpoint reports).

What a controller counts is use of its own kind beside what it reports by AUTHORIZATION. Whoever counts first goes on
counting until it reports the endpoint no more, stands by or ends; then another that sees it takes over at once.

All of this happens under the lock of the Smart Account, which who comes or goes as a counted controller takes too. It
is taken after instances, and before anything of pools.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from django.db.models import Q, QuerySet

from accounts.models import SmartAccount
from cssm.common.actor import Actor
from licensing.models import Endpoint, ProductInstance
from licensing.services.devices.usage import User, plan_use, user_of, write_use
from licensing.states import COUNTED_STATES, UsageSource

T = TypeVar("T", str, int)
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True, order=True)
class Sighting:
    identifier: str
    type: str
    tag: str


def find_counted_elsewhere(*, user: User, seen: Collection[Sighting]) -> set[Sighting]:
    """Which of these another controller counts."""
    found: set[Sighting] = set()
    others = Endpoint.objects.filter(_counting(), smart_account=user.smart_account_id, is_counted=True)
    for identifiers in _chunks({each.identifier for each in seen}):
        rows = others.filter(identifier__in=identifiers).exclude(instance=user.instance_id)
        found.update(Sighting(*row) for row in rows.values_list("identifier", "type", "tag"))
    return found & set(seen)


def lock_endpoints(smart_account_id: int) -> None:
    SmartAccount.objects.select_for_update(no_key=True).only("pk").get(pk=smart_account_id)


def replace_sightings(*, actor: Actor, user: User, seen: Collection[Sighting], now: datetime) -> bool:
    """Make these what the controller sees, and count what nobody else does; under the lock. Whether it has changed."""
    known = {Sighting(each.identifier, each.type, each.tag): each for each in _seen_by(user)}
    gone = [each for sighting, each in known.items() if sighting not in seen]
    fresh = [sighting for sighting in seen if sighting not in known]
    for chunk in _chunks([each.pk for each in gone]):
        Endpoint.objects.filter(pk__in=chunk).delete()
    place = {"smart_account_id": user.smart_account_id, "virtual_account_id": user.virtual_account_id}
    rows = [
        Endpoint(
            **place,
            instance_id=user.instance_id,
            identifier=each.identifier,
            type=each.type,
            tag=each.tag,
            since=now,
        )
        for each in fresh
    ]
    Endpoint.objects.bulk_create(rows, batch_size=_CHUNK)
    counted = _count(actor, user, was_counted=user.is_counted, now=now)
    _pass_on(actor, user, [each for each in gone if each.is_counted], now)
    return bool(gone or fresh or counted)


def count_endpoints(*, actor: Actor, user: User, now: datetime) -> None:
    """The controller counts from now on: it has stood by, or its UDI counted elsewhere."""
    if _seen_by(user).exists():
        lock_endpoints(user.smart_account_id)
        _count(actor, replace(user, is_counted=True), was_counted=False, now=now)


def release_endpoints(*, actor: Actor, user: User, forget: bool, now: datetime) -> None:
    """The controller, which counted if `user` says so, counts no more; others that see its endpoints take over.

    `forget` what it saw with it: it has ended.
    """
    if not _seen_by(user).exists():
        return
    lock_endpoints(user.smart_account_id)
    counted = list(_seen_by(user).filter(is_counted=True))
    plan = plan_use(user=user, counts={}, source=UsageSource.ENDPOINTS)
    write_use(actor=actor, user=user, plan=plan, now=now)
    if forget:
        _seen_by(user).delete()
    else:
        _seen_by(user).update(is_counted=False)
    _pass_on(actor, user, counted, now)


def _count(actor: Actor, user: User, *, was_counted: bool, now: datetime) -> bool:
    """Count each of its endpoints that nobody else counts. Whether that changes anything."""
    rows = list(_seen_by(user))
    taken = find_counted_elsewhere(user=user, seen=[_sighting(row) for row in rows])
    counted = {row.pk for row in rows if user.is_counted and _sighting(row) not in taken}
    changed = [row for row in rows if row.is_counted != (row.pk in counted)]
    _forget_stale(user, rows)
    for value in (False, True):
        for chunk in _chunks([row.pk for row in changed if (row.pk in counted) is value]):
            Endpoint.objects.filter(pk__in=chunk).update(is_counted=value)
    counts = Counter(row.tag for row in rows if row.pk in counted)
    plan = plan_use(user=user, counts=counts, was_counted=was_counted, source=UsageSource.ENDPOINTS)
    write_use(actor=actor, user=user, plan=plan, now=now)
    return bool(changed or plan.changed)


def _forget_stale(user: User, rows: Sequence[Endpoint]) -> None:
    """Who lost its count by a file of an on-prem server still holds what it counted; that is in no pool any more."""
    stale = Endpoint.objects.filter(~_counting(), smart_account=user.smart_account_id, is_counted=True)
    for identifiers in _chunks({row.identifier for row in rows}):
        stale.filter(identifier__in=identifiers).exclude(instance=user.instance_id).update(is_counted=False)


def _pass_on(actor: Actor, user: User, freed: Sequence[Endpoint], now: datetime) -> None:
    """Others that see what was freed count it.

    One that is being changed just now is left out, for its lock is taken in the other order: its next report counts.
    """
    heirs: set[int] = set()
    sightings = {_sighting(row) for row in freed}
    for identifiers in _chunks({each.identifier for each in sightings}):
        rows = Endpoint.objects.filter(_counting(), smart_account=user.smart_account_id, identifier__in=identifiers)
        others = rows.exclude(instance=user.instance_id).values_list("instance", "identifier", "type", "tag")
        heirs.update(heir for heir, *sighting in others if Sighting(*sighting) in sightings)
    locked = ProductInstance.objects.select_for_update(no_key=True, skip_locked=True).filter(pk__in=heirs)
    for heir in locked.order_by("pk"):
        _count(actor, user_of(heir), was_counted=True, now=now)


def _counting() -> Q:
    return Q(instance__is_counted=True, instance__state__in=COUNTED_STATES)


def _seen_by(user: User) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(instance=user.instance_id)


def _sighting(row: Endpoint) -> Sighting:
    return Sighting(row.identifier, row.type, row.tag)


def _chunks(values: Iterable[T]) -> Iterable[list[T]]:
    listed = sorted(values)
    return [listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK)]
