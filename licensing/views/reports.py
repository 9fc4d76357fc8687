"""The reports: what there is over all Virtual Accounts that a person may see, on screen and as files."""

from datetime import UTC, datetime
from typing import Any, ClassVar

import django_filters as filters
from django import forms
from django.db.models import Q, QuerySet

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.rows import LazyTableData
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import Crumb, PageView
from licensing.models import Pool
from licensing.services.insight import consumption, reports
from licensing.services.insight.history import read_history
from licensing.services.insight.periods import Period, at_one_moment
from licensing.states import ACTIVE_STATES, Compliance, InstanceState, LineState, ReservationState
from licensing.tables.reports import AsOfReport, InstancesReport, LicensesReport, SubscriptionsReport, UsageReport
from licensing.tables.reservations import ReservedReport
from licensing.tables.usage_reports import MeteredUseReport
from licensing.views.charts import PeriodFilter, draw_history, draw_metered, list_points
from licensing.views.reservations import SHOWABLE

ENDED = "ended"


class CheckboxMenu(forms.CheckboxSelectMultiple):
    """Boxes in a menu, so that a hundred Virtual Accounts take the room of one button."""

    template_name = "components/checkbox_menu.html"
    is_menu = True

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"] |= {"label": self.label, "chosen": len(value or ())}
        return context


def _accounts(request: Any) -> QuerySet[VirtualAccount]:
    return request.report_accounts  # type: ignore[no-any-return]  # put there by the view


class ReportFilter(TableFilter):
    """Which Virtual Accounts: all that the person may see, where none is chosen."""

    va = filters.ModelMultipleChoiceFilter(
        field_name="virtual_account", queryset=_accounts, label="", widget=CheckboxMenu("Virtual Accounts")
    )


class LicensesFilter(ReportFilter):
    search_fields = ("license__display_name", "license__tag", "virtual_account__name")
    status = ChoiceFilter(
        label="Compliance",
        field_name="now_status",
        choices=[(s.value, s.label) for s in Compliance],
        empty_label="All",
    )


class SubscriptionsFilter(ReportFilter):
    search_fields = ("subscription_id", "license__display_name", "license__tag", "virtual_account__name")
    status = ChoiceFilter(
        label="Status", method="in_state", choices=[(s.value, s.badge.label) for s in LineState], empty_label="All"
    )

    def in_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        now = self.request.report_now
        return {
            LineState.FUTURE: queryset.filter(start__gt=now),
            LineState.ACTIVE: queryset.filter(start__lte=now).filter(Q(end__isnull=True) | Q(end__gt=now)),
            LineState.EXPIRED: queryset.filter(end__lte=now),
        }[LineState(value)]


class InstancesFilter(ReportFilter):
    search_fields = ("hostname", "udi", "software_tag", "virtual_account__name")
    state = ChoiceFilter(
        label="Registration",
        method="with_state",
        choices=[*((s.value, s.badge.label) for s in InstanceState if s.is_active), (ENDED, "Ended")],
        empty_label="Active",
    )

    @property
    def qs(self) -> QuerySet[Any]:
        """Without a choice only instances that are registered, as on every other page."""
        rows: QuerySet[Any] = super().qs
        return rows if self.data.get("state") else rows.filter(state__in=ACTIVE_STATES)

    def with_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(~Q(state__in=ACTIVE_STATES)) if value == ENDED else queryset.filter(state=value)


class ReservedFilter(ReportFilter):
    search_fields = (
        "reservation__udi", "license__display_name", "license__tag", "line__subscription_id", "virtual_account__name",
    )  # fmt: skip
    state = ChoiceFilter(
        label="State",
        field_name="reservation__state",
        choices=[(s.value, s.label) for s in ReservationState if s in SHOWABLE],
        empty_label="All",
    )


class UsageFilter(ReportFilter, PeriodFilter):
    search_fields = ("license__display_name", "license__tag", "virtual_account__name")


class MeteredFilter(ReportFilter, PeriodFilter):
    kept_for = None
    search_fields = ("meter__license__display_name", "meter__license__tag", "virtual_account__name")


class AsOfFilter(ReportFilter):
    search_fields = ("license__display_name", "license__tag", "virtual_account__name")
    moment = filters.DateTimeFilter(
        method="keep",
        label="Moment (UTC)",
        widget=forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
    )

    def keep(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """The moment says what of the rows is shown, not which rows."""
        return queryset

    def period_at(self, now: datetime) -> Period:
        """Raises `Invalid` for a moment that cannot be shown."""
        chosen = self.form.cleaned_data.get("moment") if self.form.is_valid() else None
        return at_one_moment(min(chosen.astimezone(UTC), now) if chosen else now, now=now)


class ReportView(AccountView, TableView):
    """One report; `lead` says in a sentence what it is for."""

    permission = Permission.VIEW
    template_name = "licensing/table_page.html"
    path: ClassVar[str]
    lead: ClassVar[str]

    def authorize(self) -> None:
        super().authorize()
        accounts = reports.visible_accounts(actor=self.actor, smart_account=self.smart_account)
        self.request.report_accounts, self.request.report_now = accounts, self.now  # type: ignore[attr-defined]  # read by the filters

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now, "account_url": self.account_url}

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Reports", f"{self.account_url}reports/")]

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "lead": self.lead}


class Licenses(ReportView):
    page_title, path = "Licenses", "licenses"
    lead = "What is owned, in use, reserved and lent, and whether it is enough: every license of every Virtual Account."
    table_class, filter_class = LicensesReport, LicensesFilter

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_licenses(actor=self.actor, smart_account=self.smart_account, now=self.now)


class Subscriptions(ReportView):
    page_title, path = "License Subscriptions", "subscriptions"
    lead = "Every subscription with what is left of it, when it begins and when it ends."
    table_class, filter_class = SubscriptionsReport, SubscriptionsFilter

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_subscriptions(actor=self.actor, smart_account=self.smart_account)


class Instances(ReportView):
    page_title, path = "Product Instances", "instances"
    lead = "Every product with its software, its last contact and the licenses that it uses or has reserved."
    table_class, filter_class = InstancesReport, InstancesFilter

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_instances(actor=self.actor, smart_account=self.smart_account, now=self.now)


class Reserved(ReportView):
    page_title, path = "Reserved licenses", "reserved"
    lead = (
        "Every license that is reserved for a product: how many, of which type, until when, and what the reservation"
        " waits for."
    )
    table_class, filter_class = ReservedReport, ReservedFilter

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_reserved(actor=self.actor, smart_account=self.smart_account, now=self.now)


class Usage(ReportView):
    page_title, path = "Usage", "usage"
    lead = "How use and ownership of each license developed, with the most in use at any moment. Times are in UTC."
    table_class, filter_class = UsageReport, UsageFilter
    template_name = "licensing/usage_report.html"
    part_template = "licensing/_usage_part.html"

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_pools(actor=self.actor, smart_account=self.smart_account)

    def get_data(self, rows: Any, filterset: Any) -> LazyTableData:
        self.pools, self.period = rows, filterset.period_at(self.now)
        return LazyTableData(reports.UsageRows(actor=self.actor, pools=rows, period=self.period))

    def get_context(self) -> dict[str, Any]:
        # By keys: the filter may have searched in tables that the statement of the history does not join.
        pools = Pool.objects.filter(pk__in=self.pools.order_by().values("pk"))
        if not pools.exists():
            return super().get_context()
        history = read_history(actor=self.actor, pools=pools, period=self.period)
        chart = draw_history(history, key="usage", title="All of these licenses together")
        return {**super().get_context(), "chart": chart, "points": list_points(history), "period": history.period}


class AsOf(ReportView):
    page_title, path = "Licenses as of a moment", "as-of"
    lead = (
        "What was owned, in use and short of each license at one moment of the past. Without a choice: now. Use is kept"
        " change by change for 90 days and by day for 24 months: of longer ago than 90 days, choose midnight."
    )
    table_class, filter_class = AsOfReport, AsOfFilter

    def get_queryset(self) -> QuerySet[Any]:
        return reports.read_pools(actor=self.actor, smart_account=self.smart_account)

    def get_data(self, rows: Any, filterset: Any) -> LazyTableData:
        period = filterset.period_at(self.now)
        self.moment = period.until
        return LazyTableData(reports.UsageRows(actor=self.actor, pools=rows, period=period))

    def get_export_name(self) -> str:
        return f"licenses-as-of-{self.moment:%Y-%m-%dT%H%M}"


class MeteredUse(ReportView):
    page_title, path = "Metered use", "metered-use"
    lead = (
        "What products reported of licenses that are billed by use, day by day (UTC). “Most in use” adds up what each"
        " product had at most."
    )
    table_class, filter_class = MeteredUseReport, MeteredFilter
    template_name = "licensing/usage_report.html"
    part_template = "licensing/_usage_part.html"

    def get_queryset(self) -> QuerySet[Any]:
        return consumption.read_metered(actor=self.actor, smart_account=self.smart_account)

    def get_data(self, rows: Any, filterset: Any) -> QuerySet[Any, Any]:
        self.period = filterset.period_at(self.now)
        self.days = consumption.within(rows, start=self.period.start, end=self.period.until)
        return consumption.sum_by_day(self.days)

    def get_context(self) -> dict[str, Any]:
        if not self.days.exists():
            return super().get_context()
        totals = consumption.total_by_day(self.days, start=self.period.start, end=self.period.until)
        # The table below has the numbers, so the chart brings none of its own.
        return {**super().get_context(), "chart": draw_metered(totals), "chart_alone": True}


ALL: tuple[type[ReportView], ...] = (Licenses, Subscriptions, Instances, Reserved, Usage, MeteredUse, AsOf)


class ReportList(AccountView, PageView):
    """Which reports there are."""

    permission = Permission.VIEW
    page_title = "Reports"
    template_name = "licensing/reports.html"

    def get_context(self) -> dict[str, Any]:
        listed = [
            {"title": view.page_title, "lead": view.lead, "url": f"{self.account_url}reports/{view.path}/"}
            for view in ALL
        ]
        return {**super().get_context(), "reports": listed}
