"""Create a Smart Account and its first administrator."""

import sys
from argparse import ArgumentParser
from typing import Any

from accounts.services.smart_accounts import create_smart_account
from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict
from cssm.management.base import PortalCommand


class Command(PortalCommand):
    help = "Create a Smart Account. Exits 2 where one with that domain exists."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("domain", metavar="DOMAIN")
        parser.add_argument("--name", required=True, help="display name")
        parser.add_argument("--admin", required=True, metavar="EMAIL", help="first SA_ADMIN; made if missing")
        parser.add_argument("--plr", action="store_true", help="allow permanent (universal) license reservation")
        parser.add_argument("--no-slr", action="store_true", help="forbid specific license reservation")
        parser.add_argument("--export-restricted", action="store_true", help="refuse export-restricted licenses")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = create_smart_account(
                actor=SYSTEM,
                domain=options["domain"],
                name=options["name"],
                admin_email=options["admin"],
                plr=options["plr"],
                slr=not options["no_slr"],
                export_restricted=options["export_restricted"],
                now=read_clock(),
            )
        except Conflict as error:
            self.tell_failure(options, error)
            self.stderr.write(str(error))
            sys.exit(2)
        self.answer(
            options,
            {"domain": account.domain, "name": account.name, "id": account.pk},
            f"Created the Smart Account {account.domain}; {options['admin']} administers it.",
        )
