"""What would end a shortage (white paper, Out-of-compliance state): transfer, remove, wait, buy; with exact figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from licensing.models import Hold, License, Pool, PurchaseLine
from licensing.services.pools.outlooks import read_outlooks
from licensing.services.pools.timeline import Outlook, TermRow
from licensing.states import Billing, Compliance

MOST_SOURCES: Final = 10
MOST_ENDINGS: Final = 5


@dataclass(frozen=True, slots=True)
class Shortage:
    """From `at` on `quantity` are missing; `position` is that instant's in the outlook, 0 being now."""

    at: datetime
    quantity: int
    position: int


@dataclass(frozen=True, slots=True)
class Ending:
    """At `at` `quantity` of `license` come to their end; the pool's balance is `balance` from then on."""

    at: datetime
    license: License
    quantity: int
    balance: int


@dataclass(frozen=True, slots=True)
class Surplus:
    """A Virtual Account that could give licenses.

    `available` may leave it without making it short, today or later; `needed` of `license` end the whole shortage;
    `quantity` is what to transfer, the lesser of both; the first of these to end ends at `until` (None: never).
    `may_transfer`: the actor has the right on both sides.
    """

    virtual_account: VirtualAccount
    pool_id: int
    license: License
    available: int
    needed: int
    quantity: int
    until: datetime | None
    may_transfer: bool


@dataclass(frozen=True, slots=True)
class Purchase:
    """What to buy: `quantity` for the shortage as it begins, `most` for the worst that is known of, from `most_at`."""

    license: License
    quantity: int
    most: int
    most_at: datetime


@dataclass(frozen=True, slots=True)
class Cures:
    """`surplus` holds those that would end the shortage alone first, and of these those that last for ever."""

    surplus: Sequence[Surplus]
    purchase: Purchase


def find_shortage(outlook: Outlook, license: License) -> Shortage | None:
    """The first shortage that is known of, now or later."""
    for position, at in enumerate(outlook.instants):
        missing = _missing(outlook, license.pk, position)
        if missing:
            return Shortage(at, missing, position)
    return None


def list_endings(outlook: Outlook, license: License, licenses: Mapping[int, License]) -> list[Ending]:
    """The next ends of what is owned of the license and of those that stand in for it."""
    concerned = set(_ladder(outlook, license))
    endings: list[Ending] = []
    for position, at in enumerate(outlook.instants[1:], start=1):
        ended: dict[int, int] = {}
        for row in outlook.rows:
            if row.end == at and row.license_id in concerned:
                ended[row.license_id] = ended.get(row.license_id, 0) + row.quantity
        if ended:
            balance = outlook.at(position)[license.pk].balance
            endings += [Ending(at, licenses[id], quantity, balance) for id, quantity in sorted(ended.items())]
        if len(endings) >= MOST_ENDINGS:
            break
    return endings[:MOST_ENDINGS]


def find_cures(
    *, pool: Pool, outlook: Outlook, shortage: Shortage, licenses: Mapping[int, License], actor: Actor, now: datetime
) -> Cures:
    """`outlook` and `licenses` are of the pool's family in its Virtual Account. Five queries at most."""
    worst = max(range(len(outlook.instants)), key=lambda n: (_missing(outlook, pool.license_id, n), -n))
    purchase = Purchase(
        license=pool.license,
        quantity=shortage.quantity,
        most=_missing(outlook, pool.license_id, worst),
        most_at=outlook.instants[worst],
    )
    found = _find_surplus(pool, outlook, shortage, actor, now)
    ladder = _ladder(outlook, pool.license)
    found.sort(
        key=lambda s: (
            s.quantity < s.needed,
            ladder.index(s.license.pk),
            s.until is not None,
            -s.quantity,
            s.virtual_account.name,
        )
    )
    return Cures(surplus=found, purchase=purchase)


def _find_surplus(pool: Pool, outlook: Outlook, shortage: Shortage, actor: Actor, now: datetime) -> list[Surplus]:
    sources = list(
        Pool.objects.visible_to(actor)
        .filter(smart_account=pool.smart_account_id, license__in=_ladder(outlook, pool.license))
        .filter(virtual_account__deleted_at__isnull=True)
        .exclude(virtual_account=pool.virtual_account_id)
        .exclude(license__billing=Billing.USAGE)
        .with_own_figures(now)
        # What it lends was settled within seconds: near enough to look at the most promising first.
        .annotate(own=F("now_purchased") - F("now_in_use") - F("now_reserved") - F("lent"))
        .filter(own__gt=0)
        .select_related("license", "virtual_account")
        .order_by("-own", "pk")[:MOST_SOURCES]
    )
    outlooks = read_outlooks(unit_ids={source.unit_id for source in sources}, now=now) if sources else {}
    spare = _read_spare(sources, now) if sources else {}
    needed = {id: _needed(outlook, pool.license_id, id, shortage) for id in {source.license_id for source in sources}}
    may_receive = _may_manage(actor, pool.virtual_account)
    found = []
    for source in sources:
        wanted = needed[source.license_id]
        rows = spare.get((source.virtual_account_id, source.license_id), [])
        available, lasting = _available(outlooks[source.unit_id], source.license_id, rows, shortage.at)
        if wanted and lasting:
            found.append(
                Surplus(
                    virtual_account=source.virtual_account,
                    pool_id=source.pk,
                    license=source.license,
                    available=available,
                    needed=wanted,
                    quantity=min(wanted, lasting),
                    until=_first_end(rows, min(wanted, lasting)),
                    may_transfer=may_receive and _may_manage(actor, source.virtual_account),
                )
            )
    return found


def _ladder(outlook: Outlook, license: License) -> list[int]:
    """The license and those that can stand in for it, nearest first; what is billed by usage lends nothing."""
    ids, above = [license.pk], outlook.higher.get(license.pk)
    while above is not None:
        ids.append(above)
        above = outlook.higher.get(above)
    return [id for id in ids if id not in outlook.unlimited]


def _missing(outlook: Outlook, license_id: int, position: int) -> int:
    standing = outlook.at(position).get(license_id)
    short = standing is not None and standing.status is Compliance.OUT_OF_COMPLIANCE
    return -standing.balance if short and standing is not None else 0


def _needed(outlook: Outlook, license_id: int, given: int, shortage: Shortage) -> int:
    """How many of license `given` would end the shortage; 0 where none would.

    Of a higher license it can be more than what is missing: that license and others of the family may need it first.
    """
    standings = outlook.at(shortage.position).values()
    most = sum(-s.balance for s in standings if s.status is Compliance.OUT_OF_COMPLIANCE)
    least = shortage.quantity
    if not _ends_with(outlook, license_id, given, most, shortage.position):
        return 0
    while least < most:
        middle = (least + most) // 2
        if _ends_with(outlook, license_id, given, middle, shortage.position):
            most = middle
        else:
            least = middle + 1
    return least


def _ends_with(outlook: Outlook, license_id: int, given: int, quantity: int, position: int) -> bool:
    changed = outlook.with_changes([TermRow(given, quantity, outlook.instants[0], None)])
    return _missing(changed, license_id, position) == 0


def _read_spare(sources: Sequence[Pool], now: datetime) -> dict[tuple[int, int], list[TermRow]]:
    """What no reservation holds of the lines that run, by Virtual Account and license (`drawing.find_lines`)."""
    lines = PurchaseLine.objects.filter(
        virtual_account__in={source.virtual_account_id for source in sources},
        license__in={source.license_id for source in sources},
    )
    of_line = Hold.objects.counting().filter(line=OuterRef("pk")).order_by().values("line")
    held = Coalesce(Subquery(of_line.annotate(n=Sum("quantity")).values("n")), 0)
    spare: dict[tuple[int, int], list[TermRow]] = {}
    running = lines.running_at(now).with_anything_left().annotate(free=F("remaining") - held)
    for account_id, license_id, free, start, end in running.values_list(
        "virtual_account_id", "license_id", "free", "start", "end"
    ):
        spare.setdefault((account_id, license_id), []).append(TermRow(license_id, free, start, end))
    return spare


def _available(outlook: Outlook, license_id: int, spare: Sequence[TermRow], until: datetime) -> tuple[int, int]:
    """How many may leave of what is `spare`, and how many of these last beyond `until`.

    As `drawing.draw` decides, longest term first: at each later instant what left must have been free then, except for
    what has ended by then anyway.
    """
    available = min(outlook.at(0)[license_id].free, _last(spare, outlook.instants[0]))
    for position, at in enumerate(outlook.instants):
        lasting, free = _last(spare, at), outlook.at(position)[license_id].free
        if lasting > free:
            available = min(available, free)
    return available, min(available, _last(spare, until))


def _first_end(spare: Sequence[TermRow], quantity: int) -> datetime | None:
    """When the first of so many ends, drawn longest term first; None where none does."""
    end: datetime | None = None
    for row in sorted(spare, key=lambda row: (row.end is not None, -row.end.timestamp() if row.end else 0)):
        if quantity <= 0:
            break
        end = row.end if row.quantity > 0 else end
        quantity -= max(0, row.quantity)
    return end


def _last(rows: Iterable[TermRow], moment: datetime) -> int:
    """What of the rows still counts at the moment."""
    return sum(row.quantity for row in rows if row.counts_at(moment))


def _may_manage(actor: Actor, virtual_account: VirtualAccount) -> bool:
    return actor.may(
        Permission.MANAGE_ASSETS,
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
    )
