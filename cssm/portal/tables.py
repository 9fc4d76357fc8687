"""Tables of the operator area."""

from typing import Any

from accounts.states import RequestStatus
from cssm.common.tables import ActionsColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import badge


class SwitchColumn(Column):
    """on or off."""

    def render(self, value: bool) -> str:
        return "on" if value else "off"


class AccountTable(Table):
    key = "accounts"
    caption = "Smart Accounts"
    fixed = ("name",)
    hidden = ("account_type", "status")
    empty_title = "No Smart Accounts yet"
    empty_hint = "People ask for one in the portal; you approve the request here."

    name = Column("Name", linkify=lambda record: f"/accounts/{record.domain}/")
    domain = Column("Domain")
    account_type = Column("Type")
    status = Column("Status")
    virtual_accounts = NumberColumn("Virtual Accounts", accessor="virtual_account_count")
    slr_enabled = SwitchColumn("SLR")
    plr_enabled = SwitchColumn("PLR")
    export_status = Column("Export")
    created_at = WhenColumn("Created")
    actions = ActionsColumn("portal/operator_account_actions.html")

    class Meta:
        order_by = "name"


class RequestTable(Table):
    key = "account-requests"
    caption = "Requests for new Smart Accounts"
    fixed = ("domain",)
    empty_title = "Nobody asked for a new Smart Account"

    domain = Column("Domain")
    name = Column("Name")
    requester = Column("Requested by", accessor="requester__email")
    note = Column("Note", orderable=False)
    created_at = WhenColumn("Requested")
    status = Column("Status")
    reason = Column("Reason", orderable=False)
    actions = ActionsColumn("portal/operator_request_actions.html")

    class Meta:
        order_by = ("-status", "-created_at")

    def render_status(self, record: Any) -> Any:
        return badge(RequestStatus(record.status))

    def value_status(self, record: Any) -> str:
        return RequestStatus(record.status).badge.label
