"""Run the suite on the embedded default, then on PostgreSQL and Redis where they are set or answer locally.

The closing line of the last pytest run ends the output; a failure of either ends with its exit code.
"""

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

PYTEST = Path(sys.executable).parent / "pytest"
# Once is enough for what touches neither database nor cache, and for what reaches them only by ways that others test on
# both: which URL asks for which right, and what a browser makes of a page. The journey in tests/browser runs on both.
ONCE = [f"--ignore=tests/{folder}" for folder in ("agents", "architecture", "licensing/codecs", "sync/codecs")]
ONCE += ["--ignore-glob=*_in_browser.py"]
# Long ones, which only the soak repeats on the second engine.
ONCE_UNLESS_SOAK = ["--ignore=tests/licensing/devices/test_fleet.py"]
LOCAL_POSTGRESQL = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379/9"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_suite(title: str, arguments: list[str], environment: dict[str, str]) -> int:
    sys.stdout.write(f"\n=== {title} ===\n")
    sys.stdout.flush()
    workers = ["-n", "2"] if "-n" not in " ".join(arguments) else []
    command = [str(PYTEST), *workers, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def main(arguments: list[str]) -> int:
    seed = os.environ.get("SEED") or str(secrets.randbelow(2**31))
    arguments = ["-p", "no:cacheprovider", f"--randomly-seed={seed}", *arguments]
    sys.stdout.write(f"seed {seed} (SEED={seed} repeats the order)\n")
    embedded = {"DATABASE_URL": "", "CELERY_BROKER_URL": "", "CACHE_URL": ""}
    status = run_suite("SQLite, file-system broker", arguments, embedded)
    database = os.environ.get("DATABASE_URL") or (LOCAL_POSTGRESQL if answers(5432) else "")
    redis = os.environ.get("CELERY_BROKER_URL") or (LOCAL_REDIS if answers(6379) else "")
    if status == 0 and database and redis:
        # Databases that are made for the tests need not survive a power cut.
        hasty = {"PGOPTIONS": "-c synchronous_commit=off"}
        production = {"DATABASE_URL": database, "CELERY_BROKER_URL": redis, "CACHE_URL": redis, **hasty}
        once = ONCE if os.environ.get("SOAK") else ONCE + ONCE_UNLESS_SOAK
        return run_suite("PostgreSQL, Redis", [*arguments, *once], production)
    if not (database and redis):
        sys.stdout.write("PostgreSQL or Redis does not answer: the embedded default alone was tested.\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
