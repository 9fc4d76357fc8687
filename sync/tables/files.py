"""The tables of files: what came, and what one of them changes."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.text import Badge, Tone
from licensing.states import Compliance
from sync.models import Exchange
from sync.services.changes import ChangedRow
from sync.states import ExchangeKind, ExchangeState


class ExchangeTable(Table):
    """Files of all servers of an account, newest first."""

    key = "exchanges"
    caption = "Files"
    fixed = ("file", "server")
    hidden = ("size", "finished_at")
    empty_title = "No files yet"
    empty_hint = "Drop the files that your on-prem servers wrote above; what becomes of each is listed here."

    file = Column(accessor="pk", order_by="pk", verbose_name="File")
    server = Column(accessor="server__name", verbose_name="On-prem server")
    virtual_account = Column(accessor="server__virtual_account__name", verbose_name="Virtual Account")
    state = BadgeColumn(verbose_name="Status")
    created_at = WhenColumn(verbose_name="Uploaded")
    finished_at = WhenColumn(verbose_name="Finished")
    size = NumberColumn(verbose_name="Bytes")

    class Meta:
        order_by = "-file"

    def __init__(self, data: Any, *, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url = account_url

    def render_file(self, record: Exchange) -> SafeString:
        url = f"{self.account_url}onprem/{record.server.uuid}/exchanges/{record.pk}/"
        return format_html('<a href="{}">{}</a>', url, self.value_file(record))

    def value_file(self, record: Exchange) -> str:
        compared = " (only compared)" if record.is_dry_run else ""
        return f"{ExchangeKind(record.kind).label} {record.pk}{compared}"

    def render_server(self, record: Exchange) -> SafeString:
        url = f"{self.account_url}onprem/{record.server.uuid}/"
        return format_html('<a href="{}">{}</a>', url, record.server.name)

    def value_server(self, record: Exchange) -> str:
        return record.server.name

    def render_state(self, record: Exchange, column: BadgeColumn) -> SafeString:
        return column.render(ExchangeState(record.state))

    def value_state(self, record: Exchange) -> str:
        return ExchangeState(record.state).label


class ChangedInstanceTable(Table):
    """The product instances that one file changes; the rows are read from its list as they are needed."""

    key = "exchange-instances"
    caption = "Product instances that the file changes"
    fixed = ("name", "change")
    empty_title = "The file changes no product instance"

    name = Column(verbose_name="Product instance", orderable=False)
    change = BadgeColumn(verbose_name="Change", orderable=False)
    virtual_account = Column(verbose_name="Virtual Account", orderable=False)
    note = Column(verbose_name="Use, or why it does not count", orderable=False)
    id = CodeColumn(verbose_name="ID on the server", orderable=False)

    def value_change(self, record: ChangedRow) -> str:
        return record.change.label


class LicenseDifferenceTable(Table):
    """Use of each license before and after, from the difference that was kept with the exchange."""

    key = "exchange-licenses"
    caption = "Licenses whose use changes"
    fixed = ("license", "virtual_account")
    hidden = ("entitlementTag",)
    empty_title = "The file changes the use of no license"

    license = Column()
    virtual_account = Column(accessor="virtualAccount", verbose_name="Virtual Account")
    entitlementTag = CodeColumn(verbose_name="Entitlement tag")
    in_use_before = NumberColumn(accessor="inUseBefore", verbose_name="In use before")
    in_use = NumberColumn(accessor="inUse", verbose_name="In use after")
    quantity = NumberColumn(verbose_name="Purchased")
    available = NumberColumn(verbose_name="Balance after")
    status = BadgeColumn(verbose_name="Compliance after")

    class Meta:
        order_by = ("virtual_account", "license")

    def render_status(self, value: str, column: BadgeColumn) -> SafeString:
        return column.render(badge_of_compliance(value))

    def value_status(self, value: str) -> str:
        return value


def badge_of_compliance(label: str) -> Badge:
    """The badge of a compliance that was kept by its label."""
    return next((state.badge for state in Compliance if state.label == label), Badge(label, Tone.MUTED))
