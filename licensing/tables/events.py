"""The table of an event log."""

from accounts.models import Event
from cssm.common.tables import CodeColumn, Column, Table, WhenColumn


class EventTable(Table):
    key = "events"
    caption = "Event log"
    fixed = ("message",)
    hidden = ("name", "subject")
    empty_title = "No events yet"
    empty_hint = "Every change made by a person, a product or a job is written here."

    at = WhenColumn(verbose_name="Time")
    message = Column(orderable=False, empty_values=())
    actor = Column(accessor="actor_name", orderable=False, verbose_name="By")
    name = CodeColumn(verbose_name="Event")
    subject = Column(orderable=False, empty_values=(), verbose_name="Subject")

    class Meta:
        order_by = "-at"

    def render_subject(self, record: Event) -> str:
        return f"{record.subject_type} {record.subject_id}"
