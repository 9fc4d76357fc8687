"""Substitution: what the licenses of one family lend to each other in a Virtual Account (domain: Hierarchy).

Reads and the fold use this one calculation, so that every screen and every record has the same figures.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Loan:
    """So much of a higher license stands in for a lower one that runs short."""

    lender: int
    borrower: int
    quantity: int


def read_higher(stored: Mapping[str, int] | None) -> dict[int, int]:
    """The JSON of a hierarchy version as {license id: id of the next higher license}."""
    return {int(lower): higher for lower, higher in (stored or {}).items()}


def settle_loans(positions: Mapping[int, int], higher: Mapping[int, int]) -> list[Loan]:
    """The loans of one family in one Virtual Account.

    `positions` is purchased − in use − reserved by license id: what is positive can be lent, what is negative is to be
    covered. Leave out licenses billed by usage: they need nothing and lend nothing. Each license covers its own need
    first, then lends downwards, nearest first; where several are equally near, the one with the lower id comes first.
    As every license has one next higher at most, this also covers as much as can be covered.
    """
    pairs = sorted(
        (distance, lender, borrower)
        for borrower, position in positions.items()
        if position < 0
        for distance, lender in enumerate(_above(borrower, higher), start=1)
        if positions.get(lender, 0) > 0
    )
    left = dict(positions)
    loans = []
    for _distance, lender, borrower in pairs:
        quantity = min(left[lender], -left[borrower])
        if quantity > 0:
            left[lender] -= quantity
            left[borrower] += quantity
            loans.append(Loan(lender, borrower, quantity))
    return loans


def add_up(loans: Iterable[Loan]) -> tuple[dict[int, int], dict[int, int]]:
    """(borrowed, lent) by license id; absent is 0."""
    borrowed: dict[int, int] = {}
    lent: dict[int, int] = {}
    for loan in loans:
        borrowed[loan.borrower] = borrowed.get(loan.borrower, 0) + loan.quantity
        lent[loan.lender] = lent.get(loan.lender, 0) + loan.quantity
    return borrowed, lent


def settle_rows(rows: Iterable[Mapping[str, Any]]) -> dict[int, tuple[int, int]]:
    """(borrowed, lent) by pool id, of rows {unit, higher, pk, license, unlimited, position} of whole units."""
    by_unit: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_unit.setdefault(row["unit"], []).append(row)
    settled: dict[int, tuple[int, int]] = {}
    for members in by_unit.values():
        positions = {row["license"]: row["position"] for row in members if not row["unlimited"]}
        borrowed, lent = add_up(settle_loans(positions, read_higher(members[0]["higher"])))
        for row in members:
            settled[row["pk"]] = (borrowed.get(row["license"], 0), lent.get(row["license"], 0))
    return settled


def _above(license_id: int, higher: Mapping[int, int]) -> Iterable[int]:
    """The licenses that can stand in for it, nearest first."""
    above = higher.get(license_id)
    while above is not None:
        yield above
        above = higher.get(above)
