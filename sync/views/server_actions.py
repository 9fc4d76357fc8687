"""What is done to one on-prem server: renamed, one of its Virtual Accounts linked, removed."""

from typing import Any

from django import forms
from django.db.models import Sum
from django.utils.functional import cached_property

from accounts.models import VirtualAccount
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.views import ConfirmAction, Crumb, FormAction
from licensing.models import Usage
from licensing.services.devices.held import count_held
from sync.forms.servers import LinkForm, RenameForm
from sync.models import LocalAccount
from sync.services.holdings import describe_shared
from sync.services.linking import link_account, list_linkable
from sync.services.servers import remove_server, rename_server
from sync.views.servers import ServerView


class ServerAction(ServerView):
    permission = Permission.MANAGE_ASSETS

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.server.name, self.server_url)]


class RenameServer(ServerAction, FormAction):
    form_class = RenameForm
    submit_label = "Rename"
    explanation = "The server is told its name with its next response. Nothing else changes."

    def get_page_title(self) -> str:
        return f"Rename {self.server.name}"

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.server.name}

    def perform(self, form: forms.Form) -> str:
        rename_server(actor=self.actor, server=self.server, name=form.cleaned_data["name"], now=self.now)
        return "The server was renamed."


class LinkAccount(ServerAction, FormAction):
    """A Virtual Account of the server that no file could link; what its products use counts at once."""

    form_class = LinkForm
    submit_label = "Link"

    @cached_property
    def local_account(self) -> LocalAccount:
        found = LocalAccount.objects.filter(server=self.server, pk=self.kwargs["local"], is_active=True).first()
        if found is None:
            raise NotFound("The server has no such Virtual Account.")
        return found

    @cached_property
    def virtual_accounts(self) -> dict[str, VirtualAccount]:
        return {str(row.pk): row for row in list_linkable(actor=self.actor, server=self.server)}

    def get_page_title(self) -> str:
        return f"Link “{self.local_account.name}”"

    def get_explanation(self) -> str:
        count = count_held(held_id=self.server.held_id).get(self.local_account.pk, 0)
        return (
            f"Its {count:,} product instance{'' if count == 1 else 's'}, as the last files named them, count in the"
            " Virtual Account that you choose from now on. The server takes over its name with the next response."
        )

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"virtual_accounts": [(key, row.name) for key, row in self.virtual_accounts.items()]}

    def perform(self, form: forms.Form) -> str:
        chosen = self.virtual_accounts[form.cleaned_data["virtual_account"]]
        count = link_account(
            actor=self.actor,
            server=self.server,
            local_id=self.local_account.local_id,
            virtual_account=chosen,
            now=self.now,
        )
        counted = f"{count:,} product instance{'' if count == 1 else 's'}"
        return f"“{self.local_account.name}” is linked to {chosen.name}, with {counted}."


class RemoveServer(ServerAction, ConfirmAction):
    """The order is told: first the server's side, then here, for what is removed here first goes on working there."""

    submit_label = "Remove the server"
    explanation = (
        "First take the server out of service: let its products register elsewhere, and delete it on its own side. Then"
        " remove it here. Products that still report to it work on until their certificates end, and count nowhere."
    )

    def get_page_title(self) -> str:
        return f"Remove {self.server.name}"

    def get_consequences(self) -> list[str]:
        server = self.server
        instances = describe_shared(server).instances
        used = Usage.objects.counted().filter(instance__origin=server.origin_id)
        units = used.aggregate(total=Sum("quantity"))["total"] or 0
        return [
            f"Its product instances, {instances:,} in all, leave every Virtual Account that they are in.",
            f"The licenses that they use, {units:,} in all, are free again.",
            "Its certificates are revoked, also the 3-tier certificate; one that waits to be signed never is.",
            "Its files are refused from then on. To use it again it registers anew.",
        ]

    def perform(self, form: forms.Form) -> str:
        remove_server(actor=self.actor, server=self.server, now=self.now)
        return f"{self.server.name} was removed."
