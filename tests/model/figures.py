"""Figures recomputed from raw records, in another way than the product's: unit by unit, sharing no code with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.model.books import Books, group

ALIVE = {"registered", "renewing"}


@dataclass(frozen=True)
class Figures:
    """Of one pool at one moment."""

    purchased: int
    in_use: int
    borrowed: int
    lent: int
    unlimited: bool

    @property
    def balance(self) -> int:
        return self.purchased + self.borrowed - self.lent - self.in_use

    @property
    def free(self) -> int:
        return max(0, self.purchased - self.lent - self.in_use)

    @property
    def status(self) -> str:
        return "out_of_compliance" if self.balance < 0 and not self.unlimited else "authorized"


def recompute(books: Books, moment: datetime, *, growth: Mapping[int, int] | None = None) -> dict[int, Figures]:
    """The figures of every pool, by id; `growth` is more use by pool id."""
    owned: Counter[tuple[int, int]] = Counter()
    for pk, line in books.lines.items():
        if books.runs(pk, moment):
            owned[line["virtual_account_id"], line["license_id"]] += books.remaining(pk)
    used = count_use(books)
    used.update(growth or {})
    figures: dict[int, Figures] = {}
    for unit_id, pools in group(books.pools.values(), "unit_id").items():
        own = {
            pool["license_id"]: owned[pool["virtual_account_id"], pool["license_id"]] - used[pool["id"]]
            for pool in pools
            if not is_metered(books, pool["license_id"])
        }
        borrowed, lent = lend(own, books.higher.get(books.units[unit_id]["hierarchy_id"] or 0, {}))
        for pool in pools:
            figures[pool["id"]] = Figures(
                purchased=owned[pool["virtual_account_id"], pool["license_id"]],
                in_use=used[pool["id"]],
                borrowed=borrowed[pool["license_id"]],
                lent=lent[pool["license_id"]],
                unlimited=is_metered(books, pool["license_id"]),
            )
    return figures


def count_use(books: Books) -> Counter[int]:
    """What products report that count, by pool."""
    pools = books.pool_ids()
    used: Counter[int] = Counter()
    for use in books.uses.values():
        instance = books.instances[use["instance_id"]]
        if use["kind"] == "counted" and instance["is_counted"] and instance["state"] in ALIVE:
            used[pools[use["virtual_account_id"], use["license_id"]]] += use["quantity"]
    return used


def lend(own: Mapping[int, int], above: Mapping[int, int]) -> tuple[Counter[int], Counter[int]]:
    """(borrowed, lent) by license, unit by unit: first everyone asks their next higher, then the one above that, …"""
    left = dict(own)
    borrowed: Counter[int] = Counter()
    lent: Counter[int] = Counter()
    asked = {license_id: above.get(license_id) for license_id in sorted(left)}
    while any(asked.values()):
        for lender in sorted(left):
            for borrower in [license_id for license_id, other in asked.items() if other == lender]:
                while left[lender] > 0 and left[borrower] < 0:
                    left[lender], left[borrower] = left[lender] - 1, left[borrower] + 1
                    borrowed[borrower] += 1
                    lent[lender] += 1
        asked = {license_id: above.get(other) if other else None for license_id, other in asked.items()}
    return borrowed, lent


def is_metered(books: Books, license_id: int) -> bool:
    return bool(books.licenses[license_id]["billing"] == "USAGE")
