"""Virtual Accounts: listed, created, deleted."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import change_virtual_account, create_virtual_account, delete_virtual_account
from accounts.states import AccessLevel
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, PageQuery
from cssm.common.permissions import Permission


class VirtualAccountsView(AccountApiView):
    permission = Permission.VIEW
    post_permission = Permission.MANAGE_VIRTUAL_ACCOUNTS

    @reads("listVirtualAccounts", "Virtual Accounts of an account", shapes.VirtualAccountsAnswer, query=PageQuery)
    def get(self, request: Request, domain: str) -> Response:
        rows = VirtualAccount.objects.live().filter(smart_account=self.smart_account).visible_to(self.actor)
        return self.success_page("virtualAccounts", rows.order_by("name"), self.read_page(), show_virtual_account)

    @changes(
        "createVirtualAccount",
        "Create a Virtual Account",
        shapes.VirtualAccountAnswer,
        body=shapes.NewVirtualAccount,
    )
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(shapes.NewVirtualAccount)
        created = create_virtual_account(
            actor=self.actor,
            smart_account=self.smart_account,
            name=wanted["name"],
            description=wanted["description"],
            access_level=AccessLevel(wanted["commerceAccessLevel"]),
            now=self.now,
        )
        return self.success(virtualAccount=show_virtual_account(created))


class CustomerVirtualAccountsView(VirtualAccountsView):
    """The same list under the name that some programs use."""

    http_method_names = ["get", "head"]

    @reads(
        "listCustomerVirtualAccounts",
        "Virtual Accounts of an account, under another name",
        shapes.VirtualAccountsAnswer,
        query=PageQuery,
    )
    def get(self, request: Request, domain: str) -> Response:
        return super().get(request, domain)


class VirtualAccountChangeView(AccountApiView):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS

    @changes(
        "changeVirtualAccount",
        "Rename a Virtual Account, or describe it anew",
        shapes.VirtualAccountAnswer,
        body=shapes.VirtualAccountChange,
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        wanted = self.read_body(shapes.VirtualAccountChange)
        level = wanted.get("commerceAccessLevel")
        changed = change_virtual_account(
            actor=self.actor,
            virtual_account=self.virtual_account,
            name=wanted.get("name"),
            description=wanted.get("description"),
            access_level=None if level is None else AccessLevel(level),
            now=self.now,
        )
        return self.success(virtualAccount=show_virtual_account(changed))


class VirtualAccountDeletionView(AccountApiView):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS

    @changes("deleteVirtualAccount", "Delete an empty Virtual Account", Answer)
    def post(self, request: Request, domain: str, va: str) -> Response:
        delete_virtual_account(actor=self.actor, virtual_account=self.virtual_account, now=self.now)
        return self.success()


def show_virtual_account(row: VirtualAccount) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "isDefault": "true" if row.is_default else "false",
        "commerceAccessLevel": str(row.access_level),
    }
