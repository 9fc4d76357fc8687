"""Who lends to whom: the loans behind the figures borrowed and lent, with the licenses they concern."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from licensing.models import License, Pool
from licensing.querysets.loans import read_higher, settle_loans


@dataclass(frozen=True, slots=True)
class UnitLoan:
    """So much of `lender` stands in for `borrower` in one Virtual Account, which the pools of unit `unit_id` share."""

    unit_id: int
    lender: License
    borrower: License
    quantity: int


class LoanBook:
    """The loans of some units, by who borrows and who lends."""

    def __init__(self, loans: Iterable[UnitLoan]) -> None:
        self._borrowed: dict[tuple[int, int], list[UnitLoan]] = {}
        self._lent: dict[tuple[int, int], list[UnitLoan]] = {}
        for loan in loans:
            self._borrowed.setdefault((loan.unit_id, loan.borrower.pk), []).append(loan)
            self._lent.setdefault((loan.unit_id, loan.lender.pk), []).append(loan)

    def borrowed_by(self, pool: Pool) -> list[UnitLoan]:
        """What the pool's license borrows, nearest lender first."""
        return self._borrowed.get((pool.unit_id, pool.license_id), [])

    def lent_by(self, pool: Pool) -> list[UnitLoan]:
        """What the pool's license lends, nearest borrower first."""
        return self._lent.get((pool.unit_id, pool.license_id), [])


def loans_of(pools: Iterable[Pool], now: datetime) -> LoanBook:
    """The loans in which the pools take part; the pools carry what `with_figures` annotates.

    Two queries whatever the number of pools, and none where no pool borrows or lends.
    """
    units = {pool.unit_id for pool in pools if pool.now_borrowed or pool.now_lent}
    if not units:
        return LoanBook(())
    by_unit: dict[int, dict[int, int]] = {}
    highers: dict[int, dict[int, int]] = {}
    for row in Pool.objects.filter(unit__in=units).positions(now):
        highers[row["unit"]] = read_higher(row["higher"])
        if not row["unlimited"]:
            by_unit.setdefault(row["unit"], {})[row["license"]] = row["position"]
    settled = [(unit, loan) for unit, own in by_unit.items() for loan in settle_loans(own, highers[unit])]
    licenses = License.objects.in_bulk({id for _, loan in settled for id in (loan.lender, loan.borrower)})
    return LoanBook(
        UnitLoan(unit, licenses[loan.lender], licenses[loan.borrower], loan.quantity) for unit, loan in settled
    )
