"""`make bench`: absolute figures and their ratio to what the machine could do at best, one table.

`python -m tests.benchmarks pools` measures only the parts named.
Requests are made and signed beforehand, so that the driver costs little; server, database and driver share the cores.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.benchmarks import burst, device_load, floors, onprem, pools
from tests.benchmarks.report import Row, table
from tests.flows.stack import Stack
from tests.run_suites import LOCAL_POSTGRESQL, LOCAL_REDIS, answers


def main(chosen: list[str]) -> int:
    if answers(5432) and not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = LOCAL_POSTGRESQL
    if answers(6379) and not os.environ.get("CELERY_BROKER_URL"):
        os.environ["CELERY_BROKER_URL"] = os.environ["CACHE_URL"] = LOCAL_REDIS
    database = os.environ.get("DATABASE_URL", "")
    sys.stdout.write(f"{os.cpu_count()} cores, {'PostgreSQL' if database.startswith('postgres') else 'SQLite'}\n")
    rows: list[Row] = list(floors.measure())
    stack = Stack(
        folder=Path(tempfile.mkdtemp(prefix="bench")),
        web_workers=2,
        key_pool_size=int(os.environ.get("BENCH_POOL", 0)) or pool_size(chosen),
    )
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "devices": lambda: device_load.measure(stack, floor=rows[0].value),
        "burst": lambda: burst.measure(stack),
        "pools": lambda: pools.measure(stack),
        "onprem": lambda: onprem.measure(stack),
    }
    try:
        stack.start()
        for name in chosen or parts:
            for row in parts[name]():
                rows.append(row)
                sys.stderr.write(f"{row.what}: {row.value:,.1f} {row.unit}  {row.ratio}\n")
    finally:
        stack.stop()
    sys.stdout.write(table(rows))
    return 0


def pool_size(chosen: list[str]) -> int:
    """Signing keys made ahead, as many as the parts take at once."""
    return burst.BURST + burst.SPARE_KEYS if not chosen or "burst" in chosen else 700


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
