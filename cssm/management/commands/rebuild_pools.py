"""`manage.py rebuild_pools [--check]`: compare all figures with the records they follow from; set them right."""

import sys
from argparse import ArgumentParser
from typing import Any

from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from licensing.services.pools.rebuild import check_pools, rebuild_pools


class Command(PortalCommand):
    help = "Set the figures of all pools right from the records. Safe while products report."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--check", action="store_true", help="only look; exit with 1 if anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        now = read_clock()
        check = options["check"]
        found = check_pools(now=now) if check else rebuild_pools(actor=SYSTEM, now=now)
        lines = [
            f"{it.tag} in Virtual Account {it.virtual_account_id}:"
            f" {it.figure} is {it.stored}, by the records {it.recorded}"
            for it in found
        ]
        done = "differ" if check else "were set right"
        self.answer(
            options,
            {"checked_at": now, "rebuilt": not check, "differences": [difference.as_dict() for difference in found]},
            "\n".join([*lines, f"{len(found)} figures {done}." if found else "All figures equal the records."]),
        )
        if check and found:
            sys.exit(1)
