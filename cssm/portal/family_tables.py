"""The table of license families in the operator area."""

from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cssm.common.tables import Column, NumberColumn, Table, WhenColumn
from licensing.models import LicenseFamily
from licensing.services.catalog.family_trees import Node, grow_tree


class FamilyTable(Table):
    key = "families"
    caption = "License families"
    fixed = ("name",)
    empty_title = "No license has a next higher one yet"
    empty_hint = "Find a license by its name or tag, and set the license that stands in for it."

    name = Column("Family", linkify=lambda record: f"/operator/families/{record.pk}/")
    tree = Column("Licenses, higher ones first", accessor="pk", orderable=False)
    license_count = NumberColumn("Licenses in all")
    version = NumberColumn("Version", default="–")
    since = WhenColumn("Since", default="–")

    class Meta:
        order_by = "name"

    def render_tree(self, record: LicenseFamily) -> SafeString:
        return draw_tree(grow_tree(record.licenses.all()))

    def value_tree(self, record: LicenseFamily) -> str:
        return ", ".join(
            f"{license.display_name} < {license.higher.display_name}" if license.higher else license.display_name
            for license in record.licenses.all()
        )


def draw_tree(nodes: Any) -> SafeString:
    return format_html('<ul class="tree">{}</ul>', format_html_join("", "<li>{}</li>", ((_draw(n),) for n in nodes)))


def _draw(node: Node) -> SafeString:
    lower = draw_tree(node.lower) if node.lower else ""
    return format_html("{}{}", node.license.display_name, lower)
