"""Event logs: that of a Virtual Account as a tab, that of the Smart Account as an area of its own."""

import django_filters as filters
from django import forms
from django.db.models import Q, QuerySet

from accounts.models import Event
from accounts.states import EVENT_TEMPLATES
from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from licensing.tables.events import EventTable
from licensing.views.inventory import InventoryTab


class EventFilter(TableFilter):
    """By kind of event and by who did it; by text where the text is in the row."""

    search_fields = ("actor_label", "personal__values", "subject_id", "data")
    kind = ChoiceFilter(
        label="About",
        method="of_kind",
        choices=lambda: [(area, area.replace("_", " ")) for area in sorted({n.split(".")[0] for n in EVENT_TEMPLATES})],
        empty_label="Everything",
    )
    since = filters.DateFilter(
        label="Since", field_name="at", lookup_expr="date__gte", widget=forms.DateInput(attrs={"type": "date"})
    )

    def of_kind(self, queryset: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        return queryset.filter(Q(name__startswith=f"{value}."))


class EventsTab(TableView, InventoryTab):
    tab = "events"
    table_class = EventTable
    filter_class = EventFilter
    template_name = "licensing/tab.html"

    def get_queryset(self) -> QuerySet[Event]:
        return Event.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account).with_personal()


class Activity(AccountView, TableView):
    """The whole event log of the Smart Account."""

    permission = Permission.SA_EVENT_LOG
    page_title = "Activity"
    table_class = EventTable
    filter_class = EventFilter
    template_name = "licensing/table_page.html"

    def get_queryset(self) -> QuerySet[Event]:
        return Event.objects.visible_to(self.actor).filter(smart_account=self.smart_account).with_personal()
