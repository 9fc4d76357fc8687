"""Licenses with their figures, the same as on every page."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import changes
from cssm.common.api.fields import ListAnswer
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.api.shapes import VirtualAccountsPage
from licensing.models import Allocation, Pool, PurchaseLine
from licensing.services.pools.loans import UnitLoan, loans_of
from licensing.states import Compliance, LicenseType, LineState

Lines = dict[tuple[int, int], list[PurchaseLine]]
HIGHER_TIER: Final = "Substitution From Higher Tier"


class SubstitutionRow(serializers.Serializer[Any]):
    """A loan, on the row of the license that borrows."""

    licenseName = serializers.CharField(help_text="The license that runs short and borrows.")
    substitutedLicense = serializers.CharField(help_text="The license that stands in for it.")
    substitutedQuantity = serializers.IntegerField()
    substitutionType = serializers.ChoiceField(choices=[HIGHER_TIER])


class LineRow(serializers.Serializer[Any]):
    licenseType = serializers.ChoiceField(choices=[kind.name for kind in LicenseType])
    quantity = serializers.IntegerField()
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField(allow_null=True)
    subscriptionId = serializers.CharField(allow_null=True)
    status = serializers.CharField()


class LicenseRow(serializers.Serializer[Any]):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    virtualAccount = serializers.CharField()
    quantity = serializers.IntegerField(help_text="Purchased and valid now.")
    inUse = serializers.IntegerField()
    available = serializers.IntegerField(help_text="The balance; negative in a shortage.")
    reserved = serializers.IntegerField()
    pendingQuantity = serializers.IntegerField(help_text="Purchased, to become valid later.")
    status = serializers.ChoiceField(choices=[status.label for status in Compliance])
    billingType = serializers.CharField()
    isPortable = serializers.BooleanField()
    ahaApps = serializers.BooleanField()
    licenseSubstitutions = SubstitutionRow(many=True)
    licenseDetails = LineRow(many=True)


class LicensesAnswer(ListAnswer):
    licenses = LicenseRow(many=True)


class LicensesView(AccountApiView):
    permission = Permission.VIEW

    @changes(
        "listLicenses",
        "Licenses of Virtual Accounts with their figures",
        LicensesAnswer,
        body=VirtualAccountsPage,
        tag="licenses",
    )
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(VirtualAccountsPage)
        pools = Pool.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        if wanted["virtualAccounts"]:
            pools = pools.filter(virtual_account__in=self.find_virtual_accounts(wanted["virtualAccounts"]))
        shown = with_anything_or_pending(pools.with_figures(self.now), self.now)
        start, end = wanted["offset"], wanted["offset"] + wanted["limit"]
        rows = shown.select_related("license", "virtual_account").order_by(
            "virtual_account__name", "license__display_name", "pk"
        )[start:end]
        lines, loans = lines_of(rows), loans_of(rows, self.now)
        return self.success(
            totalRecords=shown.count(),
            licenses=[
                show_pool(
                    row,
                    lines.get((row.virtual_account_id, row.license_id), []),
                    loans.borrowed_by(row),
                    self.now,
                )
                for row in rows
            ],
        )


def with_anything_or_pending(pools: Any, now: datetime) -> Any:
    """After `with_figures`: pools with any figure that is not 0, what is to become valid later included."""
    of_pool = {"virtual_account": OuterRef("virtual_account"), "license": OuterRef("license")}
    came = PurchaseLine.objects.filter(**of_pool, start__gt=now)
    left = Allocation.objects.filter(**of_pool, line__start__gt=now)
    pending = _sum_of(came) - _sum_of(left)
    return pools.annotate(now_pending=pending).exclude(
        now_purchased=0, now_in_use=0, now_reserved=0, now_borrowed=0, now_lent=0, now_pending=0
    )


def _sum_of(rows: QuerySet[Any]) -> Coalesce:
    total = rows.order_by().values("license").annotate(total=Sum("quantity")).values("total")
    return Coalesce(Subquery(total), Value(0), output_field=BigIntegerField())


def lines_of(pools: Iterable[Pool]) -> Lines:
    """What the purchase lines of the pools still hold, by Virtual Account and license, in one query."""
    wanted = {(pool.virtual_account_id, pool.license_id) for pool in pools}
    rows = PurchaseLine.objects.filter(
        virtual_account__in={virtual_account for virtual_account, _ in wanted},
        license__in={license_id for _, license_id in wanted},
    )
    found: Lines = {}
    for line in rows.with_remaining().order_by("start", "pk"):
        key = (line.virtual_account_id, line.license_id)
        if key in wanted and line.remaining:
            found.setdefault(key, []).append(line)
    return found


def show_pool(pool: Any, lines: Sequence[PurchaseLine], borrowed: Sequence[UnitLoan], now: datetime) -> dict[str, Any]:
    """`pool` with the figures that `with_figures` and `with_anything_or_pending` add."""
    return {
        "license": pool.license.display_name,
        "entitlementTag": pool.license.tag,
        "virtualAccount": pool.virtual_account.name,
        "quantity": pool.now_purchased,
        "inUse": pool.now_in_use,
        "available": pool.now_balance,
        "reserved": pool.now_reserved,
        "pendingQuantity": pool.now_pending,
        "status": Compliance(pool.now_status).label,
        "billingType": pool.license.billing,
        "isPortable": False,
        "ahaApps": False,
        "licenseSubstitutions": [show_loan(loan) for loan in borrowed],
        "licenseDetails": [show_line(line, now) for line in lines if line.state_at(now) is not LineState.EXPIRED],
    }


def show_loan(loan: UnitLoan) -> dict[str, Any]:
    return {
        "licenseName": loan.borrower.display_name,
        "substitutedLicense": loan.lender.display_name,
        "substitutedQuantity": loan.quantity,
        "substitutionType": HIGHER_TIER,
    }


def show_line(line: PurchaseLine, now: datetime) -> dict[str, Any]:
    return {
        "licenseType": LicenseType(line.license_type).name,
        "quantity": line.remaining,
        "startDate": show_moment(line.start),
        "endDate": show_moment(line.end),
        "subscriptionId": line.subscription_id or None,
        "status": line.state_at(now).badge.label,
    }
