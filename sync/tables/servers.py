"""The tables of on-prem servers: those of an account, the operator's, and one server's product instances."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from cssm.common.tables import ActionsColumn, BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import when
from licensing.models import ProductInstance
from licensing.states import InstanceState
from pki.states import RootRequestState
from sync.models import OnPremServer
from sync.states import ServerHealth

HOURS_UP_TO: Final = 72


class ServerTable(Table):
    key = "onprem-servers"
    caption = "On-Prem Accounts"
    fixed = ("name",)
    hidden: ClassVar[tuple[str, ...]] = (
        "removal_due_at",
        "uuid",
        "ssms_version",
        "registered_at",
        "three_tier",
        "three_tier_due_at",
    )
    empty_title = "No on-prem license servers"
    empty_hint = (
        "An on-prem license server manages products that may not connect to the outside. Let it write a registration"
        " file, and register it here with “New On-Prem”."
    )

    name = Column(verbose_name="Name", linkify=lambda record: record.path)
    status = BadgeColumn(accessor="health", verbose_name="Status")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    last_sync_at = WhenColumn(verbose_name="Last synchronization", default="never")
    next_due = Column(accessor="heard", verbose_name="Next deadline")
    removal_due_at = WhenColumn(verbose_name="Removed unless synchronized", orderable=False)
    licenses = NumberColumn(accessor="license_units", verbose_name="Licenses used")
    devices = NumberColumn(accessor="device_count", verbose_name="Devices")
    three_tier = Column(accessor="three_tier__state", verbose_name="3-tier certificate", default="–")
    three_tier_due_at = WhenColumn(accessor="three_tier__due_at", verbose_name="3-tier certificate due")
    ssms_version = Column(verbose_name="Version")
    registered_at = WhenColumn(verbose_name="Registered")
    uuid = CodeColumn(verbose_name="UUID")

    class Meta:
        order_by = "name"

    def __init__(self, data: Any, *, now: datetime, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now = now

    def render_status(self, value: str, column: BadgeColumn) -> SafeString:
        return column.render(ServerHealth(value))

    def value_status(self, value: str) -> str:
        return gettext(ServerHealth(value).label)

    def render_next_due(self, record: OnPremServer) -> SafeString | str:
        deadline = record.deadline_at(self.now)
        return format_html("{} {}", gettext(deadline.label), count_down(deadline.at, self.now)) if deadline else "–"

    def value_next_due(self, record: OnPremServer) -> str:
        deadline = record.deadline_at(self.now)
        return f"{gettext(deadline.label)} {deadline.at:%Y-%m-%d %H:%M}" if deadline else ""

    def render_removal_due_at(self, record: OnPremServer, column: WhenColumn) -> SafeString | str:
        return "–" if record.removed_at else column.render(record.removal_due_at)

    def value_removal_due_at(self, record: OnPremServer) -> datetime | None:
        return None if record.removed_at else record.removal_due_at

    def render_three_tier(self, record: OnPremServer) -> str:
        return gettext(RootRequestState(record.three_tier.state).label) if record.three_tier else "–"

    def render_three_tier_due_at(self, record: OnPremServer) -> SafeString | str:
        waiting = record.three_tier
        if waiting is None or waiting.state != RootRequestState.WAITING:
            return "–"
        return count_down(waiting.due_at, self.now)


class OperatorServerTable(ServerTable):
    """Of all accounts, with what is to be decided about their 3-tier certificates."""

    hidden = ("virtual_account", "ssms_version", "uuid", "next_due", "removal_due_at", "licenses", "devices")
    empty_hint = "Customers register them in the portal."

    smart_account = Column(accessor="smart_account__domain", verbose_name="Smart Account")
    actions = ActionsColumn("portal/operator_onprem_actions.html")

    class Meta:
        order_by = "three_tier_due_at"
        sequence = ("name", "smart_account", "status", "three_tier", "three_tier_due_at", "...")


class ServerInstanceTable(Table):
    """What one server has, in those Virtual Accounts that the person may see."""

    key = "onprem-instances"
    caption = "Product instances of this server"
    fixed = ("name",)
    hidden = ("software_tag", "piid", "external_id", "registered_at", "ip_address", "mac_address")
    empty_title = "No product instances"
    empty_hint = "They appear with the next synchronization after a product has registered to the server."

    name = Column(accessor="udi", order_by=("hostname", "udi"), verbose_name="Name")
    udi_pid = Column(verbose_name="Product ID")
    udi_serial_number = Column(verbose_name="Serial number")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    state = BadgeColumn(verbose_name="Registration")
    license_units = NumberColumn(verbose_name="Licenses used")
    is_counted = Column(verbose_name="Counted")
    software_tag = CodeColumn(verbose_name="Software tag")
    ip_address = Column(verbose_name="IP address")
    mac_address = Column(verbose_name="MAC address")
    external_id = CodeColumn(verbose_name="ID on the server")
    piid = CodeColumn(verbose_name="Instance ID")
    registered_at = WhenColumn(verbose_name="Registered")

    class Meta:
        order_by = "name"

    def __init__(self, data: Any, *, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url = account_url

    def render_name(self, record: ProductInstance) -> SafeString:
        place = quote(record.virtual_account.name, safe="")
        url = f"{self.account_url}inventory/{place}/instances/{record.piid}/"
        return format_html('<a href="{}" data-dialog>{}</a>', url, record.hostname or record.udi)

    def value_name(self, record: ProductInstance) -> str:
        return record.hostname or record.udi

    def render_state(self, record: ProductInstance, column: BadgeColumn) -> SafeString:
        return column.render(InstanceState(record.state))

    def value_state(self, record: ProductInstance) -> str:
        return gettext(InstanceState(record.state).badge.label)

    def render_is_counted(self, value: bool) -> str:
        return gettext("yes") if value else gettext("no: it counts elsewhere")


def count_down(moment: datetime, now: datetime) -> SafeString:
    """What is left until then, such as "in 47 hours" or, from three days on, "in 12 days"; exact on pointing."""
    hours = int((moment - now).total_seconds() // 3600)
    if hours < 1:
        return when(moment)
    left = (
        gettext("in %d days") % (hours // 24)
        if hours >= HOURS_UP_TO
        else ngettext("in %d hour", "in %d hours", hours) % hours
    )
    exact = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        f"{exact:%Y-%m-%dT%H:%M:%SZ}",
        f"{exact:%Y-%m-%d %H:%M}",
        left,
    )
