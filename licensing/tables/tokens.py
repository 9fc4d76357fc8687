"""The table of ID tokens."""

from datetime import datetime
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from cssm.common.tables import ActionsColumn, BadgeColumn, Column, Table, WhenColumn
from cssm.common.templatetags.portal import number
from licensing.models import IdToken


class IdTokenTable(Table):
    """`now` decides what a token can still do; `va_url` leads to its dialogs."""

    key = "tokens"
    caption = "Product instance registration tokens"
    fixed = ("description",)
    hidden = ("created_at",)
    empty_title = "No registration tokens yet"
    empty_hint = "A token lets products register into this Virtual Account. Create one, then enter it on the product."

    description = Column(empty_values=())
    state = BadgeColumn(verbose_name="Status", empty_values=(), orderable=False)
    expires_at = WhenColumn(verbose_name="Expires")
    uses = Column(verbose_name="Uses", empty_values=())
    export_controlled_allowed = Column(verbose_name="Export-controlled")
    created_by_label = Column(verbose_name="Created by")
    created_at = WhenColumn(verbose_name="Created")
    actions = ActionsColumn("licensing/_token_actions.html")

    class Meta:
        order_by = "-created_at"

    def __init__(self, data: Any, *, now: datetime, va_url: str, may_manage: bool, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now, self.va_url, self.may_manage = now, va_url, may_manage
        if not may_manage:
            self.columns.hide("actions")

    def render_description(self, record: IdToken) -> str | SafeString:
        return record.description or format_html('<span class="muted">{}</span>', "no description")

    def value_description(self, record: IdToken) -> str:
        return record.description

    def render_state(self, record: IdToken, column: BadgeColumn) -> SafeString:
        return column.render(record.state_at(self.now))

    def value_state(self, record: IdToken) -> str:
        return record.state_at(self.now).badge.label

    def render_uses(self, record: IdToken) -> str:
        return "unlimited" if record.max_uses is None else f"{number(record.uses)} of {number(record.max_uses)}"

    def value_uses(self, record: IdToken) -> str:
        return "unlimited" if record.max_uses is None else f"{record.uses} of {record.max_uses}"

    def render_export_controlled_allowed(self, value: bool) -> str:
        return "Allowed" if value else "Not allowed"
