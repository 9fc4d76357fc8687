"""Signing keys made ahead: generating one takes 30 ms, claiming one well under a millisecond."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from cssm.common.jobs import nudge
from cssm.common.leases import lease
from cssm.common.priority import step_back
from cssm.common.statements import prepared_cursor
from pki import keystore
from pki.models import KeyRef, PooledKey
from pki.states import KeyAlgorithm, KeyPurpose

FILL_TASK: Final = "pki.fill_key_pool"
FILL_SECONDS: Final = 50.0
_LEASE_SECONDS: Final = 90.0
_CLAIM: Final = (
    "DELETE FROM pki_pooledkey WHERE key_id = (SELECT key_id FROM pki_pooledkey ORDER BY key_id LIMIT 1 {skip})"
    " RETURNING key_id, {stored}"
)
_STORED: Final = ", ".join(
    f"(SELECT k.{column} FROM pki_storedkey k WHERE k.id = key_id)"  # noqa: S608  our own names
    for column in ("purpose", "wrapped", "spki_der")
)
# While more than this part of the pool is there, keys are made between bursts of registrations and not beside them.
_RESERVE: Final = 0.1
# Generating is the one thing that burns a processor for minutes; whoever answers devices and people goes first. The
# library lets go of the interpreter while it generates.
_NICENESS: Final = 15


def fill_key_pool(*, now: datetime, limit: int | None = None) -> int:
    """Generate keys until KEY_POOL_SIZE are there, at most `limit`, for at most 50 seconds; returns how many were made.

    One key, one transaction: it can be interrupted at any moment. Where another process is filling, nothing is done.
    Where keys are taken while one is made, and enough are left, it stops until the schedule's next run. Else, if keys
    are still missing, the next run is asked for.
    """
    deadline = time.monotonic() + FILL_SECONDS
    made, level, is_busy = 0, 0, False
    background = ThreadPoolExecutor(
        max_workers=1, thread_name_prefix="key-pool", initializer=partial(step_back, _NICENESS)
    )
    with lease(FILL_TASK, now=now, seconds=_LEASE_SECONDS) as obtained, background:
        if not obtained:
            return 0
        while (limit is None or made < limit) and (missing := count_missing()) > 0:
            before, level = level, settings.KEY_POOL_SIZE - missing
            is_busy = level < before and level > _RESERVE * settings.KEY_POOL_SIZE
            if is_busy or time.monotonic() >= deadline:
                break
            _add_key(background.submit(keystore.make_key, KeyAlgorithm.RSA_2048).result(), now)
            made, level = made + 1, level + 1
    if limit is None and missing > 0 and not is_busy:
        nudge(FILL_TASK)
    return made


def count_missing() -> int:
    """How many keys the pool lacks."""
    return max(0, settings.KEY_POOL_SIZE - PooledKey.objects.count())


def claim_key(*, now: datetime) -> KeyRef:
    """A key that nobody has used or will use; generated on the spot if the pool is empty."""
    with transaction.atomic():
        key = claim_pooled_key()
    return key or generate_key(now=now)


def claim_pooled_key() -> KeyRef | None:
    """Take a key out of the pool, in the caller's transaction; None if it is empty. One query.

    Rows that others are claiming are skipped, not waited for; SQLite has one writer at a time.
    """
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with prepared_cursor() as cursor:
        cursor.execute(_CLAIM.format(skip=skip, stored=_STORED))
        row = cursor.fetchone()
    if row is None:
        nudge(FILL_TASK)
        return None
    pk, purpose, wrapped, spki_der = row
    return KeyRef(pk, KeyPurpose(purpose), bytes(wrapped), bytes(spki_der))


def generate_key(*, now: datetime) -> KeyRef:
    """A new key, not by way of the pool. Not to be called inside a transaction."""
    return keystore.keep_key(keystore.make_key(KeyAlgorithm.RSA_2048), purpose=KeyPurpose.MESSAGES, now=now)


def _add_key(new: keystore.NewKey, now: datetime) -> None:
    with transaction.atomic():
        key = keystore.keep_key(new, purpose=KeyPurpose.MESSAGES, now=now)
        PooledKey.objects.create(key_id=key.id)
