"""Licenses with a term, over all Virtual Accounts of an account: one by one, and by the day on which they end."""

from datetime import timedelta
from typing import Any, Final

import django_filters as filters
from django import forms
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet

from accounts.models import VirtualAccount
from cssm.common.clock import read_clock
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import PageView
from licensing.models import PurchaseLine
from licensing.querysets.ownership import PurchaseLineQuerySet
from licensing.services.insight.end_dates import EndDate, list_end_days, read_end_dates
from licensing.states import LicenseType, LineState
from licensing.tables.subscriptions import SubscriptionTable
from licensing.views.account_tabs import AccountTab

DATES_PER_PAGE: Final = 10
SOON, ALL = "soon", "all"


def own_virtual_accounts(request: Any) -> QuerySet[VirtualAccount]:
    """Those of the page's account that the person may see: what a filter offers."""
    domain = request.resolver_match.kwargs["domain"].lower()
    accounts = VirtualAccount.objects.live().visible_to(request.actor).filter(smart_account__domain=domain)
    return accounts.order_by("name")


class VirtualAccountChoice(filters.ModelChoiceFilter):
    """A choice among the Virtual Accounts of the account, by name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            field_name="virtual_account",
            label="Virtual Account",
            queryset=own_virtual_accounts,
            to_field_name="name",
            empty_label="All",
            **kwargs,
        )


class SubscriptionFilter(TableFilter):
    """Without a choice of status: what runs or will run."""

    search_fields = ("subscription_id", "license__display_name", "license__tag", "order__order_ref")

    virtual_account = VirtualAccountChoice()
    license_type = ChoiceFilter(label="Type", choices=[(t.value, t.label) for t in LicenseType], empty_label="All")
    status = ChoiceFilter(
        label="Status",
        method="with_status",
        choices=[
            (LineState.ACTIVE.value, "Active"),
            (SOON, "Ends within 90 days"),
            (LineState.FUTURE.value, "Not started yet"),
            (LineState.EXPIRED.value, "Expired"),
            (ALL, "All, also expired"),
        ],
        empty_label="Active or to start",
    )
    end = filters.DateFilter(
        label="Ends on", field_name="end", lookup_expr="date", widget=forms.DateInput(attrs={"type": "date"})
    )

    @property
    def qs(self) -> QuerySet[PurchaseLine]:
        rows: PurchaseLineQuerySet = super().qs
        return rows if self.data.get("status") else rows.not_ended_at(read_clock())

    def with_status(self, queryset: QuerySet[PurchaseLine], name: str, value: str) -> QuerySet[PurchaseLine]:
        now = read_clock()
        return queryset.filter(
            {
                LineState.ACTIVE.value: Q(start__lte=now) & (Q(end__isnull=True) | Q(end__gt=now)),
                SOON: Q(end__gt=now, end__lte=now + timedelta(days=90)),
                LineState.FUTURE.value: Q(start__gt=now),
                LineState.EXPIRED.value: Q(end__lte=now),
                ALL: Q(),
            }[value]
        )


class Subscriptions(AccountTab, TableView):
    """Every line with a term of which anything is left."""

    permission = Permission.VIEW
    tab = "all/subscriptions/"
    table_class = SubscriptionTable
    filter_class = SubscriptionFilter
    template_name = "licensing/account_tab.html"

    def get_queryset(self) -> QuerySet[PurchaseLine]:
        lines = PurchaseLine.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        with_term = Q(end__isnull=False) | ~Q(subscription_id="") | ~Q(license_type=LicenseType.PERPETUAL)
        return lines.filter(with_term).with_anything_left().select_related("license", "virtual_account", "order")

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now, "account_url": self.account_url}


class EndDates(AccountTab, PageView):
    """Which licenses end together, soonest first, and which pools run short then if nothing is bought."""

    permission = Permission.VIEW
    tab = "all/end-dates/"
    template_name = "licensing/end_dates.html"

    def get_context(self) -> dict[str, Any]:
        days = list_end_days(actor=self.actor, smart_account=self.smart_account, now=self.now)
        page = Paginator(days, DATES_PER_PAGE).get_page(self.request.GET.get("page"))
        shown = list(page.object_list)
        dates = read_end_dates(actor=self.actor, smart_account=self.smart_account, days=shown, now=self.now)
        return {
            **super().get_context(),
            "account_url": self.account_url,
            "page": page,
            "dates": [self._describe(each) for each in dates],
        }

    def _describe(self, each: EndDate) -> dict[str, Any]:
        return {
            "date": each,
            "all_url": f"{self.inventory_url}all/subscriptions/?end={each.day:%Y-%m-%d}",
            "rows": [(row, row.after.status.badge) for row in each.shown],
            "more": len(each.pools) - len(each.shown),
        }
