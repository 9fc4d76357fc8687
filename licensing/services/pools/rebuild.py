"""Checking figures against the records they follow from, and setting them right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import Any, Final

from django.db import models, transaction
from django.db.models import F, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from licensing.models import Allocation, Hold, License, LicenseChange, Pool, PoolTransition, PurchaseLine, Usage
from licensing.querysets.loans import settle_rows
from licensing.services.pools.deltas import take_deltas
from licensing.services.pools.figures import figures_of, latest, refresh_terms, write_pools
from licensing.services.pools.holds import end_holds
from licensing.services.pools.units import ensure_pools, lock_pools, lock_units
from licensing.states import Compliance, TransitionCause

BIG: Final = models.BigIntegerField()
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """`figure` of a pool is `stored`, but the records say `recorded`."""

    smart_account_id: int
    virtual_account_id: int
    license_id: int
    tag: str
    figure: str
    stored: Any
    recorded: Any

    def as_dict(self) -> dict[str, Any]:
        return {
            "virtual_account": self.virtual_account_id,
            "tag": self.tag,
            "figure": self.figure,
            "stored": self.stored,
            "recorded": self.recorded,
        }


def check_pools(*, now: datetime) -> list[Difference]:
    """Every difference between figures and records at `now`. Changes going on meanwhile make none.

    Pools, deltas, lines, use and transitions are read in one statement, so in one snapshot.
    """
    changing = set(LicenseChange.objects.values_list("license", flat=True))
    differences: list[Difference] = []
    rows = _compared(now).order_by("unit", "pk").iterator(chunk_size=2000)
    for _unit, members in groupby(rows, key=lambda pool: pool.unit_id):
        pools = list(members)
        loans = _settle(pools)
        for pool in pools:
            figures = _figures(pool, loans[pool.pk], settled=pool.license_id not in changing)
            differences.extend(
                _difference(pool, figure, stored, recorded)
                for figure, (stored, recorded) in figures.items()
                if stored != recorded
            )
    return [*differences, *_without_pool()]


def rebuild_pools(*, actor: Actor, now: datetime) -> list[Difference]:
    """Set right what `check_pools` finds, with one event per pool; returns what differed.

    A Virtual Account at a time and `BATCH` licenses of it in one transaction, under the locks of their units. Raises
    `Forbidden` unless the actor is an operator.
    """
    actor.require(Permission.OPERATE)
    found = check_pools(now=now)
    by_account: dict[tuple[int, int], dict[int, list[Difference]]] = {}
    for difference in found:
        account = (difference.smart_account_id, difference.virtual_account_id)
        by_account.setdefault(account, {}).setdefault(difference.license_id, []).append(difference)
    for (smart_account_id, virtual_account_id), by_license in sorted(by_account.items()):
        for license_ids in _batches(sorted(by_license)):
            licenses = License.objects.in_bulk(license_ids)
            with transaction.atomic():
                pools = ensure_pools(
                    smart_account_id=smart_account_id, virtual_account_id=virtual_account_id, licenses=licenses.values()
                )
                _rebuild([pool.pk for pool in pools.values()], now)
                for license_id in license_ids:
                    _record(actor, licenses[license_id], by_license[license_id], now)
    return found


def _batches(license_ids: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(license_ids)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _rebuild(pool_ids: Sequence[int], now: datetime) -> None:
    """Figures := records without what deltas are still pending, whatever the figures and the deltas said before."""
    units = lock_units(pool.unit_id for pool in lock_pools(pool_ids))
    pools = list(Pool.objects.filter(unit__in=units).select_related("license").order_by("unit", "pk"))
    before = {pool.pk: figures_of(pool) for pool in pools}
    take_deltas([pool.pk for pool in pools])
    for unit in units:
        end_holds([pool for pool in pools if pool.unit_id == unit.pk], latest(now, unit.terms_at))
    # Deltas that committed after the statement above belong to the fold; the same snapshot has their records.
    by_id = {pool.pk: pool for pool in pools}
    for row in _compared(now).filter(unit__in=units):
        pool = by_id[row.pk]
        pool.in_use = max(0, row.recorded_in_use - (row.now_in_use - row.in_use))
        pool.reserved = max(0, row.recorded_reserved - (row.now_reserved - row.reserved))
        pool.status = row.told or Compliance.AUTHORIZED.value
    causes = {pool.pk: TransitionCause.REBUILD for pool in pools}
    for unit in units:
        members = [pool for pool in pools if pool.unit_id == unit.pk]
        refresh_terms({unit: members}, now)
        write_pools(unit, members, before=before, causes=causes, now=now)


def _record(actor: Actor, license: License, differences: Sequence[Difference], now: datetime) -> None:
    record_event(
        actor=actor,
        name="pool.rebuilt",
        smart_account=differences[0].smart_account_id,
        virtual_account=differences[0].virtual_account_id,
        subject_type="license",
        subject_id=license.tag,
        data={
            "license": license.display_name,
            "changes": ", ".join(f"{d.figure} {d.stored} → {d.recorded}" for d in differences),
        },
        now=now,
    )


def _compared(now: datetime) -> QuerySet[Any]:
    """Pools with their live figures and, beside them, what the records say; all in one statement."""
    of_pool = {"virtual_account": OuterRef("virtual_account"), "license": OuterRef("license")}
    lines = PurchaseLine.objects.filter(**of_pool).order_by()
    used = Usage.objects.counted().filter(**of_pool).order_by().values("license").annotate(n=Sum("quantity"))
    held = Hold.objects.counting().filter(**of_pool).order_by()
    lasting = held.filter(Q(line__end__isnull=True) | Q(line__end__gt=OuterRef("moment"))).values("license")
    reserved = lasting.annotate(n=Sum("quantity"))
    # Figures may have been settled, and lines begun, between the caller's reading of the clock and this statement.
    moment = Greatest(Value(now), Coalesce(F("unit__terms_at"), Value(now)), output_field=models.DateTimeField())
    begun = lines.filter(start__lte=OuterRef("moment"))
    running = begun.filter(Q(end__isnull=True) | Q(end__gt=OuterRef("moment"))).values("license")
    taken = Allocation.objects.filter(**of_pool, line__start__lte=OuterRef("moment")).order_by()
    left = taken.filter(Q(line__end__isnull=True) | Q(line__end__gt=OuterRef("moment"))).values("license")
    starts = lines.filter(start__gt=OuterRef("moment")).values("license").annotate(n=Min("start"))
    ends = lines.filter(end__gt=OuterRef("moment")).values("license").annotate(n=Min("end"))
    return (
        Pool.objects.with_own_figures(now)
        .select_related("license")
        .annotate(moment=moment)
        .annotate(
            recorded_purchased=Coalesce(
                Subquery(running.annotate(n=Sum("quantity")).values("n")), Value(0), output_field=BIG
            )
            - Coalesce(Subquery(left.annotate(n=Sum("quantity")).values("n")), Value(0), output_field=BIG),
            recorded_in_use=Coalesce(Subquery(used.values("n")), Value(0), output_field=BIG),
            recorded_reserved=Coalesce(Subquery(reserved.values("n")), Value(0), output_field=BIG),
            next_start=Subquery(starts.values("n")),
            next_end=Subquery(ends.values("n")),
            unit_valid_until=F("unit__valid_until"),
            higher=F("unit__hierarchy__higher"),
            told=Subquery(PoolTransition.objects.filter(pool=OuterRef("pk")).order_by("-pk").values("new")[:1]),
        )
    )


def _settle(pools: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """(borrowed, lent) by pool id as they follow from the figures of the last fold; `pools` are a whole unit."""
    return settle_rows(
        {
            "unit": pool.unit_id,
            "higher": pool.higher,
            "pk": pool.pk,
            "license": pool.license_id,
            "unlimited": pool.license.is_unlimited,
            "position": pool.purchased - pool.in_use - pool.reserved,
        }
        for pool in pools
    )


def _figures(pool: Any, loans: tuple[int, int], *, settled: bool) -> dict[str, tuple[Any, Any]]:
    """Each figure as (stored, recorded)."""
    figures = {
        "purchased": (pool.now_purchased, pool.recorded_purchased),
        "in_use": (pool.now_in_use, pool.recorded_in_use),
        "reserved": (pool.now_reserved, pool.recorded_reserved),
    }
    if pool.valid_until is None or pool.valid_until > pool.moment:
        recorded = min((moment for moment in (pool.next_start, pool.next_end) if moment), default=None)
        figures["valid_until"] = (pool.valid_until, recorded)
    if pool.valid_until is not None and (pool.unit_valid_until is None or pool.unit_valid_until > pool.valid_until):
        figures["unit_valid_until"] = (pool.unit_valid_until, pool.valid_until)
    if settled:
        figures["borrowed"], figures["lent"] = (pool.borrowed, loans[0]), (pool.lent, loans[1])
        balance = pool.purchased + pool.borrowed - pool.lent - pool.in_use - pool.reserved
        figures["status"] = (pool.status, Compliance.of(balance, unlimited=pool.license.is_unlimited).value)
    figures["last_transition"] = (pool.told or Compliance.AUTHORIZED.value, pool.status)
    return figures


def _difference(pool: Pool, figure: str, stored: Any, recorded: Any) -> Difference:
    return Difference(
        smart_account_id=pool.smart_account_id,
        virtual_account_id=pool.virtual_account_id,
        license_id=pool.license_id,
        tag=pool.license.tag,
        figure=figure,
        stored=stored,
        recorded=recorded,
    )


def _without_pool() -> list[Difference]:
    """Licenses that have lines or use in a Virtual Account, but no pool there."""
    pool = Pool.objects.filter(virtual_account=OuterRef("virtual_account"), license=OuterRef("license"))
    columns = ("smart_account", "virtual_account", "license", "license__tag")
    rows = {
        row
        for records in (PurchaseLine.objects.all(), Usage.objects.counted(), Hold.objects.counting())
        for row in records.filter(~models.Exists(pool), license__isnull=False).order_by().values_list(*columns)
    }
    return [
        Difference(account, virtual_account, license, tag, figure="pool", stored="none", recorded="needed")
        for account, virtual_account, license, tag in sorted(rows)
    ]
