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
# Services, calls, messages, races and the main journey run on both engines. Once is enough for what touches neither
# database nor cache, and for what reaches them only by ways that others test on both: on SQLite, which URL asks for
# which right and what a browser makes of a page; on PostgreSQL, the pages
# and the REST API. Where there is only SQLite, everything runs there.
WITHOUT_DATABASE = ("agents", "architecture", "licensing/codecs", "sync/codecs")
# The fleet speaks with one voice, for which SQLite is the faster engine: two thousand products take minutes there.
FLEET = "licensing/devices/test_fleet.py"
ONLY_ON_SQLITE = [*(f"--ignore=tests/{path}" for path in (*WITHOUT_DATABASE, FLEET)), "--ignore-glob=*_in_browser.py"]
PAGES = ("test_*_pages.py", "test_operator*.py", "test_every_page.py")
ONLY_ON_POSTGRESQL = [*(f"--ignore-glob=*/{name}" for name in PAGES), "--ignore=tests/api"]
# Long ones, which only the soak repeats on the other engine.
LONG_ON_SQLITE = [
    "--ignore=tests/browser",
    "--ignore=tests/flows/test_reservation_journey.py",
    "--ignore=tests/licensing/exchange/test_forgeries.py",
    "--ignore=tests/model/test_stateful.py",  # of the same world as eight actors at once, who need PostgreSQL
    "--ignore=tests/pki/test_many_chains.py",
]
LONG_ON_POSTGRESQL = [
    "--ignore=tests/flows/test_onprem_journey.py",
    "--ignore=tests/flows/test_shortage_journey.py",
    "--ignore=tests/sync/test_many_files.py",
]
LOCAL_POSTGRESQL = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379/9"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_suite(title: str, arguments: list[str], environment: dict[str, str]) -> int:
    sys.stdout.write(f"\n=== {title} ===\n")
    sys.stdout.flush()
    # One more than there are processors, for journeys and browser tests wait for other processes most of the time.
    workers = ["-n", str(min(os.cpu_count() or 1, 4) + 1)] if "-n" not in " ".join(arguments) else []
    command = [str(PYTEST), *workers, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def main(arguments: list[str]) -> int:
    seed = os.environ.get("SEED") or str(secrets.randbelow(2**31))
    arguments = ["-p", "no:cacheprovider", f"--randomly-seed={seed}", "--durations=12", *arguments]
    sys.stdout.write(f"seed {seed} (SEED={seed} repeats the order)\n")
    embedded = {"DATABASE_URL": "", "CELERY_BROKER_URL": "", "CACHE_URL": ""}
    database = os.environ.get("DATABASE_URL") or (LOCAL_POSTGRESQL if answers(5432) else "")
    redis = os.environ.get("CELERY_BROKER_URL") or (LOCAL_REDIS if answers(6379) else "")
    soaks = bool(os.environ.get("SOAK"))
    shared = ONLY_ON_POSTGRESQL + ([] if soaks else LONG_ON_POSTGRESQL)
    left_out = shared if database and redis else []
    status = run_suite("SQLite, file-system broker", [*arguments, *left_out], embedded)
    if status == 0 and database and redis:
        # Databases that are made for the tests need not survive a power cut.
        hasty = {"PGOPTIONS": "-c synchronous_commit=off"}
        production = {"DATABASE_URL": database, "CELERY_BROKER_URL": redis, "CACHE_URL": redis, **hasty}
        left_out = ONLY_ON_SQLITE + ([] if soaks else LONG_ON_SQLITE)
        return run_suite("PostgreSQL, Redis", [*arguments, *left_out], production)
    if not (database and redis):
        sys.stdout.write("PostgreSQL or Redis does not answer: the embedded default alone was tested.\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
