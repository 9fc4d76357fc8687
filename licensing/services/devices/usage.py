"""The use an instance reports: compared with what is stored, written where it differs, counted in the pools."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Sum

from accounts.models import SmartAccount
from accounts.services.events import record_event
from accounts.states import ExportStatus
from cssm.common.actor import Actor
from cssm.common.compiled import CompiledRead
from cssm.common.statements import change
from licensing.models import License, ProductInstance, Usage
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.devices.notices import clear_refused, tell_refused
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.units import ensure_pools
from licensing.states import NoticeKind, RefusalReason, UsageKind, UsageSource

REASONS: Final = {UsageKind.INVALID_TAG: "no such tag", UsageKind.EXPORT_RESTRICTED: "export-restricted"}
_MOST_ROWS: Final = 500
_FEW: Final = 4
_ROW: Final = "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_UPSERT: Final = (
    "INSERT INTO licensing_usage (smart_account_id, virtual_account_id, instance_id, ha_group_id, tag, license_id,"
    " kind, quantity, since, source) VALUES {} ON CONFLICT (instance_id, tag, source) DO UPDATE SET"
    " license_id = excluded.license_id, kind = excluded.kind, quantity = excluded.quantity, since = excluded.since"
)
_DELETE: Final = "DELETE FROM licensing_usage WHERE id IN ({})"
_STORED: Final = CompiledRead(
    lambda: (
        Usage.objects.filter(instance_id=0)
        .filter(source=UsageSource.REPORT)
        .values_list("pk", "tag", "license_id", "kind", "quantity")
    )
)


@dataclass(frozen=True, slots=True)
class User:
    """Whose use it is: the instance, its group and where they are."""

    instance_id: int
    ha_group_id: int
    smart_account_id: int
    virtual_account_id: int
    piid: str
    udi: str
    is_counted: bool
    export_controlled_allowed: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """One tag's use, stored or asked for; `quantity` is 0 where nothing is used any more."""

    tag: str
    quantity: int
    kind: UsageKind
    license: License | None

    @property
    def counted(self) -> int:
        return self.quantity if self.kind is UsageKind.COUNTED else 0

    def is_as(self, row: "StoredUse") -> bool:
        license_id = None if self.license is None else self.license.pk
        return (row.quantity, row.kind, row.license_id) == (self.quantity, self.kind, license_id)


@dataclass(frozen=True, slots=True)
class StoredUse:
    pk: int
    tag: str
    license_id: int | None
    kind: str
    quantity: int

    @property
    def counted(self) -> int:
        return self.quantity if self.kind == UsageKind.COUNTED else 0


@dataclass(slots=True)
class UsePlan:
    """What a report changes. `by_license` is how much the counted use of each license grows, never 0."""

    reported: list[Reported]
    changed: list[tuple[Reported, StoredUse | None]] = field(default_factory=list)
    by_license: dict[int, int] = field(default_factory=dict)
    source: UsageSource = UsageSource.REPORT

    @property
    def is_plain(self) -> bool:
        """Whether it is written by a few statements, and nobody is to be told of a refusal."""
        restricted = UsageKind.EXPORT_RESTRICTED
        kinds = {kind for each, before in self.changed for kind in (each.kind, before.kind if before else each.kind)}
        return len(self.changed) <= _FEW and restricted not in kinds

    @property
    def counted(self) -> dict[int, int]:
        """The counted use of the report by license id."""
        counted: dict[int, int] = {}
        for each in self.reported:
            if each.license is not None and each.counted:
                counted[each.license.pk] = counted.get(each.license.pk, 0) + each.counted
        return counted

    @property
    def license_ids(self) -> set[int]:
        """Of the counted tags of the report."""
        return {each.license.pk for each in self.reported if each.license and each.kind is UsageKind.COUNTED}


def plan_use(
    *,
    user: User,
    counts: Mapping[str, int],
    was_counted: bool | None = None,
    source: UsageSource = UsageSource.REPORT,
    stored: Iterable[StoredUse] | None = None,
) -> UsePlan:
    """Compare `counts`, the whole current use by tag, with what is stored: one query, unless that is given. Nothing is
    written.

    `was_counted` says whether what is stored is in the pools, where that differs from `user.is_counted`.
    """
    was_counted = user.is_counted if was_counted is None else was_counted
    if stored is None:
        stored = [StoredUse(*row) for row in _STORED.fetch(user.instance_id, source.value)]
    known = {row.tag: row for row in stored}
    licenses = licenses_by_tag({*counts, *known})
    restricted = any(license.export_restricted for license in licenses.values())
    may_restricted = not restricted or _may_use_restricted(user)
    reported = [_classify(tag, count, licenses.get(tag), may_restricted) for tag, count in counts.items()]
    plan = UsePlan(reported, source=source)
    gone = [_classify(tag, 0, licenses.get(tag), may_restricted) for tag in known if tag not in counts]
    for each in [*plan.reported, *gone]:
        before = known.get(each.tag)
        if not (each.quantity == 0 if before is None else each.is_as(before)):
            plan.changed.append((each, before))
        _count(plan.by_license, before if was_counted else None, each if user.is_counted else None)
    plan.by_license = {license_id: growth for license_id, growth in plan.by_license.items() if growth}
    return plan


def write_use(
    *, actor: Actor, user: User, plan: UsePlan, pools: Mapping[int, int] | None = None, now: datetime
) -> None:
    """Store what a report changes, in the transaction that accepted it. Writes nothing where nothing changes.

    `pools` are ids of pools by license id, as far as the caller knows them.
    """
    if plan.by_license:
        _change_pools(user, plan, pools or {}, now)
    if not plan.changed:
        return
    _upsert(user, [each for each, _ in plan.changed if each.quantity], plan.source, now)
    ended = [before.pk for each, before in plan.changed if before is not None and not each.quantity]
    for start in range(0, len(ended), _MOST_ROWS):
        chunk = ended[start : start + _MOST_ROWS]
        change(_DELETE.format(", ".join(["%s"] * len(chunk))), chunk)
    for each, before in plan.changed:
        _record(actor, user, each, before, now)
    _tell_refused(user, plan, now)


def free_use(*, actor: Actor, user: User, forget: bool, now: datetime) -> None:
    """Take all that it counts by its own reports out of the pools, in the caller's transaction; see `endpoint_use`.

    `forget` deletes the records with it: the instance has ended. Else they stay, for an instance that is no longer
    counted. Call it after `revision` was raised or a message was accepted, so that no report comes in between.
    """
    plan = plan_use(user=user, counts={})
    if forget:
        write_use(actor=actor, user=user, plan=plan, now=now)
        return
    _change_pools(user, plan, {}, now)


def user_of(instance: ProductInstance) -> User:
    return User(
        instance_id=instance.pk,
        ha_group_id=instance.ha_group_id,
        smart_account_id=instance.smart_account_id,
        virtual_account_id=instance.virtual_account_id,
        piid=str(instance.piid),
        udi=instance.udi,
        is_counted=instance.is_counted,
        export_controlled_allowed=instance.export_controlled_allowed,
    )


def _may_use_restricted(user: User) -> bool:
    """Asked only where an export-restricted license is in play, to keep the account out of every request's read."""
    allowed = SmartAccount.objects.exclude(export_status=ExportStatus.RESTRICTED)
    return user.export_controlled_allowed and allowed.filter(pk=user.smart_account_id).exists()


def _classify(tag: str, count: int, license: License | None, may_restricted: bool) -> Reported:
    if license is None:
        return Reported(tag, count, UsageKind.INVALID_TAG, None)
    if license.export_restricted and not may_restricted:
        return Reported(tag, count, UsageKind.EXPORT_RESTRICTED, license)
    return Reported(tag, count, UsageKind.COUNTED, license)


def _count(growth: dict[int, int], before: StoredUse | None, after: Reported | None) -> None:
    if before is not None and before.license_id is not None and before.counted:
        growth[before.license_id] = growth.get(before.license_id, 0) - before.counted
    if after is not None and after.license is not None and after.counted:
        growth[after.license.pk] = growth.get(after.license.pk, 0) + after.counted


def _upsert(user: User, rows: Sequence[Reported], source: UsageSource, now: datetime) -> None:
    """One statement, by hand: the way through the models takes four times as long."""
    at = connection.ops.adapt_datetimefield_value(now)
    owner = (user.smart_account_id, user.virtual_account_id, user.instance_id, user.ha_group_id)
    for start in range(0, len(rows), _MOST_ROWS):
        values: list[Any] = []
        chunk = rows[start : start + _MOST_ROWS]
        for each in chunk:
            license_id = None if each.license is None else each.license.pk
            values += [*owner, each.tag, license_id, each.kind.value, each.quantity, at, source.value]
        change(_UPSERT.format(", ".join([_ROW] * len(chunk))), values)


def _change_pools(user: User, plan: UsePlan, pools: Mapping[int, int], now: datetime) -> None:
    known = dict(pools)
    if missing := plan.by_license.keys() - known.keys():
        made = ensure_pools(
            smart_account_id=user.smart_account_id,
            virtual_account_id=user.virtual_account_id,
            licenses=License.objects.filter(pk__in=missing),
        )
        known.update({license_id: pool.pk for license_id, pool in made.items()})
    changes = [
        PoolChange(known[license_id], user.instance_id, in_use=growth) for license_id, growth in plan.by_license.items()
    ]
    if changes:
        record_change(virtual_account_id=user.virtual_account_id, changes=changes, now=now)


def _tell_refused(user: User, plan: UsePlan, now: datetime) -> None:
    """People learn that a product wants an export-restricted license that it may not have, until it does no more."""
    kinds = (UsageKind.EXPORT_RESTRICTED.value,)
    touched = {each.license.pk for each, _ in plan.changed if each.license is not None and each.kind in kinds}
    touched |= {
        before.license_id for _, before in plan.changed if before and before.license_id and before.kind in kinds
    }
    if not touched:
        return
    refused = Usage.objects.filter(instance=user.instance_id, kind=UsageKind.EXPORT_RESTRICTED, license__in=touched)
    wanted = dict(refused.order_by().values_list("license").annotate(units=Sum("quantity")))
    place = {"smart_account_id": user.smart_account_id, "virtual_account_id": user.virtual_account_id}
    reason = RefusalReason.ACCOUNT if user.export_controlled_allowed else RefusalReason.TOKEN
    for license_id in sorted(touched & wanted.keys()):
        tell_refused(
            place=place,
            instance_id=user.instance_id,
            kind=NoticeKind.USE_REFUSED,
            license_id=license_id,
            quantity=wanted[license_id],
            reason=reason,
            at=now,
        )
    gone = touched - wanted.keys()
    clear_refused(instance_id=user.instance_id, kind=NoticeKind.USE_REFUSED, license_ids=gone, at=now)


def _record(actor: Actor, user: User, each: Reported, before: StoredUse | None, now: datetime) -> None:
    refused = each.quantity > 0 and each.kind is not UsageKind.COUNTED
    data: dict[str, str | int] = {
        "udi": user.udi,
        "tag": each.tag,
        "license": each.tag if each.license is None else each.license.display_name,
        "before": 0 if before is None else before.quantity,
        "after": each.quantity,
    }
    if refused:
        data["reason"] = REASONS[each.kind]
    record_event(
        actor=actor,
        name="license.usage_refused" if refused else "license.usage_changed",
        smart_account=user.smart_account_id,
        virtual_account=user.virtual_account_id,
        subject_type="product_instance",
        subject_id=user.piid,
        data=data,
        now=now,
    )
