"""What only real concurrency shows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from typing import TypeVar

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from pki.models import Authority, CaLogBatch, CaLogEntry, Certificate, PooledKey, SigningRequest
from pki.services import authorities, ca_log, key_pool
from pki.services.authorities import AuthorityName
from pki.states import LogKind, ProfileName, RequestState

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

T = TypeVar("T")


def _at_once(count: int, work: Callable[[], T]) -> list[T]:
    barrier = Barrier(count)

    def start() -> T:
        try:
            barrier.wait(timeout=20)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=60) for future in [pool.submit(start) for _ in range(count)]]


def test_no_key_is_given_twice_to_claims_at_once(now: datetime) -> None:
    key_pool.fill_key_pool(now=now, limit=40)
    pooled = set(PooledKey.objects.values_list("pk", flat=True))
    claimed = [key for keys in _at_once(8, lambda: [key_pool.claim_key(now=now).id for _ in range(6)]) for key in keys]
    assert len(set(claimed)) == 48
    assert pooled < set(claimed)
    assert not PooledKey.objects.exists()


def test_without_the_lock_a_key_is_given_twice(now: datetime) -> None:
    """The positive control: the same claims without the row lock and without looking at what the DELETE hit."""
    key_pool.fill_key_pool(now=now, limit=1)
    barrier = Barrier(4)

    def claim_carelessly() -> int:
        with transaction.atomic():
            row = PooledKey.objects.get()
            barrier.wait(timeout=20)
            PooledKey.objects.filter(pk=row.pk).delete()
        return int(row.pk)

    assert len(set(_at_once(4, claim_carelessly))) == 1


def test_bootstraps_at_once_end_with_one_hierarchy(now: datetime) -> None:
    _at_once(4, lambda: authorities.bootstrap_authorities(now=now))
    assert Authority.objects.count() == len(AuthorityName)
    assert Certificate.objects.count() == len(AuthorityName)
    assert not SigningRequest.objects.filter(state=RequestState.PENDING).exists()
    assert authorities.find_problems() == []
    assert ca_log.verify_ca_log().problems == ()


def test_sealers_at_once_write_one_chain(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca_log, "BATCH_SIZE", 7)
    CaLogEntry.objects.bulk_create(
        CaLogEntry(
            kind=LogKind.ISSUED,
            serial=f"{number:x}",
            issuer=AuthorityName.PRODUCT_SUB_CA,
            profile=ProfileName.PRODUCT_ID,
            subject="PID:SN",
            happened_at=now,
        )
        for number in range(100)
    )
    assert sum(_at_once(4, lambda: ca_log.seal_ca_log(now=now))) == 100
    assert sum(CaLogBatch.objects.values_list("entries", flat=True)) == 100
    assert not [problem for problem in ca_log.verify_ca_log().problems if "altered" in problem or "ends at" in problem]


def test_fillers_at_once_do_not_exceed_the_size(now: datetime, settings: Settings) -> None:
    settings.KEY_POOL_SIZE = 5
    assert sum(_at_once(4, lambda: key_pool.fill_key_pool(now=now))) == 5
    assert PooledKey.objects.count() == 5
