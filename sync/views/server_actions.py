"""What is done to one on-prem server: renamed, removed."""

from typing import Any

from django import forms
from django.db.models import Sum

from cssm.common.permissions import Permission
from cssm.common.views import ConfirmAction, Crumb, FormAction
from licensing.models import Usage
from sync.forms.servers import RenameForm
from sync.services.holdings import describe_shared
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
