"""The table of product instances that seem to claim licenses twice."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from cssm.common.tables import Column, NumberColumn, Table, WhenColumn
from licensing.models import DuplicateFinding, ProductInstance
from licensing.services.devices.origins import DIRECT
from licensing.states import DuplicateKind, DuplicateReason


class DuplicateTable(Table):
    """`actor` decides what is told of the other instance, which may be in a Virtual Account they do not see."""

    key = "duplicates"
    caption = "Duplicate licenses"
    fixed = ("product",)
    hidden = ("udi", "reports", "found_at")
    empty_title = "No duplicates"
    empty_hint = (
        "Products that are registered twice, were probably replaced without being deregistered, or name"
        " high-availability peers whose licenses count all the same are listed here."
    )

    product = Column(accessor="instance__udi", order_by=("instance__hostname", "instance__udi"), verbose_name="Product")
    udi = Column(accessor="instance__udi", verbose_name="UDI")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    kind = Column(verbose_name="Kind")
    why = Column(accessor="reason", verbose_name="Why", attrs={"td": {"class": "name"}})
    other = Column(empty_values=(), orderable=False, verbose_name="The other instance")
    units = NumberColumn(verbose_name="Licenses used")
    last_contact = WhenColumn(accessor="instance__contact__last_contact_at", verbose_name="Last contact", default="–")
    reports = Column(accessor="instance__origin__name", verbose_name="Reports")
    found_at = WhenColumn(verbose_name="Found")

    class Meta:
        order_by = ("virtual_account", "product")

    def __init__(self, data: Any, *, actor: Actor, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.actor, self.account_url = actor, account_url

    def get_row_label(self, record: DuplicateFinding) -> str:
        return f"{name_of(record.instance)}, {DuplicateKind(record.kind).label}"

    def render_product(self, record: DuplicateFinding) -> SafeString:
        return self._link(record.instance)

    def value_product(self, record: DuplicateFinding) -> str:
        return name_of(record.instance)

    def render_kind(self, record: DuplicateFinding) -> str:
        return gettext(DuplicateKind(record.kind).label)

    def render_why(self, record: DuplicateFinding) -> str:
        return gettext(DuplicateReason(record.reason).explanation)

    def render_other(self, record: DuplicateFinding) -> SafeString | str:
        other = record.other
        if other is None:
            return "–"
        if not self._may_see(other):
            return "an instance in a Virtual Account that you do not see"
        return format_html(
            '{} <span class="muted">in {}, {}</span>',
            self._link(other),
            other.virtual_account.name,
            describe_origin(other.origin.name),
        )

    def value_other(self, record: DuplicateFinding) -> str:
        other = record.other
        if other is None:
            return ""
        return f"{name_of(other)} ({other.virtual_account.name})" if self._may_see(other) else "not visible to you"

    def render_reports(self, value: str) -> str:
        return describe_origin(value)

    def _link(self, instance: ProductInstance) -> SafeString:
        return format_html(
            '<a href="{}inventory/{}/instances/{}/" data-dialog>{}</a>',
            self.account_url,
            quote(instance.virtual_account.name, safe=""),
            instance.piid,
            name_of(instance),
        )

    def _may_see(self, instance: ProductInstance) -> bool:
        return self.actor.may(
            Permission.VIEW,
            smart_account_id=instance.smart_account_id,
            virtual_account_id=instance.virtual_account_id,
        )


def name_of(instance: ProductInstance) -> str:
    """What people call it, never without what identifies it."""
    return f"{instance.hostname} ({instance.udi})" if instance.hostname else instance.udi


def describe_origin(name: str) -> str:
    return gettext("directly") if name == DIRECT else gettext("through an on-prem server")
