"""The table of an account's tags."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import AccountTag
from cssm.common.tables import ActionsColumn, Column, NumberColumn, Table, WhenColumn


class AccountTagTable(Table):
    """`search_url` leads from a word to what has it; only with `may_manage` are there actions."""

    key = "tags"
    caption = "Tags of this Smart Account"
    fixed = ("name",)
    empty_title = "No tags yet"
    empty_hint = "Tags are words of your own on Virtual Accounts, licenses and product instances, to find them again."

    name = Column(verbose_name="Tag")
    virtual_account_uses = NumberColumn(verbose_name="Virtual Accounts")
    license_uses = NumberColumn(verbose_name="Licenses")
    instance_uses = NumberColumn(verbose_name="Product Instances")
    created_at = WhenColumn(verbose_name="Created")
    actions = ActionsColumn("licensing/_tag_actions.html")

    class Meta:
        order_by = "name"

    def __init__(self, data: Any, *, search_url: str, may_manage: bool, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.search_url = search_url
        if not may_manage:
            self.columns.hide("actions")

    def render_name(self, record: AccountTag) -> SafeString:
        return format_html(
            '<a class="tag" href="{}?q={}">{}</a>', self.search_url, quote(record.name, safe=""), record.name
        )

    def value_name(self, record: AccountTag) -> str:
        return record.name
