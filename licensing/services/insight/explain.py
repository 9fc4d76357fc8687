"""Why a pool has the figures it has: what makes up each of them, to the unit, and what would end a shortage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.models import Hold, License, Pool, ProductInstance, PurchaseLine, Reservation, Usage
from licensing.services.devices.origins import DIRECT
from licensing.services.insight.cures import Cures, Ending, Shortage, find_cures, find_shortage, list_endings
from licensing.services.insight.snapshot import one_snapshot
from licensing.services.pools.outlooks import read_outlooks
from licensing.services.pools.timeline import Outlook
from licensing.states import Compliance, ReservationKind

LISTED: Final = 50
LISTED_SILENT: Final = 20
SILENT_AFTER: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is not listed one by one, summed exactly."""

    count: int
    quantity: int


@dataclass(frozen=True, slots=True)
class LinePart:
    """What is left of a purchase line. `came_from` is where it was transferred from, if the actor may know of that."""

    line: PurchaseLine
    quantity: int
    came_from: VirtualAccount | None


@dataclass(frozen=True, slots=True)
class InstancePart:
    """An instance and its use. `heard_at` is its last contact, or its registration if it has not spoken since."""

    instance: ProductInstance
    quantity: int
    since: datetime
    heard_at: datetime
    is_silent: bool


@dataclass(frozen=True, slots=True)
class ReservationPart:
    """A reservation and what it holds. `request_code` is for who may manage the Virtual Account, else None."""

    reservation: Reservation
    quantity: int
    request_code: str | None


@dataclass(frozen=True, slots=True)
class LoanPart:
    """What is borrowed from, or lent to, `license`."""

    license: License
    quantity: int
    is_borrowed: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Instances without contact for more than 30 days: the largest, and all of them summed."""

    instances: Sequence[InstancePart]
    count: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """`pool` carries its live figures (`with_figures`); `endings` are in order of time.

    `unexplained` is by figure what the parts leave over: 0, unless something is wrong (`rebuild_pools --check`).
    """

    pool: Pool
    as_of: datetime
    lines: Sequence[LinePart]
    more_lines: Rest
    coming: Sequence[LinePart]
    instances: Sequence[InstancePart]
    more_instances: Rest
    reservations: Sequence[ReservationPart]
    more_reservations: Rest
    loans: Sequence[LoanPart]
    unexplained: Mapping[str, int]
    shortage: Shortage | None
    endings: Sequence[Ending]
    silence: Silence
    cures: Cures | None

    @property
    def is_short(self) -> bool:
        return self.pool.now_status == Compliance.OUT_OF_COMPLIANCE

    @property
    def reduction(self) -> Sequence[InstancePart]:
        """The fewest of the instances that use most which together use as many as are missing; none where those listed
        do not, or where nothing is missing."""
        missing = 0 if self.shortage is None else self.shortage.quantity
        chosen: list[InstancePart] = []
        for part in self.instances:
            if missing <= 0:
                break
            chosen.append(part)
            missing -= part.quantity
        return chosen if missing <= 0 else []

    @property
    def verdict(self) -> str:
        """One sentence: whether it is short, by how much, or until when it is not."""
        pool = self.pool
        if pool.license.is_unlimited:
            return "It is billed by usage: it may be used without limit and is never short."
        needed = pool.now_in_use + pool.now_reserved
        if self.is_short:
            borrowed = f" and {pool.now_borrowed} borrowed" if pool.now_borrowed else ""
            return f"It is short by {-pool.now_balance}: {needed} are needed, {pool.now_purchased} owned{borrowed}."
        fine = f"It covers its use, with {pool.now_balance} to spare"
        if self.shortage is not None:
            return f"{fine}, until {self.shortage.at:%Y-%m-%d}: from then on it is short by {self.shortage.quantity}."
        if self.endings:
            return f"{fine}. As long as use stays as it is, nothing that ends makes it short."
        return f"{fine}. Nothing of it comes to an end."


def explain_pool(*, pool: Pool, actor: Actor, now: datetime) -> Explanation:
    """What makes up the figures of the pool. At most 21 queries, whatever the number of lines and instances.

    Parts beyond the 50 largest are summed. Other Virtual Accounts are named only to who may see them. Raises
    `NotFound`, also where the actor may not see the pool.
    """
    with one_snapshot():
        return _explain(pool.pk, actor, now)


def _explain(pool_id: int, actor: Actor, now: datetime) -> Explanation:
    chosen = Pool.objects.visible_to(actor).filter(pk=pool_id)
    pool = chosen.with_figures(now).select_related("license", "virtual_account", "smart_account", "unit").first()
    if pool is None:
        raise NotFound("There is no such license in this Virtual Account.")
    # Figures may have been settled, and lines begun, after the caller read the clock.
    moment = max(now, pool.unit.terms_at or now)
    outlook = read_outlooks(unit_ids=[pool.unit_id], now=moment)[pool.unit_id]
    licenses = License.objects.in_bulk(outlook.needs)
    lines, more_lines, owned = _read_lines(pool, actor, moment)
    coming = _read_coming(pool, actor, moment)
    instances, more_instances, silence = _read_instances(pool, moment)
    reservations, more_reservations = _read_reservations(pool, actor, moment)
    loans = _read_loans(pool, outlook, licenses)
    shortage = find_shortage(outlook, pool.license)
    used = sum(part.quantity for part in instances) + more_instances.quantity
    return Explanation(
        pool=pool,
        as_of=moment,
        lines=lines,
        more_lines=more_lines,
        coming=coming,
        instances=instances,
        more_instances=more_instances,
        reservations=reservations,
        more_reservations=more_reservations,
        loans=loans,
        unexplained={
            "purchased": pool.now_purchased - owned,
            "in_use": pool.now_in_use - used,
            "reserved": pool.now_reserved - sum(part.quantity for part in reservations) - more_reservations.quantity,
            "borrowed": pool.now_borrowed - sum(loan.quantity for loan in loans if loan.is_borrowed),
            "lent": pool.now_lent - sum(loan.quantity for loan in loans if not loan.is_borrowed),
        },
        shortage=shortage,
        endings=list_endings(outlook, pool.license, licenses),
        silence=silence,
        cures=None
        if shortage is None
        else find_cures(pool=pool, outlook=outlook, shortage=shortage, licenses=licenses, actor=actor, now=moment),
    )


def _lines_of(pool: Pool) -> QuerySet[PurchaseLine]:
    lines = PurchaseLine.objects.filter(virtual_account=pool.virtual_account_id, license=pool.license_id)
    return lines.with_anything_left()


def _read_lines(pool: Pool, actor: Actor, moment: datetime) -> tuple[list[LinePart], Rest, int]:
    """The lines that count, those that end first before the others; the rest; and the sum of both."""
    running = _lines_of(pool).filter(start__lte=moment).filter(Q(end__isnull=True) | Q(end__gt=moment))
    totals = running.aggregate(count=Count("pk"), quantity=Sum("remaining", default=0))
    parts = _describe(running.order_by(F("end").asc(nulls_last=True), "start", "pk"), actor)
    shown = sum(part.quantity for part in parts)
    return parts, Rest(totals["count"] - len(parts), totals["quantity"] - shown), totals["quantity"]


def _read_coming(pool: Pool, actor: Actor, moment: datetime) -> list[LinePart]:
    """Lines that begin later."""
    return _describe(_lines_of(pool).filter(start__gt=moment).order_by("start", "pk"), actor)


def _describe(lines: QuerySet[PurchaseLine], actor: Actor) -> list[LinePart]:
    parts = []
    for line in lines.select_related("order", "parent__virtual_account")[:LISTED]:
        source = line.parent.virtual_account if line.parent else None
        if source is not None and source.pk == line.virtual_account_id:
            source = None
        known = source is not None and actor.may(
            Permission.VIEW, smart_account_id=source.smart_account_id, virtual_account_id=source.pk
        )
        parts.append(LinePart(line=line, quantity=line.remaining, came_from=source if known else None))
    return parts


def _read_instances(pool: Pool, moment: datetime) -> tuple[list[InstancePart], Rest, Silence]:
    """The instances that use most, the rest, and those that have fallen silent."""
    since = moment - SILENT_AFTER
    counted = Usage.objects.counted().filter(virtual_account=pool.virtual_account_id, license=pool.license_id)
    usage = counted.annotate(heard_at=Coalesce("instance__contact__last_contact_at", "instance__registered_at"))
    # What an on-prem server reports speaks to that server, not to us.
    silent = Q(heard_at__lt=since, instance__origin__name=DIRECT)
    totals: dict[str, Any] = usage.aggregate(
        count=Count("pk"),
        total=Sum("quantity", default=0),
        silent_count=Count("pk", filter=silent),
        silent_total=Sum("quantity", filter=silent, default=0),
    )
    largest = usage.select_related("instance__origin").order_by("-quantity", "instance_id")
    parts = [_describe_use(row, since) for row in largest[:LISTED]]
    rest = Rest(totals["count"] - len(parts), totals["total"] - sum(part.quantity for part in parts))
    quiet = [_describe_use(row, since) for row in largest.filter(silent)[:LISTED_SILENT]]
    return parts, rest, Silence(quiet, totals["silent_count"], totals["silent_total"])


def _describe_use(row: Any, silent_since: datetime) -> InstancePart:
    return InstancePart(
        instance=row.instance,
        quantity=row.quantity,
        since=row.since,
        heard_at=row.heard_at,
        is_silent=row.heard_at < silent_since and row.instance.origin.name == DIRECT,
    )


def _read_reservations(pool: Pool, actor: Actor, moment: datetime) -> tuple[list[ReservationPart], Rest]:
    """The largest reservations that hold something of it, and the rest."""
    held = Hold.objects.counting_at(moment).filter(virtual_account=pool.virtual_account_id, license=pool.license_id)
    sums = held.order_by().values("reservation").annotate(n=Sum("quantity")).order_by("-n", "reservation")
    rows = list(sums.values_list("reservation", "n"))
    chosen = Reservation.objects.select_related("instance").in_bulk([pk for pk, _ in rows[:LISTED]])
    may_manage = actor.may(
        Permission.MANAGE_ASSETS, smart_account_id=pool.smart_account_id, virtual_account_id=pool.virtual_account_id
    )
    parts = [
        ReservationPart(chosen[pk], quantity, _code_of(chosen[pk]) if may_manage else None)
        for pk, quantity in rows[:LISTED]
    ]
    return parts, Rest(len(rows) - len(parts), sum(quantity for _, quantity in rows[LISTED:]))


def _code_of(reservation: Reservation) -> str | None:
    return None if reservation.kind == ReservationKind.EXPORT else reservation.request_code


def _read_loans(pool: Pool, outlook: Outlook, licenses: Mapping[int, License]) -> list[LoanPart]:
    parts = []
    for loan in outlook.loans_at(0):
        if loan.borrower == pool.license_id:
            parts.append(LoanPart(licenses[loan.lender], loan.quantity, is_borrowed=True))
        elif loan.lender == pool.license_id:
            parts.append(LoanPart(licenses[loan.borrower], loan.quantity, is_borrowed=False))
    return parts
