"""The tables of reservations: the board of all of an account, and the report of what they hold."""

from typing import Any
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from licensing.models import Hold, Reservation
from licensing.services.reservations.waiting import Waiting, waiting_of
from licensing.states import LicenseType, ReservationKind, ReservationState
from licensing.tables.reports import ReportTable


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
        return format_html('<a href="{}">{}</a>', url_of(self.account_url, record), value)

    def value_product(self, value: str) -> str:
        return value

    def render_kind(self, record: Reservation) -> str:
        return kind_of(record)

    def render_state(self, record: Reservation, column: BadgeColumn) -> SafeString:
        return column.render(ReservationState(record.state))

    def value_state(self, record: Reservation) -> str:
        return gettext(ReservationState(record.state).label)

    def render_waits_for(self, record: Reservation, column: BadgeColumn) -> SafeString | str:
        return show_waiting(record, column)

    def value_waits_for(self, record: Reservation) -> str:
        return name_waiting(record)

    def render_licenses(self, record: Any) -> str:
        return self.value_licenses(record) or "–"

    def value_licenses(self, record: Any) -> str:
        if record.kind == ReservationKind.UNIVERSAL and not record.held:
            return gettext("everything")
        sums: dict[str, int] = {}
        for hold in record.held:
            sums[hold.license.display_name] = sums.get(hold.license.display_name, 0) + hold.quantity
        return ", ".join(f"{quantity} {name}" for name, quantity in sums.items())


class ReservedReport(ReportTable):
    """Of the `Hold`s that `read_reserved` gives."""

    key = "report-reserved"
    caption = "Reserved licenses"
    fixed = ("virtual_account", "product")
    hidden = (
        "product_id", "serial_number", "software_tag", "instance_id", "kind", "entitlement_tag", "start", "since",
        "reserved_at",
    )  # fmt: skip
    empty_hint = "What is reserved for products without a connection appears here, and export authorization keys."

    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    product = Column(accessor="reservation__udi", verbose_name="Product")
    product_id = Column(accessor="reservation__instance__udi_pid", verbose_name="Product ID")
    serial_number = Column(accessor="reservation__instance__udi_serial_number", verbose_name="Serial number")
    software_tag = CodeColumn(accessor="reservation__instance__software_tag", verbose_name="Software tag")
    instance_id = CodeColumn(accessor="reservation__instance__piid", verbose_name="Instance ID")
    license = Column(accessor="license__display_name", verbose_name="License", attrs={"td": {"class": "name"}})
    entitlement_tag = CodeColumn(accessor="license__tag", verbose_name="Entitlement tag")
    quantity = NumberColumn(verbose_name="Reserved")
    license_type = Column(accessor="line__license_type", verbose_name="Type", default="–")
    start = WhenColumn(accessor="line__start", verbose_name="Start")
    end = WhenColumn(accessor="line__end", verbose_name="End", default="never")
    subscription_id = Column(accessor="line__subscription_id", verbose_name="Subscription", default="–")
    kind = Column(accessor="reservation__kind", verbose_name="Kind")
    state = BadgeColumn(accessor="reservation__state", verbose_name="State")
    waits_for = BadgeColumn(accessor="reservation", verbose_name="Waits for", orderable=False)
    since = WhenColumn(accessor="reservation__waits_since", verbose_name="Since", orderable=False)
    reserved_at = WhenColumn(accessor="reservation__created_at", verbose_name="Reserved at")

    class Meta:
        order_by = ("virtual_account", "product", "license", "end")

    def render_product(self, record: Hold, value: str) -> SafeString:
        return format_html('<a href="{}">{}</a>', url_of(self.account_url, record.reservation), value)

    def value_product(self, value: str) -> str:
        return value

    def render_license_type(self, record: Hold) -> str:
        return gettext(LicenseType(record.line.license_type).label) if record.line is not None else "–"

    def render_kind(self, record: Hold) -> str:
        return kind_of(record.reservation)

    def render_state(self, record: Hold, column: BadgeColumn) -> SafeString:
        return column.render(ReservationState(record.reservation.state))

    def value_state(self, record: Hold) -> str:
        return gettext(ReservationState(record.reservation.state).label)

    def render_waits_for(self, value: Reservation, column: BadgeColumn) -> SafeString | str:
        return show_waiting(value, column)

    def value_waits_for(self, value: Reservation) -> str:
        return name_waiting(value)


def url_of(account_url: str, reservation: Reservation) -> str:
    """The page of the reservation, or of the product that holds an export key."""
    place = quote(reservation.virtual_account.name, safe="")
    return f"{account_url}inventory/{place}/{reservation.path}"


def kind_of(reservation: Reservation) -> str:
    return gettext(ReservationKind(reservation.kind).label)


def show_waiting(reservation: Reservation, column: BadgeColumn) -> SafeString | str:
    waiting = waiting_of(reservation)
    return "–" if waiting is Waiting.NOTHING else column.render(waiting)


def name_waiting(reservation: Reservation) -> str:
    waiting = waiting_of(reservation)
    return "" if waiting is Waiting.NOTHING else gettext(waiting.badge.label)
