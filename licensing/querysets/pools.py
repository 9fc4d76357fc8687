"""Reading pools: stored figures plus what the fold has not taken yet, in one statement."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from django.apps import apps
from django.db import models
from django.db.models import Case, F, OuterRef, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce, Greatest

from cssm.common.querysets import TenantQuerySet
from licensing.querysets.loans import settle_rows
from licensing.states import Billing, Compliance

if TYPE_CHECKING:
    from licensing.models import Pool, PoolTransition, UsageChange

BIG: Final = models.BigIntegerField()


def _total(rows: Any, column: str) -> Coalesce:
    """The sum of a column of grouped rows, as a subquery; 0 where there are none."""
    return Coalesce(Subquery(rows.annotate(n=Sum(column)).values("n")), Value(0), output_field=BIG)


def _by_pool(figures: dict[int, int], stored: str) -> Any:
    """The live figure of the pools given, the stored one of all others."""
    if not figures:
        return F(stored)
    cases = [When(pk=pk, then=Value(quantity)) for pk, quantity in figures.items()]
    return Case(*cases, default=F(stored), output_field=BIG)


class PoolQuerySet(TenantQuerySet["Pool"]):
    def with_figures(self, now: datetime) -> Self:
        """Annotate `now_purchased`, `now_in_use`, `now_reserved`, `now_borrowed`, `now_lent`, `now_balance`,
        `now_free` and `now_status`. Call it on what is filtered already, and before it is sliced.

        Purchased, use and reservations come in the statement itself, so that a delta is never counted twice nor missed
        while a fold commits; purchased from the row while it is valid, and from the lines past that instant, as what is
        reserved of a line ends with it. Loans are those of the last fold, but settled anew for families in which
        something has happened since (one or two queries, at once).
        """
        borrowed, lent = self._live_loans(now)
        return (
            self.with_own_figures(now)
            .annotate(now_borrowed=_by_pool(borrowed, "borrowed"), now_lent=_by_pool(lent, "lent"))
            .annotate(
                now_balance=F("now_purchased")
                + F("now_borrowed")
                - F("now_lent")
                - F("now_in_use")
                - F("now_reserved"),
                now_free=Greatest(
                    Value(0), F("now_purchased") - F("now_lent") - F("now_in_use") - F("now_reserved"), output_field=BIG
                ),
            )
            .annotate(
                now_status=Case(
                    When(license__billing=Billing.USAGE, then=Value(Compliance.AUTHORIZED.value)),
                    When(now_balance__gte=0, then=Value(Compliance.AUTHORIZED.value)),
                    default=Value(Compliance.OUT_OF_COMPLIANCE.value),
                    output_field=models.CharField(),
                ),
            )
        )

    def positions(self, now: datetime) -> list[dict[str, Any]]:
        """Rows as `settle_rows` wants them, live, of these pools, which must be whole units."""
        rows = self.with_own_figures(now).annotate(position=F("now_purchased") - F("now_in_use") - F("now_reserved"))
        columns = ("pk", "unit", "license", "license__billing", "unit__hierarchy__higher", "position")
        return [
            {
                "pk": row["pk"],
                "unit": row["unit"],
                "license": row["license"],
                "unlimited": row["license__billing"] == Billing.USAGE,
                "higher": row["unit__hierarchy__higher"],
                "position": row["position"],
            }
            for row in rows.order_by("pk").values(*columns)
        ]

    def _live_loans(self, now: datetime) -> tuple[dict[int, int], dict[int, int]]:
        """(borrowed, lent) by pool id, of the families among these pools that changed since their last fold."""
        delta = apps.get_model("licensing", "PoolDelta")
        unit = apps.get_model("licensing", "PoolUnit")
        changed = delta.objects.filter(pool__unit__hierarchy__isnull=False).order_by().values_list("pool__unit")
        ended = unit.objects.filter(hierarchy__isnull=False, valid_until__lte=now).order_by().values_list("pk")
        stale = {pk for (pk,) in changed.union(ended)}
        if not stale:
            return {}, {}
        concerned = set(self.filter(unit__in=stale).order_by().values_list("unit", flat=True).distinct())
        if not concerned:
            return {}, {}
        settled = settle_rows(self.model._default_manager.filter(unit__in=concerned).positions(now))
        return {pk: loan[0] for pk, loan in settled.items()}, {pk: loan[1] for pk, loan in settled.items()}

    def with_own_figures(self, now: datetime) -> Self:
        """Annotate `now_purchased`, `now_in_use` and `now_reserved`: what a license has without any loans."""
        # Models import querysets, so querysets look models up.
        delta = apps.get_model("licensing", "PoolDelta")
        line = apps.get_model("licensing", "PurchaseLine")
        allocation = apps.get_model("licensing", "Allocation")
        hold = apps.get_model("licensing", "Hold")
        of_pool = delta.objects.filter(pool=OuterRef("pk")).order_by().values("pool")
        of_license = {"virtual_account": OuterRef("virtual_account"), "license": OuterRef("license")}
        came = line.objects.filter(**of_license).running_at(now).order_by().values("license")
        left = allocation.objects.filter(**of_license).running_at(now).order_by().values("license")
        ended = hold.objects.counting().filter(**of_license, line__end__lte=now).order_by().values("license")
        return self.annotate(
            now_purchased=Case(
                When(valid_until__lte=now, then=_total(came, "quantity") - _total(left, "quantity")),
                default=F("purchased"),
                output_field=BIG,
            ),
            now_in_use=F("in_use") + _total(of_pool, "in_use"),
            now_reserved=F("reserved")
            + _total(of_pool, "reserved")
            - Case(When(valid_until__lte=now, then=_total(ended, "quantity")), default=Value(0), output_field=BIG),
        )

    def with_anything(self) -> Self:
        """After `with_figures`: pools with any figure that is not 0, which are the ones a list shows."""
        return self.exclude(now_purchased=0, now_in_use=0, now_reserved=0, now_borrowed=0, now_lent=0)

    def short(self) -> Self:
        """After `with_figures`: pools that are out of compliance at this very moment."""
        return self.filter(now_status=Compliance.OUT_OF_COMPLIANCE)


class PoolTransitionQuerySet(TenantQuerySet["PoolTransition"]):
    def undispatched(self) -> Self:
        return self.filter(dispatched_at__isnull=True).order_by("id")


class UsageChangeQuerySet(TenantQuerySet["UsageChange"]):
    pass
