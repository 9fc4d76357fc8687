"""What an on-prem server calls its Virtual Accounts, and the linking of one that its files could not link."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.api.description import changes, reads
from cssm.common.permissions import Permission
from licensing.services.devices.held import count_held
from sync.api.servers import TAG, ServerApiView
from sync.api.shapes import LinkAnswer, LocalAccountsAnswer, NewLink, show_local_account
from sync.services.linking import link_account, list_local_accounts


class LocalAccountsView(ServerApiView):
    permission = Permission.VIEW

    @reads("listLocalAccounts", "Virtual Accounts of an on-prem server, and their links", LocalAccountsAnswer, tag=TAG)
    def get(self, request: Request, domain: str, uuid: UUID) -> Response:
        server = self.find_server(uuid)
        held = count_held(held_id=server.held_id)
        rows = list_local_accounts(actor=self.actor, server=server)
        return self.success(localAccounts=[show_local_account(row, seen, held.get(row.pk, 0)) for row, seen in rows])


class LocalAccountLinkView(ServerApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "linkLocalAccount",
        "Link a Virtual Account of an on-prem server that its files could not link",
        LinkAnswer,
        body=NewLink,
        tag=TAG,
    )
    def post(self, request: Request, domain: str, uuid: UUID) -> Response:
        server, wanted = self.find_server(uuid), self.read_body(NewLink)
        count = link_account(
            actor=self.actor,
            server=server,
            local_id=wanted["id"],
            virtual_account=self.find_virtual_account(wanted["virtualAccount"]),
            now=self.now,
        )
        return self.success(instances=count)
