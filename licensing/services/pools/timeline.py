"""What the licenses of one family in one Virtual Account come to, now and at each later start or end of a line.

Today's use and reservations are taken to stay: what can be told of the future are the terms of what is owned.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from licensing.models import HierarchyVersion, Hold, Pool, PurchaseLine
from licensing.querysets.loans import Loan, add_up, read_higher, settle_loans
from licensing.states import Compliance


@dataclass(frozen=True, slots=True)
class Standing:
    """The figures of one license at one instant; `need` is in use + reserved (domain: Pools and compliance)."""

    purchased: int
    need: int
    borrowed: int
    lent: int
    unlimited: bool

    @property
    def balance(self) -> int:
        return self.purchased + self.borrowed - self.lent - self.need

    @property
    def free(self) -> int:
        return max(0, self.purchased - self.lent - self.need)

    @property
    def status(self) -> Compliance:
        return Compliance.of(self.balance, unlimited=self.unlimited)


NOTHING: Final = Standing(purchased=0, need=0, borrowed=0, lent=0, unlimited=False)


@dataclass(frozen=True, slots=True)
class TermRow:
    """A quantity and when it counts; negative where it is taken away."""

    license_id: int
    quantity: int
    start: datetime
    end: datetime | None

    def counts_at(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment < self.end)


@dataclass(frozen=True, slots=True)
class Outlook:
    """`instants` are now and each later start or end, ascending; from one to the next nothing changes by itself.

    `needs` are of now; `reliefs` are what is no longer needed from a moment on: a reservation ends with its line.
    """

    instants: list[datetime]
    needs: Mapping[int, int]
    unlimited: frozenset[int]
    higher: Mapping[int, int]
    rows: Sequence[TermRow]
    reliefs: Sequence[TermRow] = ()

    def at(self, position: int) -> dict[int, Standing]:
        """The standing of every license of the family by its id."""
        purchased = self._purchased(position)
        borrowed, lent = add_up(self._settle(purchased, position))
        return {
            id: Standing(
                purchased=purchased.get(id, 0),
                need=need,
                borrowed=borrowed.get(id, 0),
                lent=lent.get(id, 0),
                unlimited=id in self.unlimited,
            )
            for id, need in self._needs(position).items()
        }

    def loans_at(self, position: int) -> list[Loan]:
        return self._settle(self._purchased(position), position)

    def with_changes(self, changes: Sequence[TermRow], *, unlimited: Collection[int] = ()) -> "Outlook":
        """As it would be with lines added or, by a negative quantity, taken away; the instants grow with their terms.

        `unlimited` are those licenses of the changes that are billed by usage.
        """
        now = self.instants[0]
        moments = {moment for row in changes for moment in (row.start, row.end) if moment is not None and moment > now}
        needs = {**dict.fromkeys((row.license_id for row in changes), 0), **self.needs}
        return Outlook(
            instants=sorted({*self.instants, *moments}),
            needs=needs,
            unlimited=self.unlimited | frozenset(unlimited),
            higher=self.higher,
            rows=[*self.rows, *changes],
            reliefs=self.reliefs,
        )

    def first_shortage(self, license_id: int, *, after: int = 0) -> tuple[datetime, int] | None:
        """The first instant from position `after` on at which the license is out of compliance, and by how much."""
        for position in range(after, len(self.instants)):
            standing = self.at(position).get(license_id)
            if standing is not None and standing.status is Compliance.OUT_OF_COMPLIANCE:
                return self.instants[position], -standing.balance
        return None

    def _purchased(self, position: int) -> dict[int, int]:
        moment = self.instants[position]
        sums: dict[int, int] = {}
        for row in self.rows:
            if row.counts_at(moment):
                sums[row.license_id] = sums.get(row.license_id, 0) + row.quantity
        return sums

    def _needs(self, position: int) -> dict[int, int]:
        moment = self.instants[position]
        needs = dict(self.needs)
        for row in self.reliefs:
            if row.counts_at(moment):
                needs[row.license_id] -= row.quantity
        return needs

    def _settle(self, purchased: Mapping[int, int], position: int) -> list[Loan]:
        needs = self._needs(position)
        return settle_loans(
            {id: purchased.get(id, 0) - need for id, need in needs.items() if id not in self.unlimited},
            self.higher,
        )


def read_outlook(*, unit_id: int, now: datetime) -> Outlook:
    """The outlook of all pools of the unit, live. Four queries."""
    pools = list(Pool.objects.filter(unit=unit_id).with_own_figures(now).select_related("license"))
    version = HierarchyVersion.objects.filter(units=unit_id).first()
    rows = _read_rows(pools, now)
    moments = {moment for row in rows for moment in (row.start, row.end) if moment is not None and moment > now}
    return Outlook(
        instants=[now, *sorted(moments)],
        needs={pool.license_id: pool.now_in_use + pool.now_reserved for pool in pools},
        unlimited=frozenset(pool.license_id for pool in pools if pool.license.is_unlimited),
        higher=read_higher(version.higher if version else None),
        rows=rows,
        reliefs=read_reliefs(pools, now),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One license before and after; shortages are (from when, how many), None where none."""

    license_id: int
    before: Standing
    after: Standing
    shortage_before: tuple[datetime, int] | None
    shortage_after: tuple[datetime, int] | None


def compare_outlooks(before: Outlook, after: Outlook) -> list[Change]:
    """The licenses of a family whose figures or first shortage differ, by id."""
    old, new = before.at(0), after.at(0)
    changes = []
    for license_id in sorted(new):
        standing = old.get(license_id, NOTHING)
        shortages = before.first_shortage(license_id), after.first_shortage(license_id)
        if standing != new[license_id] or shortages[0] != shortages[1]:
            changes.append(Change(license_id, standing, new[license_id], *shortages))
    return changes


def _read_rows(pools: Sequence[Pool], now: datetime) -> list[TermRow]:
    """What is left of the lines that run or will run."""
    if not pools:
        return []
    lines = PurchaseLine.objects.filter(
        virtual_account=pools[0].virtual_account_id, license__in=[pool.license_id for pool in pools]
    )
    return [
        TermRow(line.license_id, line.remaining, line.start, line.end)
        for line in lines.not_ended_at(now).with_remaining()
        if line.remaining
    ]


def read_reliefs(pools: Collection[Pool], now: datetime) -> list[TermRow]:
    """What of the reservations of the pools ends with its line, and when."""
    holds = Hold.objects.counting().filter(
        virtual_account__in={pool.virtual_account_id for pool in pools},
        license__in={pool.license_id for pool in pools},
        line__end__gt=now,
    )
    rows = holds.values_list("license", "quantity", "line__end")
    return [TermRow(license_id, quantity, end, None) for license_id, quantity, end in rows if end is not None]
