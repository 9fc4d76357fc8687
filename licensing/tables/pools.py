"""The table of licenses of one Virtual Account."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.tables import TagsColumn
from cssm.common.tables import ActionsColumn, BadgeColumn, CodeColumn, Column, NumberColumn, Table
from cssm.common.templatetags.portal import number
from licensing.models import Pool
from licensing.states import Compliance


class PoolTable(Table):
    key = "licenses"
    caption = "Licenses"
    fixed = ("license",)
    hidden = ("tag", "billing")
    empty_title = "No licenses in this Virtual Account"
    empty_hint = "Licenses appear here when an order is delivered, or when a product reports that it uses one."

    license = Column(accessor="license__display_name", verbose_name="License", attrs={"td": {"class": "name"}})
    tag = CodeColumn(accessor="license__tag", verbose_name="Entitlement tag")
    tags = TagsColumn()
    billing = Column(accessor="license__billing", verbose_name="Billing")
    purchased = NumberColumn(accessor="now_purchased", verbose_name="Purchased")
    in_use = NumberColumn(accessor="now_in_use", verbose_name="In use")
    reserved = NumberColumn(accessor="now_reserved", verbose_name="Reserved")
    borrowed = NumberColumn(accessor="now_borrowed", verbose_name="Borrowed")
    lent = NumberColumn(accessor="now_lent", verbose_name="Lent")
    balance = NumberColumn(accessor="now_balance", verbose_name="Balance")
    status = BadgeColumn(accessor="now_status", verbose_name="Compliance")
    actions = ActionsColumn("licensing/_pool_actions.html")

    class Meta:
        order_by = ("-status", "license")

    def __init__(self, data: Any, *, va_url: str, may_manage: bool, has_reserved: bool = False, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.va_url, self.may_manage = va_url, may_manage
        if has_reserved:
            self.columns.show("reserved")
        if not may_manage:
            self.columns.hide("actions")

    def get_row_label(self, record: Pool) -> str:
        return record.license.display_name

    def get_tags_url(self, record: Pool) -> str:
        return f"{self.va_url}licenses/{record.pk}/tags/" if self.may_manage else ""

    def render_license(self, record: Pool, value: str) -> SafeString:
        link = format_html('<a href="{}licenses/{}/" data-dialog>{}</a>', self.va_url, record.pk, value)
        return format_html('{} <small class="muted">{}</small>', link, _loan_mark(record)) if _lends(record) else link

    def value_license(self, value: str) -> str:
        return value

    def render_billing(self, value: str) -> str:
        return value.capitalize()

    def render_balance(self, value: int, column: NumberColumn) -> str | SafeString:
        shown = column.render(value)
        return format_html('<strong class="text-bad">{}</strong>', shown) if value < 0 else shown

    def value_balance(self, value: int) -> int:
        return value

    def render_status(self, record: Pool, value: str, column: BadgeColumn) -> SafeString:
        shown = column.render(Compliance(value))
        if Compliance(value) is Compliance.AUTHORIZED:
            return shown
        return format_html('{} <a href="{}licenses/{}/explain/">Why?</a>', shown, self.va_url, record.pk)

    def value_status(self, value: str) -> str:
        return Compliance(value).label


def _lends(pool: Pool) -> bool:
    return bool(pool.now_borrowed or pool.now_lent)


def _loan_mark(pool: Pool) -> str:
    """That other licenses stand in for it, or it for others; who does is told in the dialog."""
    parts = [("borrows", pool.now_borrowed), ("lends", pool.now_lent)]
    return ", ".join(f"{verb} {number(quantity)}" for verb, quantity in parts if quantity)
