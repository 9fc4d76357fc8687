"""Finding accounts, and what the operator sets on them."""

from collections.abc import Iterable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import SmartAccount, VirtualAccount
from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus
from cssm.common.actor import Actor
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import PageQuery
from cssm.common.permissions import Access, Permission


class AccountsView(AccountApiView):
    permission = Access.SIGNED_IN

    @reads("listAccounts", "The accounts of the caller, with its roles", shapes.AccountsAnswer, query=PageQuery)
    def get(self, request: Request) -> Response:
        names = dict(
            VirtualAccount.objects.filter(
                pk__in=[grant.virtual_account_id for grant in self.actor.grants if grant.virtual_account_id]
            ).values_list("pk", "name")
        )
        rows = SmartAccount.objects.visible_to(self.actor).order_by("domain")
        return self.success_page("accounts", rows, self.read_page(), lambda row: show_account(row, self.actor, names))


class AccountSearchView(AccountApiView):
    permission = Access.SIGNED_IN

    @reads("searchAccounts", "Accounts by domain and type", shapes.AccountSearchAnswer, query=shapes.AccountSearchQuery)
    def get(self, request: Request) -> Response:
        query = self.read_query(shapes.AccountSearchQuery)
        rows = SmartAccount.objects.visible_to(self.actor).order_by("domain")
        if "domain" in query:
            rows = rows.filter(domain__icontains=query["domain"])
        if "type" in query:
            rows = rows.filter(account_type=query["type"])
        return self.success_page("accounts", rows, self.read_page(), show_found_account)


class AccountTreeView(AccountApiView):
    """In the style of the v2 calls, whose answers carry `message` and `message_code`."""

    permission = Access.SIGNED_IN

    @reads("searchAccountTree", "Accounts with their Virtual Accounts and ids", shapes.AccountTreeAnswer)
    def get(self, request: Request) -> Response:
        accounts = list(SmartAccount.objects.visible_to(self.actor).order_by("domain"))
        visible = VirtualAccount.objects.live().filter(smart_account__in=accounts).visible_to(self.actor)
        by_account: dict[int, list[VirtualAccount]] = {}
        for row in visible.order_by("name"):
            by_account.setdefault(row.smart_account_id, []).append(row)
        shown = [show_tree(account, by_account.get(account.pk, [])) for account in accounts]
        return Response({"message_code": "", "accounts": shown, "message": "", "status": "COMPLETE"})


class AccountFlagsView(AccountApiView):
    permission = Permission.OPERATE

    @changes(
        "setAccountFlags",
        "Allow reservations, or restrict export-controlled licenses",
        shapes.FlagsAnswer,
        body=shapes.AccountFlags,
        tag="operator",
    )
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(shapes.AccountFlags)
        export = wanted.get("exportStatus")
        account = set_account_flags(
            actor=self.actor,
            smart_account=self.smart_account,
            slr=wanted.get("slr"),
            plr=wanted.get("plr"),
            export_status=None if export is None else ExportStatus(export),
            now=self.now,
        )
        return self.success(
            domain=account.domain,
            slr=account.slr_enabled,
            plr=account.plr_enabled,
            exportStatus=str(account.export_status),
        )


def show_account(row: SmartAccount, actor: Actor, virtual_account_names: dict[int, str]) -> dict[str, Any]:
    roles: list[dict[str, str]] = []
    for grant in actor.grants:
        if grant.smart_account_id == row.pk:
            limited = grant.virtual_account_id is not None
            where = {"virtualAccount": virtual_account_names[grant.virtual_account_id or 0]} if limited else {}
            roles.append({"role": grant.role.value, **where})
    return {
        "accountDomain": row.domain,
        "accountName": row.name,
        "accountStatus": row.status,
        "accountType": row.account_type,
        "roles": roles,
    }


def show_found_account(row: SmartAccount) -> dict[str, Any]:
    return {
        "domain": row.domain,
        "name": row.name,
        "id": str(row.pk),
        "type": row.account_type,
        "status": row.status,
    }


def show_tree(row: SmartAccount, virtual_accounts: Iterable[VirtualAccount]) -> dict[str, Any]:
    return {
        "account_id": str(row.pk),
        "domain": row.domain,
        "name": row.name,
        "virtual_accounts": [
            {"default": one.is_default, "name": one.name, "virtual_account_id": str(one.pk)} for one in virtual_accounts
        ],
    }
