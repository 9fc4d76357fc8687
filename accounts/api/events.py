"""The event log of an account and of one Virtual Account."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import Event
from accounts.querysets import EventQuerySet
from cssm.common.api.description import reads
from cssm.common.permissions import Permission

FILTERS = {
    "name": "name",
    "subjectType": "subject_type",
    "subjectId": "subject_id",
    "startDate": "at__gte",
    "endDate": "at__lt",
}


class EventApiView(AccountApiView):
    def answer(self, rows: EventQuerySet) -> Response:
        query = self.read_query(shapes.EventQuery)
        wanted = {column: query[parameter] for parameter, column in FILTERS.items() if parameter in query}
        rows = rows.made_by(query["user"]) if "user" in query else rows
        rows = rows.mentioning(query["q"]) if "q" in query else rows
        newest = rows.visible_to(self.actor).filter(**wanted).select_related("virtual_account", "personal")
        return self.success_page("events", newest.newest_first(), self.read_page(), show_event)


class EventsView(EventApiView):
    permission = Permission.SA_EVENT_LOG

    @reads("listEvents", "The event log of an account, newest first", shapes.EventsAnswer, query=shapes.EventQuery)
    def get(self, request: Request, domain: str) -> Response:
        return self.answer(Event.objects.filter(smart_account=self.smart_account))


class VirtualAccountEventsView(EventApiView):
    permission = Permission.VIEW

    @reads(
        "listVirtualAccountEvents",
        "The event log of a Virtual Account, newest first",
        shapes.EventsAnswer,
        query=shapes.EventQuery,
    )
    def get(self, request: Request, domain: str, va: str) -> Response:
        return self.answer(Event.objects.filter(virtual_account=self.virtual_account))


def show_event(row: Event) -> dict[str, Any]:
    return {
        "at": row.at,
        "name": row.name,
        "message": row.message,
        "user": row.actor_name,
        "virtualAccount": row.virtual_account.name if row.virtual_account is not None else None,
        "subjectType": row.subject_type,
        "subjectId": row.subject_id,
    }
