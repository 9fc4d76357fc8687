"""The table of product instances of one Virtual Account."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.tables import TagsColumn
from cssm.common.tables import ActionsColumn, BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from licensing.models import ProductInstance
from licensing.services.devices.origins import Reporter
from licensing.states import InstanceState


class InstanceTable(Table):
    key = "instances"
    caption = "Product instances"
    fixed = ("name",)
    hidden = ("piid", "software_tag", "registered_at", "reserved_units", "reports")
    empty_title = "No product instances"
    row_key = "piid"
    empty_hint = "Register a product with a token of this Virtual Account; it appears here at once."

    name = Column(accessor="udi", order_by=("hostname", "udi"), verbose_name="Name")
    udi_pid = Column(verbose_name="Product ID")
    udi_serial_number = Column(verbose_name="Serial number")
    tags = TagsColumn()
    software_tag = CodeColumn(verbose_name="Software tag")
    piid = CodeColumn(verbose_name="Instance ID")
    state = BadgeColumn(verbose_name="Registration")
    license_units = NumberColumn(verbose_name="Licenses used")
    reserved_units = NumberColumn(verbose_name="Reserved")
    last_contact_at = WhenColumn(accessor="contact__last_contact_at", verbose_name="Last contact")
    registered_at = WhenColumn(verbose_name="Registered")
    reports = Column(accessor="origin_id", verbose_name="Reports")
    actions = ActionsColumn("licensing/_instance_actions.html")

    class Meta:
        order_by = "name"

    def __init__(
        self,
        data: Any,
        *,
        va_url: str,
        may_manage: bool,
        find_reporters: Callable[[], Mapping[int, Reporter]],
        has_reserved: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, **kwargs)
        self.va_url, self.may_manage, self._find_reporters = va_url, may_manage, find_reporters
        if has_reserved:
            self.columns.show("reserved_units")
        if not may_manage:
            self.columns.hide("actions")

    @cached_property
    def reporters(self) -> Mapping[int, Reporter]:
        return self._find_reporters()

    def get_row_label(self, record: ProductInstance) -> str:
        return record.hostname or record.udi

    def get_tags_url(self, record: ProductInstance) -> str:
        return f"{self.va_url}instances/{record.piid}/tags/" if self.may_manage else ""

    def render_name(self, record: ProductInstance) -> SafeString:
        return format_html(
            '<a href="{}instances/{}/" data-dialog>{}</a>', self.va_url, record.piid, record.hostname or record.udi
        )

    def value_name(self, record: ProductInstance) -> str:
        return record.hostname or record.udi

    def render_state(self, record: ProductInstance, column: BadgeColumn) -> SafeString:
        return column.render(InstanceState(record.state))

    def value_state(self, record: ProductInstance) -> str:
        return InstanceState(record.state).badge.label

    def render_reports(self, record: ProductInstance) -> SafeString | str:
        if record.is_direct:
            return gettext("directly")
        return format_html("{} {}", gettext("through"), show_reporter(self.reporters.get(record.origin_id)))

    def value_reports(self, record: ProductInstance) -> str:
        if record.is_direct:
            return gettext("directly")
        reporter = self.reporters.get(record.origin_id)
        return reporter.name if reporter else gettext("an on-prem server")


def show_reporter(reporter: Reporter | None) -> SafeString | str:
    """The name of an on-prem server, and the way to its page for whoever may see that."""
    if reporter is None:
        return gettext("an on-prem server")
    return format_html('<a href="{}">{}</a>', reporter.path, reporter.name) if reporter.path else reporter.name
