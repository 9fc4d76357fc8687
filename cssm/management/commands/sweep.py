"""`manage.py sweep`: once, in the foreground, all periodic work that is due."""

import sys
from typing import Any

import structlog
from django.conf import settings

from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from cssm.schedule import JOBS

log = structlog.get_logger(__name__)

ROOT_QUEUE = "root-ca"


class Command(PortalCommand):
    help = "Run every periodic job once. Without ROOT_KEY_PASSPHRASE what needs the root key is skipped."

    def handle(self, *args: Any, **options: Any) -> None:
        done: dict[str, int] = {}
        skipped: list[str] = []
        failed: list[str] = []
        for job in JOBS:
            if job.queue == ROOT_QUEUE and not settings.ROOT_KEY_PASSPHRASE:
                skipped.append(job.task)
                continue
            try:
                done[job.task] = job.run(now=read_clock())
            except Exception:
                # One broken job must not keep the others from running.
                log.exception("job_failed", task=job.task)
                failed.append(job.task)
        lines = [f"{task}: {count}" for task, count in done.items()]
        lines += [f"{task}: skipped, ROOT_KEY_PASSPHRASE is not set" for task in skipped]
        lines += [f"{task}: failed" for task in failed]
        self.answer(options, {"jobs": done, "skipped": skipped, "failed": failed}, "\n".join(lines))
        if failed:
            sys.exit(1)
