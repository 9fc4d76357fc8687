"""`manage.py export_trust DIR`: the certificates that products and on-prem servers carry as their trust."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from cssm.management.base import PortalCommand
from pki.services.authorities import export_trust


class Command(PortalCommand):
    help = "Write root.pem, sub-ca.pem, satellite-ca.pem, tg-issuer.pem and reservation-signing.pem to a directory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("directory", type=Path, metavar="DIR", help="made if missing; existing files are replaced")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            paths = export_trust(options["directory"])
        except OSError as error:
            raise CommandError(f"Cannot write to {options['directory']}: {error.strerror}.") from error
        names = [str(path) for path in paths]
        self.answer(options, {"files": names}, "\n".join(names))
