"""The tables of the reports; their column names are also the members of the JSON."""

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import number
from licensing.models import Pool, ProductInstance, PurchaseLine
from licensing.services.insight.reports import UsageRow
from licensing.states import Compliance, InstanceState, LicenseType


class ReportTable(Table):
    """`now` decides on states; `account_url` leads to what a row is about."""

    fixed: ClassVar[tuple[str, ...]] = ("virtual_account",)
    empty_title = "Nothing to report"

    def __init__(self, data: Any, *, now: datetime, account_url: str = "", **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now, self.account_url = now, account_url

    def link(self, record: Any, path: str, text: str) -> SafeString:
        va = quote(record.virtual_account.name, safe="")
        return format_html('<a href="{}inventory/{}/{}" data-dialog>{}</a>', self.account_url, va, path, text)


class LicensesReport(ReportTable):
    key = "report-licenses"
    caption = "Licenses"
    fixed = ("virtual_account", "license")
    empty_hint = "Licenses appear here when an order is delivered, or when a product reports that it uses one."

    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    license = Column(accessor="license__display_name", verbose_name="License")
    entitlement_tag = CodeColumn(accessor="license__tag", verbose_name="Entitlement tag")
    purchased = NumberColumn(accessor="now_purchased", verbose_name="Purchased")
    in_use = NumberColumn(accessor="now_in_use", verbose_name="In use")
    reserved = NumberColumn(accessor="now_reserved", verbose_name="Reserved")
    borrowed = NumberColumn(accessor="now_borrowed", verbose_name="Borrowed")
    lent = NumberColumn(accessor="now_lent", verbose_name="Lent")
    balance = NumberColumn(accessor="now_balance", verbose_name="Balance")
    status = BadgeColumn(accessor="now_status", verbose_name="Compliance")
    billing = Column(accessor="license__billing", verbose_name="Billing")
    pending = NumberColumn(verbose_name="Pending")

    class Meta:
        order_by = ("virtual_account", "license")

    def render_license(self, record: Pool, value: str) -> SafeString:
        return self.link(record, f"licenses/{record.pk}/", value)

    def value_license(self, value: str) -> str:
        return value

    def render_billing(self, value: str) -> str:
        return value.capitalize()

    def render_balance(self, value: int) -> str | SafeString:
        return format_html('<strong class="text-bad">{}</strong>', number(value)) if value < 0 else number(value)

    def value_balance(self, value: int) -> int:
        return value

    def render_status(self, value: str, column: BadgeColumn) -> SafeString:
        return column.render(Compliance(value))

    def value_status(self, value: str) -> str:
        return Compliance(value).label


class SubscriptionsReport(ReportTable):
    key = "report-subscriptions"
    caption = "License subscriptions"
    fixed = ("subscription_id",)
    empty_hint = "Lines of an order that name a subscription appear here."

    subscription_id = Column(verbose_name="Subscription", default="–")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    license = Column(accessor="license__display_name", verbose_name="License")
    entitlement_tag = CodeColumn(accessor="license__tag", verbose_name="Entitlement tag")
    license_type = Column(verbose_name="Type")
    quantity = NumberColumn(accessor="remaining", verbose_name="Quantity")
    start = WhenColumn(verbose_name="Start")
    end = WhenColumn(verbose_name="End", default="never")
    status = BadgeColumn(accessor="start", verbose_name="Status", orderable=False)

    class Meta:
        order_by = ("subscription_id", "end")

    def render_license_type(self, record: PurchaseLine) -> str:
        return LicenseType(record.license_type).label

    def render_status(self, record: PurchaseLine, column: BadgeColumn) -> SafeString:
        return column.render(record.state_at(self.now))

    def value_status(self, record: PurchaseLine) -> str:
        return record.state_at(self.now).badge.label


class InstancesReport(ReportTable):
    key = "report-instances"
    caption = "Product instances"
    fixed = ("virtual_account", "host_name")
    hidden = ("instance_id",)
    empty_hint = "Register a product with a token of a Virtual Account, or reserve for one; it appears here at once."

    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    host_name = Column(accessor="hostname", verbose_name="Host name", empty_values=())
    product_id = Column(accessor="udi_pid", verbose_name="Product ID")
    serial_number = Column(accessor="udi_serial_number", verbose_name="Serial number")
    instance_id = CodeColumn(accessor="piid", verbose_name="Instance ID")
    software = CodeColumn(accessor="software_tag", verbose_name="Software tag")
    state = BadgeColumn(verbose_name="Registration")
    registered_at = WhenColumn(verbose_name="Registered")
    last_contact_at = WhenColumn(verbose_name="Last contact")
    use = Column(accessor="counted_usage", verbose_name="Licenses used", orderable=False)
    reserved = Column(accessor="counted_reservations", verbose_name="Licenses reserved", orderable=False)

    class Meta:
        order_by = ("virtual_account", "host_name")

    def render_host_name(self, record: ProductInstance) -> SafeString:
        return self.link(record, f"instances/{record.piid}/", record.hostname or record.udi)

    def value_host_name(self, record: ProductInstance) -> str:
        return record.hostname

    def render_state(self, record: ProductInstance, column: BadgeColumn) -> SafeString:
        return column.render(InstanceState(record.state))

    def value_state(self, record: ProductInstance) -> str:
        return InstanceState(record.state).badge.label

    def render_use(self, value: list[Any]) -> str:
        return ", ".join(f"{number(use.quantity)} × {use.license_name}" for use in value) or "–"

    def value_use(self, value: list[Any]) -> str:
        return ", ".join(f"{use.quantity} × {use.license_name}" for use in value)

    def render_reserved(self, value: list[Any]) -> str:
        return ", ".join(f"{number(quantity)} × {name}" for name, quantity in sum_held(value).items()) or "–"

    def value_reserved(self, value: list[Any]) -> str:
        return ", ".join(f"{quantity} × {name}" for name, quantity in sum_held(value).items())


class UsageReport(ReportTable):
    key = "report-usage"
    caption = "Use of each license over time"
    fixed = ("virtual_account", "license", "start")
    hidden = ("entitlement_tag", "reserved", "borrowed", "lent")
    empty_hint = "Use appears here as soon as there are licenses in a Virtual Account."

    virtual_account = Column(verbose_name="Virtual Account", orderable=False)
    license = Column(orderable=False, attrs={"td": {"class": "name"}})
    entitlement_tag = CodeColumn(verbose_name="Entitlement tag", orderable=False)
    start = Column(
        accessor="point__start", verbose_name="From", orderable=False, attrs={"td": {"class": "text-nowrap"}}
    )
    purchased = NumberColumn(accessor="point__purchased", verbose_name="Purchased", orderable=False)
    in_use = NumberColumn(accessor="point__in_use", verbose_name="In use", orderable=False)
    peak = NumberColumn(accessor="point__peak", verbose_name="Most in use", orderable=False)
    reserved = NumberColumn(accessor="point__reserved", verbose_name="Reserved", orderable=False)
    borrowed = NumberColumn(accessor="point__borrowed", verbose_name="Borrowed", orderable=False)
    lent = NumberColumn(accessor="point__lent", verbose_name="Lent", orderable=False)
    balance = NumberColumn(accessor="point__balance", verbose_name="Balance", orderable=False)
    status = BadgeColumn(accessor="point__status", verbose_name="Compliance", orderable=False)
    was_short = Column(accessor="point__was_short", verbose_name="Short at any time", orderable=False, empty_values=())

    def render_start(self, value: datetime) -> str:
        return f"{value:%d %b %Y %H:%M}"

    def value_start(self, value: datetime) -> datetime:
        return value

    def render_was_short(self, record: UsageRow) -> str:
        return "yes" if record.point.was_short else "no"


class AsOfReport(ReportTable):
    key = "report-as-of"
    caption = "Licenses as of a moment"
    fixed = ("virtual_account", "license")
    hidden = ("entitlement_tag",)
    empty_hint = "Licenses appear here when an order is delivered, or when a product reports that it uses one."

    virtual_account = Column(verbose_name="Virtual Account", orderable=False)
    license = Column(orderable=False, attrs={"td": {"class": "name"}})
    entitlement_tag = CodeColumn(verbose_name="Entitlement tag", orderable=False)
    purchased = NumberColumn(accessor="point__purchased", verbose_name="Purchased", orderable=False)
    in_use = NumberColumn(accessor="point__in_use", verbose_name="In use", orderable=False)
    reserved = NumberColumn(accessor="point__reserved", verbose_name="Reserved", orderable=False)
    borrowed = NumberColumn(accessor="point__borrowed", verbose_name="Borrowed", orderable=False)
    lent = NumberColumn(accessor="point__lent", verbose_name="Lent", orderable=False)
    balance = NumberColumn(accessor="point__balance", verbose_name="Balance", orderable=False)
    status = BadgeColumn(accessor="point__status", verbose_name="Compliance", orderable=False)


class UseStepTable(Table):
    """The single changes of one pool."""

    key = "use-steps"
    caption = "Changes of use"
    fixed = ("at",)
    hidden = ("reserved_before", "reserved_after")
    empty_title = "No change of use in this period"
    empty_hint = "Every change that a product reports is kept and listed here."

    at = Column(verbose_name="Time", orderable=False)
    instance = Column(verbose_name="Product instance", orderable=False, default="–")
    in_use_before = NumberColumn(verbose_name="In use before", orderable=False)
    in_use_after = NumberColumn(verbose_name="In use after", orderable=False)
    reserved_before = NumberColumn(verbose_name="Reserved before", orderable=False)
    reserved_after = NumberColumn(verbose_name="Reserved after", orderable=False)

    def render_at(self, value: datetime) -> str:
        return f"{value:%d %b %Y %H:%M:%S}"

    def value_at(self, value: datetime) -> datetime:
        return value


def sum_held(reservations: list[Any]) -> dict[str, int]:
    """By license: of one there may be a hold for each purchase line."""
    sums: dict[str, int] = {}
    for hold in (hold for reservation in reservations for hold in reservation.held):
        sums[hold.license_name] = sums.get(hold.license_name, 0) + hold.quantity
    return sums
