"""The operator's view of on-prem servers: of all accounts, and what is decided about their 3-tier certificates."""

from typing import Any, Final

from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.functional import cached_property

from cssm.common.errors import NotFound
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import Crumb, FormAction
from cssm.portal.views.operator import OperatorView
from pki.states import RootRequestState
from sync.forms.servers import ReasonForm
from sync.models import OnPremServer
from sync.services.three_tier import hold_three_tier, release_three_tier
from sync.states import ServerHealth
from sync.tables.servers import OperatorServerTable
from sync.views.servers import with_figures

OPEN: Final = (RootRequestState.WAITING, RootRequestState.HELD, RootRequestState.SIGNING)


class ServerFilter(TableFilter):
    """Without a choice: those whose certificate is still to be signed."""

    search_fields = ("name", "uuid", "smart_account__domain", "virtual_account__name")

    three_tier = ChoiceFilter(
        field_name="three_tier__state",
        method="with_state",
        label="3-tier certificate",
        choices=[("all", "All"), *((state.value, state.label) for state in RootRequestState)],
        empty_label="To be signed",
    )
    status = ChoiceFilter(
        field_name="health", label="Status", choices=[(each.value, each.label) for each in ServerHealth],
        empty_label="All",
    )  # fmt: skip

    @property
    def qs(self) -> QuerySet[OnPremServer]:
        rows: QuerySet[OnPremServer] = super().qs
        return rows if self.data.get("three_tier") else rows.filter(three_tier__state__in=OPEN)

    def with_state(self, queryset: QuerySet[OnPremServer], name: str, value: str) -> QuerySet[OnPremServer]:
        return queryset if value == "all" else queryset.filter(three_tier__state=value)


class Servers(OperatorView, TableView):
    page_title = "Operator area"
    table_class = OperatorServerTable
    filter_class = ServerFilter
    template_name = "portal/operator_table.html"

    def get_queryset(self) -> QuerySet[OnPremServer]:
        rows = OnPremServer.objects.visible_to(self.actor).with_health(self.now)
        return with_figures(rows.select_related("smart_account", "virtual_account", "three_tier"), self.actor)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now}


class ThreeTierAction(OperatorView, FormAction):
    form_class = ReasonForm

    @cached_property
    def server(self) -> OnPremServer:
        rows = OnPremServer.objects.visible_to(self.actor).select_related("smart_account", "three_tier")
        found = rows.filter(uuid=self.kwargs["uuid"]).first()
        if found is None:
            raise NotFound("There is no such on-prem server.")
        return found

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("On-prem servers", reverse("operator-onprem"))]

    def get_success_url(self) -> str:
        return reverse("operator-onprem")

    def get_explanation(self) -> str:
        server = self.server
        if server.three_tier is None:
            return f"{server.name} of {server.smart_account.name} has no 3-tier certificate to be signed."
        due = f"{server.three_tier.due_at:%Y-%m-%d %H:%M} UTC"
        state = "is held; it was" if server.three_tier.state == RootRequestState.HELD else "is"
        return f"The 3-tier certificate of {server.name} ({server.smart_account.name}) {state} due on {due}."


class SignEarly(ThreeTierAction):
    page_title = "Sign the 3-tier certificate now"
    submit_label = "Sign now"

    def get_consequences(self) -> list[str]:
        return [
            "The root's worker signs it within minutes, also if it was held. It cannot be taken back but by revoking.",
            "The server gets it with its next synchronization.",
        ]

    def perform(self, form: forms.Form) -> str:
        release_three_tier(actor=self.actor, server=self.server, reason=form.cleaned_data["reason"], now=self.now)
        return f"The 3-tier certificate of {self.server.name} is being signed."


class Hold(ThreeTierAction):
    page_title = "Hold the 3-tier certificate"
    submit_label = "Hold"
    danger = True

    def get_consequences(self) -> list[str]:
        return [
            "It is not signed until you have it signed. Products with older agents cannot register to the server.",
            "The customer sees the reason on the page of the server.",
        ]

    def perform(self, form: forms.Form) -> str:
        hold_three_tier(actor=self.actor, server=self.server, reason=form.cleaned_data["reason"], now=self.now)
        return f"The 3-tier certificate of {self.server.name} is held."
