"""`manage.py import_catalog FILE.csv`: add and change tags, all of the file or nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from licensing.services.catalog.imports import import_catalog

MOST_BYTES = 50 * 1024 * 1024


class Command(PortalCommand):
    help = "Import software and entitlement tags from a CSV file. A file that changes nothing leaves no trace."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE.csv", help="UTF-8, with a header line")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            if path.stat().st_size > MOST_BYTES:
                raise CommandError(f"{path} is larger than {MOST_BYTES} bytes.")
            with path.open(encoding="utf-8-sig", newline="") as file:
                result = import_catalog(actor=SYSTEM, rows=file, now=read_clock())
        except OSError as error:
            raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8 text.") from error
        self.answer(
            options,
            {
                "created": result.created,
                "changed": result.changed,
                "unchanged": result.unchanged,
                "version": result.version,
            },
            f"{result.created} new, {result.changed} changed, {result.unchanged} as before;"
            f" catalog version {result.version}.",
        )
