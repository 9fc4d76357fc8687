"""Doing again what the database gave up on, so that no deadlock reaches whoever asked."""

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError

T = TypeVar("T")

ATTEMPTS: Final = 4
TRANSIENT_SQLSTATES: Final = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL: serialization failure, deadlock, lock not available."""


def is_transient(error: OperationalError) -> bool:
    """Whether the same work may well succeed a moment later: nothing of it was kept."""
    return getattr(error.__cause__, "sqlstate", None) in TRANSIENT_SQLSTATES or "database is locked" in str(error)


def retry_transient(work: Callable[[], T]) -> T:
    """What `work`, one whole transaction or savepoint, returns; tried up to 4 times where the database gave up."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except OperationalError as error:
            if not is_transient(error):
                raise
    return work()
