"""The lists of alerts and of messages sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from alerts.models import Alert, Delivery
from alerts.services.rules import Params, present_params
from alerts.services.texts import describe_alert
from alerts.states import AlertType, DeliveryState, Severity
from cssm.common.table_views import ChoiceFilter, TableFilter
from cssm.common.tables import ActionsColumn, BadgeColumn, Column, NumberColumn, Table, WhenColumn


class AlertFilter(TableFilter):
    """Without a choice under "show" the list holds what stands and nobody dismissed."""

    search_fields = ("source", "virtual_account__name", "cause")

    severity = ChoiceFilter(choices=[(str(level.value), level.label) for level in Severity], empty_label="Any severity")
    type = ChoiceFilter(choices=[(kind.value, kind.label) for kind in AlertType], empty_label="Any alert")
    show = ChoiceFilter(
        choices=[("dismissed", "Dismissed"), ("past", "Recovered"), ("all", "All, also recovered")],
        method="choose",
        label="Show",
        empty_label="Open",
    )

    def filter_queryset(self, queryset: Any) -> Any:
        found = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("show") else found.standing().undismissed()

    def choose(self, queryset: Any, name: str, value: str) -> Any:
        if value == "dismissed":
            return queryset.standing().filter(dismissed_at__isnull=False)
        return queryset.filter(cleared_at__isnull=False) if value == "past" else queryset


class AlertTable(Table):
    key = "alerts"
    caption = "Alerts"
    hidden = ("virtual_account", "raised_at", "cleared_at")
    fixed = ("severity", "message")
    empty_title = "No alerts"
    empty_hint = "Nothing needs your attention. What goes wrong is shown here until it is mended."

    severity = BadgeColumn(accessor="grade", order_by=("severity",))
    message = Column(empty_values=(), orderable=False)
    source = Column()
    virtual_account = Column(accessor="virtual_account__name", verbose_name="Virtual Account")
    action_due = WhenColumn(verbose_name="Action due")
    raised_at = WhenColumn(verbose_name="Since")
    cleared_at = WhenColumn(verbose_name="Recovered")
    actions = ActionsColumn("alerts/_alert_actions.html")

    def __init__(self, data: Any, *, account_url: str, now: datetime, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.account_url, self.now = account_url, now
        self._figures: dict[int, Params | None] = {}

    def render_message(self, record: Alert) -> SafeString | str:
        title, sentence = gettext(record.kind.label), describe_alert(record, self._present(record))
        if not record.path:
            return format_html("<strong>{}</strong><br>{}", title, sentence)
        return format_html('<a href="{}"><strong>{}</strong></a><br>{}', record.path, title, sentence)

    def value_message(self, record: Alert) -> str:
        return f"{gettext(record.kind.label)}: {describe_alert(record, self._present(record))}"

    def _present(self, record: Alert) -> Mapping[str, str | int] | None:
        """The figures as on every other screen, asked for once per page."""
        if record.pk not in self._figures:
            rows = self.paginated_rows.data if self.total is not None else [record]
            self._figures.update(present_params([row for row in rows if isinstance(row, Alert)], now=self.now))
        return self._figures.get(record.pk)


class DeliveryFilter(TableFilter):
    search_fields = ("user__email", "address", "alert__source")

    state = ChoiceFilter(choices=[(state.value, state.label) for state in DeliveryState], empty_label="Any state")


class DeliveryTable(Table):
    key = "deliveries"
    caption = "Messages sent"
    hidden = ("attempts", "message_id")
    fixed = ("to", "state")
    empty_title = "No messages yet"
    empty_hint = "Messages to subscribers are listed here with what became of them."

    to = Column(orderable=False, verbose_name="To")
    about = Column(empty_values=(), orderable=False)
    channel = Column(accessor="get_channel_display", orderable=False)
    state = BadgeColumn(accessor="stands", order_by=("state",))
    created_at = WhenColumn(verbose_name="Created")
    sent_at = WhenColumn(verbose_name="Sent")
    attempts = NumberColumn()
    error = Column(verbose_name="Reason", orderable=False)
    message_id = Column(verbose_name="Message-ID", orderable=False)

    def render_about(self, record: Delivery) -> str:
        if record.alert is None:
            return gettext("Several alerts")
        return f"{gettext(record.alert.kind.label)}: {record.alert.source}"


def with_related(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """What `DeliveryTable` shows of each row, in one query."""
    return deliveries.select_related("user", "alert")
