"""Drawing on what is owned: which lines a quantity is taken from, and that nobody misses it, today or later."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from cssm.common.errors import Conflict
from licensing.models import Pool, PurchaseLine
from licensing.services.pools.holds import held_of_lines
from licensing.services.pools.timeline import Outlook
from licensing.states import LicenseType, Precedence


@dataclass(frozen=True, slots=True)
class Draw:
    """So much is taken of a line, which has its `remaining`."""

    line: PurchaseLine
    quantity: int


def draw(
    *,
    pool: Pool,
    outlook: Outlook,
    quantity: int,
    license_type: LicenseType | None = None,
    precedence: Precedence = Precedence.LONGEST_TERM_FIRST,
    drawn: Sequence[Draw] = (),
    owned: Sequence[PurchaseLine] | None = None,
    now: datetime,
) -> list[Draw]:
    """The lines to take `quantity` of the pool's license from, longest term first unless told otherwise.

    Under the lock of the pool's unit, with the outlook read under it; `drawn` is what the same operation has taken of
    this pool already, and `owned` its lines where they have been read (`find_lines`). Never takes what a reservation
    holds of a line, nor more than is free, today or on any later day of the lines it draws on (domain: Pools and
    compliance). Raises `Conflict`: LINES_EXPIRED where only what has ended would do, NOT_ENOUGH_FREE, and
    NOT_ENOUGH_LATER with the date; `details` hold `asked` and `free`.
    """
    taken = {each.line.pk: 0 for each in drawn}
    for each in drawn:
        taken[each.line.pk] += each.quantity
    owned = find_lines([pool])[pool.license_id] if owned is None else owned
    of_type = [line for line in owned if license_type is None or line.license_type == license_type]
    lines = [line for line in of_type if line.spare > taken.get(line.pk, 0)]
    running = [line for line in lines if line.start <= now and (line.end is None or now < line.end)]
    draws: list[Draw] = []
    wanted = quantity
    for line in sorted(running, key=lambda line: rank_of(line, precedence)):
        if wanted:
            draws.append(Draw(line, min(wanted, line.spare - taken.get(line.pk, 0))))
            wanted -= draws[-1].quantity
    free = outlook.at(0)[pool.license_id].free - sum(taken.values())
    if wanted or quantity > free:
        most = sum(line.spare - taken.get(line.pk, 0) for line in running)
        ended = sum(line.remaining for line in lines if line.end is not None and line.end <= now)
        raise _refuse_today(pool, quantity, max(0, min(free, most)), ended if wanted else 0, license_type)
    _check_later(pool, outlook, [*drawn, *draws], quantity)
    return draws


def find_lines(pools: Collection[Pool]) -> dict[int, list[PurchaseLine]]:
    """The lines of the pools, all of one Virtual Account, by license id, oldest first, with `remaining` and
    `spare`. Two queries.
    """
    found: dict[int, list[PurchaseLine]] = {pool.license_id: [] for pool in pools}
    lines = PurchaseLine.objects.filter(
        virtual_account__in={pool.virtual_account_id for pool in pools}, license__in=list(found)
    )
    left = [line for line in lines.with_remaining().order_by("pk") if line.remaining > 0]
    held = held_of_lines([line.pk for line in left])
    for line in left:
        line.spare = max(0, line.remaining - held.get(line.pk, 0))
        found[line.license_id].append(line)
    return found


def rank_of(line: PurchaseLine, precedence: Precedence) -> tuple[bool, float, int]:
    """Ascending: what to draw on first. Of equal terms the oldest line comes first."""
    end = 0.0 if line.end is None else line.end.timestamp()
    if precedence is Precedence.LONGEST_TERM_FIRST:
        return (line.end is not None, -end, line.pk)
    return (line.end is None, end, line.pk)


def _refuse_today(pool: Pool, asked: int, free: int, ended: int, license_type: LicenseType | None) -> Conflict:
    name, of_type = pool.license.display_name, f" of type {license_type.label}" if license_type else ""
    details = {"asked": asked, "free": free}
    if ended and free == 0:
        return Conflict(
            f"{name}{of_type}: {ended} have expired, and what has expired cannot be used any more.",
            code="LINES_EXPIRED",
            details=details,
        )
    return Conflict(
        f"{name}{of_type}: {asked:,} asked for, but only {free:,} are free; the others are in use, reserved or lent.",
        code="NOT_ENOUGH_FREE",
        details=details,
    )


def _check_later(pool: Pool, outlook: Outlook, draws: Sequence[Draw], asked: int) -> None:
    """Up to the last end of what is drawn on, each instant must be able to spare what it would lack then."""
    for position, moment in enumerate(outlook.instants):
        missing = sum(each.quantity for each in draws if each.line.end is None or moment < each.line.end)
        free = outlook.at(position)[pool.license_id].free if missing else 0
        if missing > free:
            date = f"{moment:%Y-%m-%d}"
            raise Conflict(
                f"{pool.license.display_name}: from {date} on only {free:,} of these {asked:,} would be free, because"
                " other licenses end or are needed by then. Take fewer, or of a type that ends before.",
                code="NOT_ENOUGH_LATER",
                details={"asked": asked, "free": free, "date": date},
            )
