"""The table of an account's conversions: its history of what became of classic licenses."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from licensing.models import Conversion
from licensing.states.conversions import ConversionSource, ConversionState


class ConversionTable(Table):
    key = "conversions"
    caption = "Conversions"
    fixed = ("udi",)
    hidden = ("udi_pid", "udi_serial_number", "software_tag", "quantity", "finished_at", "reason_code")
    empty_title = "Nothing converted yet"
    empty_hint = (
        "A product converts its classic licenses by itself once it runs software that knows Smart Licensing; for others"
        " enter them here, or over the API."
    )

    requested_at = WhenColumn(verbose_name="When")
    udi = Column(verbose_name="Product")
    udi_pid = Column(verbose_name="Product ID")
    udi_serial_number = Column(verbose_name="Serial number")
    software_tag = CodeColumn(verbose_name="Software tag")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    source = Column(verbose_name="Asked by")
    lines = Column(
        accessor="pk", orderable=False, empty_values=(), verbose_name="Licenses", attrs={"td": {"class": "name"}}
    )
    quantity = NumberColumn(verbose_name="Quantity")
    state = BadgeColumn(verbose_name="Result")
    reason = Column(orderable=False, default="–", verbose_name="Reason", attrs={"td": {"class": "name"}})
    reason_code = CodeColumn(verbose_name="Reason code")
    finished_at = WhenColumn(verbose_name="Finished")

    class Meta:
        order_by = "-requested_at"

    def __init__(self, data: Any, *, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url = account_url

    def render_udi(self, record: Conversion, value: str) -> SafeString | str:
        """A way to the product, where it is registered and the reader may see it."""
        piid, place = getattr(record, "instance_piid", None), getattr(record, "instance_place", "")
        if piid is None:
            return value
        url = f"{self.account_url}inventory/{quote(place, safe='')}/instances/{piid}/"
        return format_html('<a href="{}" data-dialog>{}</a>', url, value)

    def value_udi(self, value: str) -> str:
        return value

    def render_source(self, record: Conversion) -> str:
        return gettext(ConversionSource(record.source).label)

    def render_state(self, record: Conversion, column: BadgeColumn) -> SafeString:
        return column.render(ConversionState(record.state))

    def value_state(self, record: Conversion) -> str:
        return gettext(ConversionState(record.state).label)

    def render_lines(self, record: Conversion) -> str:
        return self.value_lines(record) or "–"

    def value_lines(self, record: Conversion) -> str:
        lines = sorted(record.lines.all(), key=lambda line: line.number)
        named = [f"{line.quantity} {line.license.display_name if line.license else line.tag}" for line in lines[:20]]
        return ", ".join(named) + (f" and {len(lines) - 20} more" if len(lines) > 20 else "")
