"""Run as a program beside a loaded database: changes the use of one pool and prints the milliseconds as JSON."""

import json
import sys
import time

import django

django.setup()

from django.db import transaction  # noqa: E402  settings come first

from cssm.common.clock import read_clock  # noqa: E402  settings come first
from licensing.models import Pool  # noqa: E402  settings come first
from licensing.services.pools.compliance import assess  # noqa: E402  settings come first
from licensing.services.pools.deltas import PoolChange, record_change  # noqa: E402  settings come first
from licensing.services.pools.fold import fold_unit  # noqa: E402  settings come first


def main(changes: int) -> None:
    pool = Pool.objects.filter(license__tag__startswith="load-").order_by("pk")[0]
    timings: dict[str, list[float]] = {"status told to a product": [], "status after a change (fold)": []}
    for number in range(changes):
        growth = 1 if number % 2 == 0 else -1
        begun = time.perf_counter()
        assess(
            virtual_account_id=pool.virtual_account_id,
            license_ids=[pool.license_id],
            own_changes={pool.license_id: growth},
            now=read_clock(),
        )
        timings["status told to a product"].append((time.perf_counter() - begun) * 1000)
        with transaction.atomic():
            change = PoolChange(pool.pk, in_use=growth)
            record_change(virtual_account_id=pool.virtual_account_id, changes=[change], now=read_clock())
        begun = time.perf_counter()
        fold_unit(unit_id=pool.unit_id, now=read_clock())
        timings["status after a change (fold)"].append((time.perf_counter() - begun) * 1000)
    sys.stdout.write(json.dumps(timings))


if __name__ == "__main__":
    main(int(sys.argv[1]))
