"""One holder per kind of job, across processes and machines."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from cssm.common.models import Lease


@contextmanager
def lease(name: str, *, now: datetime, seconds: float) -> Iterator[bool]:
    """Hold the named lease; yields whether it was obtained. It lapses after `seconds`, should its holder die."""
    holder = secrets.token_hex(8)
    obtained = _take(name, holder, now, timedelta(seconds=seconds))
    try:
        yield obtained
    finally:
        if obtained:
            with transaction.atomic():
                Lease.objects.filter(name=name, holder=holder).update(holder="", expires_at=now)


def _take(name: str, holder: str, now: datetime, duration: timedelta) -> bool:
    with transaction.atomic():
        free = Lease.objects.filter(Q(holder="") | Q(expires_at__lte=now), name=name)
        if free.update(holder=holder, expires_at=now + duration):
            return True
        if Lease.objects.filter(name=name).exists():
            return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, holder=holder, expires_at=now + duration)
    except IntegrityError:
        return False
    return True
