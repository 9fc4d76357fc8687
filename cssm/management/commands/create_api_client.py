"""Create an API client and print its secret, once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts.models import ApiClient, VirtualAccount
from accounts.services.api_clients import create_api_client, create_operator_client
from accounts.services.smart_accounts import get_smart_account
from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.common.errors import NotFound
from cssm.common.permissions import Role
from cssm.management.base import PortalCommand


class Command(PortalCommand):
    help = "Create an API client. Standard output always holds only {client_id, client_secret}; the secret is not kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("domain", metavar="DOMAIN", nargs="?", help="Smart Account that the client acts for")
        parser.add_argument("--role", choices=[role.value for role in Role], help="what the client may do there")
        parser.add_argument("--virtual-account", metavar="VA", help="for the VA roles: the Virtual Account")
        parser.add_argument("--operator", action="store_true", help="a client that acts as the operator instead")
        parser.add_argument("--name", default="", help="how the client is listed")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["operator"]) == bool(options["domain"]):
            raise CommandError("Give either a domain with --role, or --operator.")
        if options["domain"] and not options["role"]:
            raise CommandError("Give the client a --role.")
        client, secret = self._create(options)
        self.stdout.write(json.dumps({"client_id": client.client_id, "client_secret": secret}))

    def _create(self, options: dict[str, Any]) -> tuple[ApiClient, str]:
        if options["operator"]:
            return create_operator_client(actor=SYSTEM, name=options["name"], now=read_clock())
        account = get_smart_account(actor=SYSTEM, domain=options["domain"])
        virtual_account = None
        if options["virtual_account"]:
            live = VirtualAccount.objects.live().filter(smart_account=account)
            virtual_account = live.named(options["virtual_account"]).first()
            if virtual_account is None:
                raise NotFound(f"There is no Virtual Account {options['virtual_account']} in {account.domain}.")
        return create_api_client(
            actor=SYSTEM,
            smart_account=account,
            role=Role(options["role"]),
            virtual_account=virtual_account,
            name=options["name"],
            now=read_clock(),
        )
