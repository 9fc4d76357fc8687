"""The Virtual Accounts of a Smart Account, as its administrators manage them."""

from typing import Any

from django import forms
from django.db.models import Count, QuerySet
from django.utils.functional import cached_property

from accounts.forms import VirtualAccountForm
from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import (
    change_virtual_account,
    create_virtual_account,
    delete_virtual_account,
)
from accounts.states import AccessLevel
from accounts.tables import VirtualAccountTable
from accounts.views.manage import ManageAction, ManageView
from cssm.common.errors import NotFound
from cssm.common.forms import ConfirmForm, PortalForm
from cssm.common.permissions import Permission
from cssm.common.table_views import TableFilter, TableView
from cssm.common.views import ConfirmAction


class VirtualAccountFilter(TableFilter):
    search_fields = ("name", "description")


class VirtualAccounts(ManageView, TableView):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS
    template_name = "accounts/virtual_accounts.html"
    table_class = VirtualAccountTable
    filter_class = VirtualAccountFilter

    def get_queryset(self) -> QuerySet[VirtualAccount]:
        rows = VirtualAccount.objects.live().filter(smart_account=self.smart_account)
        return rows.select_related("smart_account").annotate(member_count=Count("memberships"))


class VirtualAccountAction(ManageAction):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS
    back_to = "virtual-accounts"
    form_class: type[PortalForm] = VirtualAccountForm

    @cached_property
    def virtual_account(self) -> VirtualAccount:
        found = VirtualAccount.objects.live().filter(smart_account=self.smart_account, pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such Virtual Account.")
        return found

    def read(self, form: forms.Form) -> dict[str, Any]:
        return {**form.cleaned_data, "access_level": AccessLevel(form.cleaned_data["access_level"])}


class CreateVirtualAccount(VirtualAccountAction):
    page_title = "New Virtual Account"
    submit_label = "Create"

    def perform(self, form: forms.Form) -> str:
        row = create_virtual_account(
            actor=self.actor, smart_account=self.smart_account, now=self.now, **self.read(form)
        )
        return f'The Virtual Account "{row.name}" was created.'


class ChangeVirtualAccount(VirtualAccountAction):
    def get_page_title(self) -> str:
        return f"Change {self.virtual_account.name}"

    def get_initial(self) -> dict[str, Any]:
        row = self.virtual_account
        return {"name": row.name, "description": row.description, "access_level": row.access_level}

    def perform(self, form: forms.Form) -> str:
        change_virtual_account(actor=self.actor, virtual_account=self.virtual_account, now=self.now, **self.read(form))
        return "The Virtual Account was saved."


class DeleteVirtualAccount(VirtualAccountAction, ConfirmAction):
    form_class = ConfirmForm
    submit_label = "Delete"

    def get_page_title(self) -> str:
        return f"Delete {self.virtual_account.name}"

    def get_explanation(self) -> str:
        return "Only an empty Virtual Account can be deleted. Its records stay in the event log."

    def get_consequences(self) -> list[str]:
        return ["Users lose the roles they have on it.", "API clients that are bound to it are revoked."]

    def perform(self, form: forms.Form) -> str:
        name = self.virtual_account.name
        delete_virtual_account(actor=self.actor, virtual_account=self.virtual_account, now=self.now)
        return f'The Virtual Account "{name}" was deleted.'
