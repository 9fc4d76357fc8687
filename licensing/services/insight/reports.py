"""The rows of the reports: what the actor may see of one Smart Account, not yet filtered or sorted by the reader."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import (
    BigIntegerField,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.actor import Actor
from cssm.common.rows import LazyRows
from licensing.models import Allocation, Hold, Pool, ProductInstance, PurchaseLine, Reservation, Usage
from licensing.querysets.pools import PoolQuerySet
from licensing.services.insight.history import Point, read_histories
from licensing.services.insight.periods import Period
from licensing.services.reservations.waiting import with_waiting
from licensing.states import LicenseType

BIG = BigIntegerField()
# Of the Usage report at once: enough that queries do not count, little enough that memory does not.
CHUNK_ROWS = 5000


def visible_accounts(*, actor: Actor, smart_account: SmartAccount) -> QuerySet[VirtualAccount]:
    """The Virtual Accounts that a report can be about, by name."""
    return VirtualAccount.objects.live().visible_to(actor).filter(smart_account=smart_account).order_by("name")


def read_pools(*, actor: Actor, smart_account: SmartAccount) -> PoolQuerySet:
    """The pools of all Virtual Accounts that have not been deleted."""
    pools = Pool.objects.visible_to(actor).filter(smart_account=smart_account)
    return pools.filter(virtual_account__deleted_at__isnull=True).select_related("license", "virtual_account")


def read_licenses(*, actor: Actor, smart_account: SmartAccount, now: datetime) -> PoolQuerySet:
    """Pools with any figure that is not 0, with the figures of this moment and `pending`: what becomes valid later."""
    pools: Any = read_pools(actor=actor, smart_account=smart_account).with_figures(now)
    of_pool = {"virtual_account": OuterRef("virtual_account"), "license": OuterRef("license")}
    came = PurchaseLine.objects.filter(**of_pool, start__gt=now).order_by().values("license")
    left = Allocation.objects.filter(**of_pool, line__start__gt=now).order_by().values("license")
    shown: PoolQuerySet = pools.annotate(pending=_total(came) - _total(left)).exclude(
        now_purchased=0, now_in_use=0, now_reserved=0, now_borrowed=0, now_lent=0, pending=0
    )
    return shown


def read_subscriptions(*, actor: Actor, smart_account: SmartAccount) -> QuerySet[PurchaseLine]:
    """Lines of a subscription of which something is left, with `remaining`."""
    lines: Any = PurchaseLine.objects.visible_to(actor).filter(smart_account=smart_account).with_remaining()
    shown: QuerySet[PurchaseLine] = (
        lines.filter(~Q(subscription_id="") | Q(license_type=LicenseType.SUBSCRIPTION))
        .filter(virtual_account__deleted_at__isnull=True)
        .filter(remaining__gt=0)
        .select_related("license", "virtual_account")
    )
    return shown


_OF_INSTANCES: Final = (
    "virtual_account",
    "piid",
    "udi",
    "udi_pid",
    "udi_serial_number",
    "hostname",
    "software_tag",
    "state",
    "registered_at",
)


def read_instances(*, actor: Actor, smart_account: SmartAccount, now: datetime) -> QuerySet[ProductInstance]:
    """Product instances in any state, with `last_contact_at`, in `counted_usage` what counts of their use, and in each
    of `counted_reservations` under `held` what is reserved for them.
    """
    # A license made anew for each use would cost more than the use.
    counted = Usage.objects.visible_to(actor).counted().annotate(license_name=F("license__display_name"))
    counted = counted.only("instance", "quantity").order_by("tag")
    held = Hold.objects.counting_at(now).annotate(license_name=F("license__display_name"))
    held = held.only("reservation", "quantity").order_by("license_name", "pk")
    reserved = Reservation.objects.visible_to(actor).filter(Exists(held.filter(reservation=OuterRef("pk"))))
    reserved = reserved.only("instance").prefetch_related(Prefetch("holds", queryset=held, to_attr="held"))
    return (
        ProductInstance.objects.visible_to(actor)
        .filter(smart_account=smart_account)
        .only(*_OF_INSTANCES)
        .prefetch_related("virtual_account")
        # The contact's row holds the whole last answer: only its time is wanted.
        .annotate(last_contact_at=F("contact__last_contact_at"))
        .prefetch_related(Prefetch("usage", queryset=counted, to_attr="counted_usage"))
        .prefetch_related(Prefetch("reservations", queryset=reserved, to_attr="counted_reservations"))
    )


def read_reserved(*, actor: Actor, smart_account: SmartAccount, now: datetime) -> QuerySet[Hold]:
    """What is reserved now, one row for each reservation, license and purchase line; `line` is None where billing is by
    usage. The sums of a license are its pools' `reserved`.
    """
    holds = Hold.objects.visible_to(actor).filter(smart_account=smart_account).counting_at(now)
    reservations = with_waiting(Reservation.objects.visible_to(actor)).select_related("instance", "virtual_account")
    return (
        holds.filter(virtual_account__deleted_at__isnull=True)
        .select_related("license", "line", "virtual_account")
        .prefetch_related(Prefetch("reservation", queryset=reservations))
    )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One bucket of one pool."""

    virtual_account: str
    license: str
    entitlement_tag: str
    point: Point


class UsageRows(LazyRows[UsageRow]):
    """Every bucket of every pool, by Virtual Account, license and time."""

    def __init__(self, *, actor: Actor, pools: PoolQuerySet, period: Period) -> None:
        self.actor, self.period = actor, period
        self._ordered = pools.order_by("virtual_account__name", "license__display_name", "pk")
        self._keys: list[int] | None = None
        self.chunk_rows = period.count * max(1, CHUNK_ROWS // period.count)

    @property
    def keys(self) -> list[int]:
        if self._keys is None:
            self._keys = list(self._ordered.values_list("pk", flat=True))
        return self._keys

    def __len__(self) -> int:
        return len(self.keys) * self.period.count

    def compute(self, start: int, stop: int) -> list[UsageRow]:
        if start >= stop:
            return []
        first, last = start // self.period.count, (stop - 1) // self.period.count
        keys = self.keys[first : last + 1]
        pools = Pool.objects.visible_to(self.actor).select_related("license", "virtual_account").in_bulk(keys)
        wanted = [pools[key] for key in keys]
        histories = read_histories(actor=self.actor, pools=wanted, period=self.period)
        rows = list(self._rows(wanted, histories))
        return rows[start - first * self.period.count : stop - first * self.period.count]

    def _rows(self, pools: list[Pool], histories: dict[int, list[Point]]) -> Iterator[UsageRow]:
        for pool in pools:
            for point in histories[pool.pk]:
                yield UsageRow(pool.virtual_account.name, pool.license.display_name, pool.license.tag, point)


def _total(rows: Any) -> Coalesce:
    return Coalesce(Subquery(rows.annotate(n=Sum("quantity")).values("n")), Value(0), output_field=BIG)
