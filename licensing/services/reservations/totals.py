"""What many requests come to together, beside what is free."""

from collections.abc import Sequence
from dataclasses import dataclass

from licensing.models import License
from licensing.services.reservations.bulk import Row
from licensing.services.reservations.offers import Offer


@dataclass(frozen=True, slots=True)
class Total:
    """`most` is what one reservation could have now; None where there is no limit."""

    license: License
    asked: int
    most: int | None

    @property
    def is_short(self) -> bool:
        return self.most is not None and self.asked > self.most


def add_up_wanted(*, rows: Sequence[Row], offers: Sequence[Offer]) -> list[Total]:
    """By license, in the order in which they are first asked for."""
    free = {offer.license.pk: offer for offer in offers}
    asked: dict[License, int] = {}
    for row in rows:
        for each in row.licenses if row.error is None else ():
            asked[each.license] = asked.get(each.license, 0) + each.quantity
    return [Total(license, quantity, _most(free.get(license.pk))) for license, quantity in asked.items()]


def _most(offer: Offer | None) -> int | None:
    if offer is None:
        return 0
    if offer.most is None:
        return None
    return max(offer.most, sum(offer.most_of.values()))
