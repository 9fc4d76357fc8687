"""One periodic job as at a given moment: `python -m tests.flows.job pki.sign_root_requests 2026-03-04T09:30:00Z`."""

import os
import sys
from datetime import datetime

import django

from cssm.schedule import JOBS

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")
    django.setup()
    (job,) = (job for job in JOBS if job.task == sys.argv[1])
    sys.stdout.write(f"{job.run(now=datetime.fromisoformat(sys.argv[2]))}\n")
