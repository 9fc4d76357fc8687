"""Every single change of one pool's use and reservations, with what it was before and after."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, NullIf

from cssm.common.actor import Actor
from cssm.common.rows import LazyRows
from licensing.models import Pool, ProductInstance, UsageChange
from licensing.services.insight.periods import Period

CHUNK_ROWS = 2000


@dataclass(frozen=True, slots=True)
class UseStep:
    """`instance` is None where the change came from no product instance, or from one that the actor may not see."""

    at: datetime
    instance: str | None
    in_use_before: int
    in_use_after: int
    reserved_before: int
    reserved_after: int


class UseSteps(LazyRows[UseStep]):
    """The steps of a pool within a period, newest first, without what the fold is yet to take."""

    def __init__(self, *, actor: Actor, pool: Pool, period: Period) -> None:
        self.pool = pool
        name = Coalesce(NullIf(F("hostname"), Value("")), F("udi"), output_field=CharField())
        instances = ProductInstance.objects.visible_to(actor).filter(pk=OuterRef("instance_id"))
        self.changes = (
            UsageChange.objects.visible_to(actor)
            .filter(pool=pool, at__gte=period.start, at__lte=period.until)
            .annotate(instance=Subquery(instances.annotate(name=name).values("name")))
            .order_by("-at", "-pk")
        )
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            self._length = self.changes.count()
        return self._length

    def compute(self, start: int, stop: int) -> list[UseStep]:
        return list(self._steps(iter(self.changes[start:stop])))

    def __iter__(self) -> Iterator[UseStep]:
        return self._steps(self.changes.iterator(chunk_size=CHUNK_ROWS))

    def _steps(self, changes: Iterator[Any]) -> Iterator[UseStep]:
        in_use = reserved = None
        for change in changes:
            if in_use is None or reserved is None:
                in_use, reserved = self._figures_after(change)
            yield UseStep(
                change.at, change.instance, in_use - change.in_use, in_use, reserved - change.reserved, reserved
            )
            in_use, reserved = in_use - change.in_use, reserved - change.reserved

    def _figures_after(self, change: UsageChange) -> tuple[int, int]:
        """The pool's figures now without the changes since; in one statement, so that no fold comes in between."""
        since = Q(at__gt=change.at) | Q(at=change.at, pk__gt=change.pk)
        later = UsageChange.objects.filter(since, pool=OuterRef("pk")).order_by().values("pool")
        row = (
            Pool.objects.filter(pk=self.pool.pk)
            .annotate(
                used=F("in_use") - Coalesce(Subquery(later.annotate(n=Sum("in_use")).values("n")), Value(0)),
                kept=F("reserved") - Coalesce(Subquery(later.annotate(n=Sum("reserved")).values("n")), Value(0)),
            )
            .values_list("used", "kept")
            .get()
        )
        return int(row[0]), int(row[1])
