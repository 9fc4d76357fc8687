"""The tables of usage reports, and of what was metered from them."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cssm.common.tables import BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import badge
from cssm.common.text import Badge, Tone
from licensing.models import RumReport
from licensing.states import RumChannel, Verification
from licensing.tables.reports import ReportTable

LEAST_GAP: Final = timedelta(minutes=1)
"""Products close one measurement and open the next within seconds; less than this is no gap."""


TIME: Final = {"td": {"class": "num"}, "th": {"class": "num"}}


class UsageReportTable(Table):
    key = "usage-reports"
    caption = "Usage reports"
    fixed = ("product", "period_start")
    hidden = ("report_id", "entitlement_tag", "channel", "software_version", "state", "received_at")
    empty_title = "No usage reports yet"
    empty_hint = "Products that report their use send them here; reports saved as a file can be uploaded."

    product = Column(accessor="udi", verbose_name="Product")
    report_id = Column(verbose_name="Report")
    virtual_account = Column(
        accessor="virtual_account__name", verbose_name="Virtual Account", attrs={"th": {"class": "wraps"}}
    )
    license = Column(accessor="meter__license__display_name", verbose_name="License", empty_values=())
    entitlement_tag = CodeColumn(accessor="meter__tag", verbose_name="Entitlement tag")
    period_start = Column(verbose_name="From (UTC)", attrs=TIME)
    period_end = Column(verbose_name="To (UTC)", attrs=TIME)
    gap = Column(empty_values=(), orderable=False, verbose_name="Gap")
    peak = NumberColumn(verbose_name="Most in use", attrs={"th": {"class": "num wraps"}, "td": {"class": "num"}})
    proof = BadgeColumn(accessor="is_verified", verbose_name="Signature")
    state = Column(accessor="is_closed", verbose_name="State")
    channel = Column(verbose_name="Came by")
    software_version = Column(verbose_name="Software version")
    received_at = WhenColumn(verbose_name="Received")

    class Meta:
        order_by = "-period_end"

    def __init__(self, data: Any, *, reports_url: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.reports_url = reports_url

    def render_product(self, record: RumReport, value: str) -> SafeString:
        return format_html('<a href="{}{}/">{}</a>', self.reports_url, record.pk, value)

    def value_product(self, value: str) -> str:
        return value

    def render_license(self, record: RumReport) -> str:
        return record.meter.license.display_name if record.meter.license else "not in the catalog"

    def render_period_start(self, value: datetime) -> str:
        return f"{value:%Y-%m-%d %H:%M}"

    def value_period_start(self, value: datetime) -> datetime:
        return value

    def render_period_end(self, value: datetime) -> str:
        return f"{value:%Y-%m-%d %H:%M}"

    def value_period_end(self, value: datetime) -> datetime:
        return value

    def render_gap(self, record: RumReport) -> SafeString | str:
        """One badge below the other: beside each other they would push the signature off the page."""
        badges = [(badge(Badge(f"{describe_span(gap)} {where}", Tone.WARN)),) for where, gap in gaps_of(record)]
        return format_html_join(SafeString(" <br>"), "{}", badges) if badges else "–"

    def value_gap(self, record: RumReport) -> str:
        return "; ".join(f"{describe_span(gap)} {where}" for where, gap in gaps_of(record))

    def render_proof(self, value: bool, column: BadgeColumn) -> SafeString:
        return column.render(proof_of(value))

    def value_proof(self, value: bool) -> str:
        return proof_of(value).badge.label

    def render_state(self, value: bool) -> str:
        return "closed" if value else "open"

    def render_channel(self, value: str) -> str:
        return RumChannel(value).label


class MeteredUseReport(ReportTable):
    key = "report-metered-use"
    caption = "Metered use of each day"
    fixed = ("day", "virtual_account", "license")
    hidden = ("entitlement_tag", "unit_seconds")
    empty_hint = "What products report of licenses that are billed by use appears here, day by day."

    day = Column(verbose_name="Day")
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    license = Column(accessor="meter__license__display_name", verbose_name="License")
    entitlement_tag = CodeColumn(accessor="meter__license__tag", verbose_name="Entitlement tag")
    unit_hours = Column(
        accessor="units", verbose_name="Unit-hours", attrs={"th": {"class": "num"}, "td": {"class": "num"}}
    )
    unit_seconds = NumberColumn(accessor="units", verbose_name="Unit-seconds")
    most = NumberColumn(verbose_name="Most in use")
    products = NumberColumn(verbose_name="Products")

    class Meta:
        order_by = ("-day", "virtual_account", "license")

    def render_day(self, value: date) -> str:
        return f"{value:%d %b %Y}"

    def value_day(self, value: date) -> date:
        return value

    def render_unit_hours(self, value: int) -> str:
        return show_unit_hours(value)

    def value_unit_hours(self, value: int) -> float:
        return round(value / 3600, 2)


def proof_of(is_verified: bool) -> Verification:
    return Verification.VERIFIED if is_verified else Verification.UNVERIFIED


def show_unit_hours(unit_seconds: int) -> str:
    return f"{unit_seconds / 3600:,.2f}"


def gaps_of(report: Any) -> list[tuple[str, timedelta]]:
    """Of a report read `with_gap`: times of which nobody has told, before it and within it."""
    before = timedelta(0)
    if report.covered_until is not None:
        before = report.period_start - report.covered_until
    inside = timedelta(seconds=report.unmeasured_seconds)
    return [(where, gap) for where, gap in (("before", before), ("within", inside)) if gap >= LEAST_GAP]


def describe_span(span: timedelta) -> str:
    hours, minutes = divmod(span.seconds // 60, 60)
    parts = [(span.days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)
