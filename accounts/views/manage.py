"""`/accounts/<domain>/manage/`: the account itself, and the tabs of what its administrators manage."""

from typing import Any, NamedTuple

from django import forms
from django.urls import reverse

from accounts.forms import AccountNameForm
from accounts.models import AccessRequest, VirtualAccount
from accounts.services.smart_accounts import accept_agreement, rename_smart_account
from accounts.views.base import AccountView
from cssm.common.permissions import Access, Permission, Role, may_grant
from cssm.common.views import ConfirmAction, Crumb, FormAction, PageView


class Tab(NamedTuple):
    label: str
    url: str
    current: bool
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count, as the tabs component reads it


class ManageView(AccountView):
    """A page of the area; its tabs are those that the actor may open."""

    page_title = "Manage Account"

    def url_of(self, name: str, *args: Any) -> str:
        """The address of a page of the area; pages of apps above are named with their app."""
        full_name = name if ":" in name else f"accounts:{name}"
        return reverse(full_name, args=(self.smart_account.domain, *args))

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "tabs": self._tabs()}

    def _tabs(self) -> list[Tab]:
        pending = AccessRequest.objects.pending().filter(smart_account=self.smart_account)
        tabs = (
            ("Account", "manage", None),
            ("Users", "users", Permission.MANAGE_VA_USERS),
            ("Virtual Accounts", "virtual-accounts", Permission.MANAGE_VIRTUAL_ACCOUNTS),
            ("Tags", "licensing:tags", Permission.VIEW),
            ("Access requests", "access-requests", Permission.APPROVE_ACCESS),
            ("API clients", "api-clients", Permission.MANAGE_INTEGRATIONS),
        )
        return [
            Tab(
                label,
                url := self.url_of(name),
                self.request.path == url,
                (pending.count() or None) if name == "access-requests" else None,
            )
            for label, name, permission in tabs
            if permission is None or self.may(permission)
        ]


class ManageAction(ManageView, FormAction):
    """A dialog of the area; `back_to` names the tab it belongs to."""

    back_to = "manage"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Manage Account", self.url_of(self.back_to))]

    def get_success_url(self) -> str:
        return self.url_of(self.back_to)

    def grantable_roles(self) -> list[Role]:
        """The roles that the actor can give somewhere in the account."""
        account = self.smart_account.pk
        held = [grant.role for grant in self.actor.grants if grant.smart_account_id == account]
        manages_all = self.actor.may(Permission.MANAGE_SA_USERS, smart_account_id=account)
        return [
            role
            for role in Role
            if any(may_grant(own, role) for own in held) and (manages_all or role.is_virtual_account_role)
        ]

    def managed_virtual_accounts(self) -> list[VirtualAccount]:
        live = VirtualAccount.objects.live().filter(smart_account=self.smart_account)
        return list(live.visible_to(self.actor, Permission.MANAGE_VA_USERS).order_by("-is_default", "name"))


class Overview(ManageView, PageView):
    """What the account is, and one's own part in it."""

    permission = Access.SIGNED_IN
    template_name = "accounts/manage.html"

    def get_context(self) -> dict[str, Any]:
        account = self.smart_account
        accepted = account.agreement_accepted_at
        return {
            **super().get_context(),
            "may_change": self.actor.may(Permission.SA_PROPERTIES, smart_account_id=account.pk),
            "own_roles": self._own_roles(),
            "facts": [
                ("Name", account.name),
                ("Domain", account.domain),
                ("Type", account.account_type.capitalize()),
                ("Specific License Reservation", "on" if account.slr_enabled else "off"),
                ("Permanent License Reservation", "on" if account.plr_enabled else "off"),
                ("Export-controlled functionality", account.export_status),
                ("Agreement", f"accepted on {accepted:%d %b %Y}" if accepted else "not accepted yet"),
            ],
        }

    def _own_roles(self) -> list[tuple[str, str]]:
        grants = [grant for grant in self.actor.grants if grant.smart_account_id == self.smart_account.pk]
        names = dict(
            VirtualAccount.objects.filter(pk__in=[grant.virtual_account_id for grant in grants]).values_list(
                "pk", "name"
            )
        )
        return [
            (grant.role.label, names.get(grant.virtual_account_id or 0, "all Virtual Accounts")) for grant in grants
        ]


class PropertiesAction(ManageAction):
    permission = Permission.SA_PROPERTIES


class Rename(PropertiesAction):
    page_title = "Rename the Smart Account"
    form_class = AccountNameForm
    explanation = "The domain stays as it is."

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.smart_account.name}

    def perform(self, form: forms.Form) -> str:
        rename_smart_account(
            actor=self.actor, smart_account=self.smart_account, name=form.cleaned_data["name"], now=self.now
        )
        return "The name was saved."


class AcceptAgreement(PropertiesAction, ConfirmAction):
    page_title = "Accept the agreement"
    submit_label = "Accept"
    danger = False

    def get_explanation(self) -> str:
        return f"You accept the licensing agreement on behalf of {self.smart_account.name}."

    def perform(self, form: forms.Form) -> str:
        accept_agreement(actor=self.actor, smart_account=self.smart_account, now=self.now)
        return "The agreement was accepted."
