"""`manage.py replace_authority NAME`: revoke an authority whose key is not to be trusted, and make another."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError

from cssm.common.clock import read_clock
from cssm.common.errors import DomainError
from cssm.management.base import PortalCommand
from pki.services.authorities import replace_authority
from pki.states import AuthorityName, RevocationReason


class Command(PortalCommand):
    help = "Revoke an authority's certificate and make a new authority of that name. Needs ROOT_KEY_PASSPHRASE."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        names = [name.value for name in AuthorityName if name is not AuthorityName.ROOT]
        parser.add_argument("name", choices=names)
        parser.add_argument(
            "--reason", choices=[reason.value for reason in RevocationReason], default=RevocationReason.CA_COMPROMISE
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, reason = AuthorityName(options["name"]), RevocationReason(options["reason"])
        try:
            replace_authority(name=name, reason=reason, now=read_clock())
        except DomainError as error:
            raise CommandError(error.message) from None
        self.answer(
            options,
            {"name": name.value, "reason": reason.value},
            f"{name} was revoked ({reason}) and made anew; the root's revocation list names the old one.",
        )
