"""The table of Virtual Accounts."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import VirtualAccount
from accounts.tables import TagsColumn
from cssm.common.tables import BadgeColumn, Column, NumberColumn, Table
from cssm.common.text import Badge
from licensing.states import Compliance


class VirtualAccountTable(Table):
    key = "virtual-accounts"
    caption = "Virtual Accounts"
    fixed = ("name",)
    empty_title = "No Virtual Account that you may see"
    empty_hint = "Ask an administrator of the Smart Account for access."

    name = Column(verbose_name="Virtual Account")
    description = Column(default="")
    tags = TagsColumn()
    short_count = BadgeColumn(verbose_name="Compliance")
    license_count = NumberColumn(verbose_name="Licenses")
    instance_count = NumberColumn(verbose_name="Product Instances")

    def __init__(self, data: Any, *, account_url: str, may_tag: bool, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url, self.may_tag = account_url, may_tag

    def get_tags_url(self, record: VirtualAccount) -> str:
        return f"{self.account_url}inventory/{quote(record.name, safe='')}/tags/" if self.may_tag else ""

    def render_name(self, record: VirtualAccount) -> SafeString:
        url = f"{self.account_url}inventory/{quote(record.name, safe='')}/general/"
        default = SafeString(' <span class="muted">default</span>') if record.is_default else ""
        return format_html('<a href="{}">{}</a>{}', url, record.name, default)

    def value_name(self, record: VirtualAccount) -> str:
        return record.name

    def render_short_count(self, value: int, column: BadgeColumn) -> SafeString:
        return column.render(_compliance(value))

    def value_short_count(self, value: int) -> str:
        return _compliance(value).label


def _compliance(short_count: int) -> Badge:
    return (Compliance.OUT_OF_COMPLIANCE if short_count else Compliance.AUTHORIZED).badge
