"""Tables of the operator area about what is owned and whether figures hold."""

from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from cssm.common.tables import ActionsColumn, BadgeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.text import Badge, Tone, mark
from licensing.models import PoolCheck, PurchaseLine
from licensing.states import LicenseType, LineSource


class LineTable(Table):
    key = "purchase-lines"
    caption = "Licenses owned"
    fixed = ("license",)
    hidden = ("tag", "subscription_id", "created_at")
    empty_title = "Nothing was delivered yet"
    empty_hint = "Deliver an order by POST /v1/operator/orders or manage.py deliver_order."

    license = Column("License", accessor="license__display_name")
    tag = Column("Entitlement tag", accessor="license__tag")
    account = Column("Smart Account", accessor="smart_account__domain")
    virtual_account = Column("Virtual Account", accessor="virtual_account__name")
    quantity = NumberColumn("Came with")
    remaining = NumberColumn("Left")
    license_type = Column("Type")
    start = WhenColumn("Starts")
    end = WhenColumn("Ends")
    state = BadgeColumn("Status", empty_values=(), orderable=False)
    source = Column("Source")
    order = Column("Order", accessor="order__order_ref", default="")
    subscription_id = Column("Subscription")
    created_at = WhenColumn("Recorded")
    actions = ActionsColumn("portal/operator_line_actions.html")

    class Meta:
        order_by = "-created_at"

    def __init__(self, data: Any, *, now: datetime, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now = now

    def render_license_type(self, record: PurchaseLine) -> str:
        return LicenseType(record.license_type).label

    def render_source(self, record: PurchaseLine) -> str:
        return LineSource(record.source).label

    def render_state(self, record: PurchaseLine, column: BadgeColumn) -> SafeString:
        return column.render(record.state_at(self.now))

    def value_state(self, record: PurchaseLine) -> str:
        return record.state_at(self.now).badge.label


class CheckTable(Table):
    key = "pool-checks"
    caption = "Checks of all figures"
    fixed = ("at",)
    empty_title = "No check has run yet"
    empty_hint = "Each night every figure is compared with the records it follows from."

    at = WhenColumn("When")
    result = BadgeColumn("Result", empty_values=(), order_by="difference_count")
    pools = NumberColumn("Pools compared")
    milliseconds = NumberColumn("Milliseconds")

    class Meta:
        order_by = "-at"

    def render_result(self, record: PoolCheck, column: BadgeColumn) -> SafeString:
        return column.render(describe_result(record))

    def value_result(self, record: PoolCheck) -> str:
        return describe_result(record).label


def describe_result(check: PoolCheck) -> Badge:
    if check.difference_count:
        return Badge(f"{check.difference_count} differences", Tone.BAD)
    return Badge(mark("All figures hold"), Tone.OK)
