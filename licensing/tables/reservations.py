"""The table of all reservations of an account: the reservation board."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from licensing.models import Reservation
from licensing.services.reservations.waiting import Waiting, waiting_of
from licensing.states import ReservationKind, ReservationState


class ReservationTable(Table):
    key = "reservations"
    caption = "Reservations"
    fixed = ("product",)
    hidden = ("udi_pid", "udi_serial_number", "software_tag", "piid", "kind", "created_at", "state_since", "ended_at")
    empty_title = "No reservations"
    empty_hint = (
        "Products without a connection get their licenses by reservation: the Licenses tab of a Virtual Account has a"
        " button “License reservation”."
    )

    product = Column(accessor="udi", verbose_name="Product")
    udi_pid = Column(accessor="instance__udi_pid", verbose_name="Product ID")
    udi_serial_number = Column(accessor="instance__udi_serial_number", verbose_name="Serial number")
    software_tag = CodeColumn(accessor="instance__software_tag", verbose_name="Software tag")
    piid = CodeColumn(accessor="instance__piid", verbose_name="Instance ID")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    kind = Column(verbose_name="Kind")
    state = BadgeColumn(verbose_name="State")
    waits_for = BadgeColumn(verbose_name="Waits for", empty_values=())
    waits_since = WhenColumn(verbose_name="Since")
    quantity = NumberColumn(verbose_name="Reserved")
    licenses = Column(
        accessor="held", orderable=False, empty_values=(), verbose_name="Licenses", attrs={"td": {"class": "name"}}
    )
    created_at = WhenColumn(verbose_name="Reserved at")
    state_since = WhenColumn(verbose_name="State since")
    ended_at = WhenColumn(verbose_name="Ended")

    class Meta:
        order_by = ("-waits_since", "product")

    def __init__(self, data: Any, *, account_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url = account_url

    def get_row_label(self, record: Reservation) -> str:
        return record.udi

    def render_product(self, record: Reservation, value: str) -> SafeString:
        place = quote(record.virtual_account.name, safe="")
        url = f"{self.account_url}inventory/{place}/{record.path}"
        return format_html('<a href="{}">{}</a>', url, value)

    def value_product(self, value: str) -> str:
        return value

    def render_kind(self, record: Reservation) -> str:
        return gettext(ReservationKind(record.kind).label)

    def render_state(self, record: Reservation, column: BadgeColumn) -> SafeString:
        return column.render(ReservationState(record.state))

    def value_state(self, record: Reservation) -> str:
        return gettext(ReservationState(record.state).label)

    def render_waits_for(self, record: Reservation, column: BadgeColumn) -> SafeString | str:
        waiting = waiting_of(record)
        return "–" if waiting is Waiting.NOTHING else column.render(waiting)

    def value_waits_for(self, record: Reservation) -> str:
        waiting = waiting_of(record)
        return "" if waiting is Waiting.NOTHING else gettext(waiting.badge.label)

    def render_licenses(self, record: Any) -> str:
        return self.value_licenses(record) or "–"

    def value_licenses(self, record: Any) -> str:
        if record.kind == ReservationKind.UNIVERSAL and not record.held:
            return gettext("everything")
        sums: dict[str, int] = {}
        for hold in record.held:
            sums[hold.license.display_name] = sums.get(hold.license.display_name, 0) + hold.quantity
        return ", ".join(f"{quantity} {name}" for name, quantity in sums.items())
