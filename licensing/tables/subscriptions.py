"""The table of licenses with a term: of all Virtual Accounts of a Smart Account."""

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from licensing.models import PurchaseLine
from licensing.states import LicenseType


class SubscriptionTable(Table):
    """`now` decides how a line stands."""

    key = "subscriptions"
    caption = "License subscriptions"
    fixed = ("license",)
    hidden = ("tag", "order")
    empty_title = "No license with a term"
    empty_hint = (
        "Subscriptions, term and demo licenses of all Virtual Accounts are listed here once they are delivered."
    )

    subscription_id = Column(verbose_name="Subscription", default="–")
    license = Column(accessor="license__display_name", verbose_name="License")
    tag = CodeColumn(accessor="license__tag", verbose_name="Entitlement tag")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    license_type = Column(verbose_name="Type")
    quantity = NumberColumn(accessor="remaining", verbose_name="Quantity")
    start = WhenColumn(verbose_name="Start")
    end = WhenColumn(verbose_name="End", default="never")
    days_left = NumberColumn(verbose_name="Days left", empty_values=(), order_by=("end",))
    state = BadgeColumn(verbose_name="Status", empty_values=(), orderable=False)
    order = Column(accessor="order__order_ref", verbose_name="Order", default="–")

    class Meta:
        order_by = ("end", "license")

    def __init__(self, data: Any, *, now: datetime, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now, self.account_url = now, account_url

    def render_virtual_account(self, value: str) -> SafeString:
        return format_html('<a href="{}inventory/{}/licenses/">{}</a>', self.account_url, quote(value, safe=""), value)

    def value_virtual_account(self, value: str) -> str:
        return value

    def render_license_type(self, record: PurchaseLine) -> str:
        return LicenseType(record.license_type).label

    def render_days_left(self, record: PurchaseLine) -> str:
        days = days_left(record, self.now)
        return "–" if days is None else f"{days:,}"

    def value_days_left(self, record: PurchaseLine) -> int | None:
        return days_left(record, self.now)

    def render_state(self, record: PurchaseLine, column: BadgeColumn) -> SafeString:
        return column.render(record.state_at(self.now))

    def value_state(self, record: PurchaseLine) -> str:
        return record.state_at(self.now).badge.label


def days_left(line: PurchaseLine, now: datetime) -> int | None:
    """Whole days until the end, a begun one counted; 0 once it has come, None where there is none."""
    if line.end is None:
        return None
    return max(0, ceil((line.end.astimezone(UTC) - now) / timedelta(days=1)))
