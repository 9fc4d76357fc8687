"""The API clients of a Smart Account. A secret is shown once, in the answer to its creation."""

from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.functional import cached_property

from accounts.forms import ApiClientForm
from accounts.models import ApiClient
from accounts.services.api_clients import create_api_client, revoke_api_client
from accounts.tables import ApiClientTable
from accounts.views.manage import ManageAction, ManageView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import ConfirmAction


class ApiClientFilter(TableFilter):
    search_fields = ("name", "client_id")
    state = ChoiceFilter(
        label="State", empty_label="any", method="by_state", choices=[("active", "Active"), ("revoked", "Revoked")]
    )

    def by_state(self, queryset: QuerySet[ApiClient], name: str, value: str) -> QuerySet[ApiClient]:
        return queryset.filter(revoked_at__isnull=value == "active")


class ApiClients(ManageView, TableView):
    permission = Permission.MANAGE_INTEGRATIONS
    template_name = "accounts/api_clients.html"
    table_class = ApiClientTable
    filter_class = ApiClientFilter

    def get_queryset(self) -> QuerySet[ApiClient]:
        rows = ApiClient.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        return rows.select_related("virtual_account", "smart_account", "created_by")


class CreateApiClient(ManageAction):
    permission = Permission.MANAGE_INTEGRATIONS
    back_to = "api-clients"
    page_title = "New API client"
    submit_label = "Create"
    form_class = ApiClientForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"roles": self.grantable_roles(), "virtual_accounts": self.managed_virtual_accounts()}

    def perform(self, form: forms.Form) -> HttpResponse:
        wanted = cast(ApiClientForm, form)
        client, secret = create_api_client(
            actor=self.actor,
            smart_account=self.smart_account,
            name=wanted.cleaned_data["name"],
            role=wanted.chosen_role(),
            virtual_account=wanted.chosen_virtual_account(),
            now=self.now,
        )
        context = {"client": client, "secret": secret, "back_url": self.get_success_url()}
        shown = (
            self.render_part("accounts/_client_secret_dialog.html", context)
            if self.wants_part
            else self.render("accounts/client_secret.html", context)
        )
        shown.headers["Cache-Control"] = "no-store"
        return shown


class RevokeApiClient(ManageAction, ConfirmAction):
    permission = Permission.MANAGE_INTEGRATIONS
    back_to = "api-clients"
    submit_label = "Revoke"

    @cached_property
    def client(self) -> ApiClient:
        rows = ApiClient.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        found = rows.filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such API client.")
        return found

    def get_page_title(self) -> str:
        return f"Revoke {self.client.name}"

    def get_explanation(self) -> str:
        return "Programs that use this client are refused at once. This cannot be undone; make a new client instead."

    def perform(self, form: forms.Form) -> str:
        revoke_api_client(actor=self.actor, client=self.client, now=self.now)
        return f'The API client "{self.client.name}" was revoked.'
