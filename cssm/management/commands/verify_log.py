"""Verify the hash chains of the event log."""

import sys
from typing import Any

from accounts.services.events import verify_log
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand


class Command(PortalCommand):
    help = "Verify the hash chains of the event log and tell what is not sealed yet. Exits 1 where a chain is broken."

    def handle(self, *args: Any, **options: Any) -> None:
        report = verify_log(now=read_clock())
        oldest = round(report.oldest_unsealed.total_seconds(), 1) if report.oldest_unsealed else 0
        lines = [
            *(f"BROKEN  {problem}" for problem in report.problems),
            f"{report.sealed} events in {report.logs} logs are sealed, {report.erased} without personal values.",
            f"{report.unsealed} events are not sealed yet, the oldest for {oldest} seconds.",
            "Every chain holds." if report.holds else "The log was tampered with.",
        ]
        self.answer(
            options,
            {
                "holds": report.holds,
                "logs": report.logs,
                "sealed": report.sealed,
                "erased": report.erased,
                "unsealed": report.unsealed,
                "oldest_unsealed_seconds": oldest,
                "problems": report.problems,
            },
            "\n".join(lines),
        )
        if not report.holds:
            sys.exit(1)
