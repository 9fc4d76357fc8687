from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from pki.models import CaLogBatch, CaLogEntry, CaLogHead, Certificate, SigningRequest
from pki.services import ca_log
from pki.services.issuance import IssuedPair
from tests.tampering import without_triggers


@pytest.fixture
def sealed(issue: Callable[..., IssuedPair], now: datetime) -> None:
    """Three batches: the authorities', and one of each of two products."""
    ca_log.seal_ca_log(now=now)
    issue()
    ca_log.seal_ca_log(now=now)
    issue()
    ca_log.seal_ca_log(now=now)


def _problems() -> tuple[str, ...]:
    return ca_log.verify_ca_log().problems


def test_a_whole_log_verifies_and_tells_its_unsealed_tail(
    sealed: None, issue: Callable[..., IssuedPair], now: datetime
) -> None:
    issue()
    check = ca_log.verify_ca_log()
    assert (check.batches, check.entries, check.unsealed, check.problems) == (3, 11, 2, ())
    assert ca_log.seal_ca_log(now=now) == 2
    assert ca_log.seal_ca_log(now=now) == 0
    assert ca_log.verify_ca_log().unsealed == 0


def test_an_empty_log_verifies(db: None, now: datetime) -> None:
    assert ca_log.seal_ca_log(now=now) == 0
    assert _problems() == ()


def test_more_than_one_batch_is_sealed_in_one_run(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca_log, "BATCH_SIZE", 2)
    assert ca_log.seal_ca_log(now=now) == 5
    assert list(CaLogBatch.objects.values_list("entries", flat=True).order_by("number")) == [2, 2, 1]
    assert _problems() == ()


def test_an_entry_that_commits_late_is_sealed_in_spite_of_its_low_id(sealed: None, now: datetime) -> None:
    first = CaLogEntry.objects.order_by("pk")[0]
    late = CaLogEntry.objects.create(
        pk=first.pk - 1, kind="voided", serial="1", issuer="root", profile="root", subject="x", happened_at=now
    )
    assert ca_log.seal_ca_log(now=now) == 1
    late.refresh_from_db()
    assert late.batch_id == 4


@pytest.fixture
def past_the_triggers(sealed: None) -> Iterator[None]:
    """The database refuses all of this; the chain must notice it even so."""
    with without_triggers():
        yield


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "someone else"},
        {"serial": "abc"},
        {"certificate_sha256": "0" * 64},
        {"kind": "voided"},
        {"issuer": "root"},
        {"profile": "root"},
        {"happened_at": datetime.fromisoformat("2020-01-01T00:00:00+00:00")},
    ],
)
def test_an_edited_entry_is_noticed(past_the_triggers: None, change: dict[str, Any]) -> None:
    entry = CaLogEntry.objects.filter(batch=2).order_by("pk")[0]
    CaLogEntry.objects.filter(pk=entry.pk).update(**change)
    assert "Batch 2 of the CA log has been altered." in _problems()


def test_a_deleted_entry_is_noticed(past_the_triggers: None) -> None:
    CaLogEntry.objects.filter(batch=2).order_by("pk")[0].delete()
    assert "Batch 2 of the CA log has 1 entries instead of 2." in _problems()


def test_an_inserted_entry_is_noticed(past_the_triggers: None) -> None:
    entry = CaLogEntry.objects.filter(batch=2).order_by("pk")[0]
    entry.pk, entry.serial = None, "abc"
    entry.save()
    assert "Batch 2 of the CA log has 3 entries instead of 2." in _problems()


def test_cutting_off_the_end_is_noticed(past_the_triggers: None) -> None:
    CaLogEntry.objects.filter(batch=3).delete()
    CaLogBatch.objects.filter(number=3).delete()
    assert any(problem.startswith("The CA log ends at batch 2") for problem in _problems())


def test_cutting_off_the_end_and_its_certificates_and_moving_the_head_back_is_noticed(past_the_triggers: None) -> None:
    serials = list(CaLogEntry.objects.filter(batch=3).values_list("serial", flat=True))
    CaLogEntry.objects.filter(batch=3).delete()
    CaLogBatch.objects.filter(number=3).delete()
    Certificate.objects.filter(serial__in=serials).delete()
    SigningRequest.objects.filter(serial__in=serials).delete()
    last = CaLogBatch.objects.get(number=2)
    CaLogHead.objects.update(batches=2, entries=7, digest=last.digest)
    assert _problems() == ("The head of the CA log has been altered.",)


def test_a_missing_batch_or_head_is_noticed(past_the_triggers: None) -> None:
    CaLogEntry.objects.filter(batch=2).delete()
    CaLogBatch.objects.filter(number=2).delete()
    assert "Batch 2 of the CA log is missing." in _problems()
    CaLogHead.objects.all().delete()
    assert "The head of the CA log is missing." in _problems()


def test_a_certificate_that_the_log_does_not_know_is_noticed(past_the_triggers: None) -> None:
    entry = CaLogEntry.objects.order_by("pk").last()
    assert entry is not None
    entry.delete()
    assert f"The CA log has no 'issued' entry for serial number {entry.serial}." in _problems()


def test_a_certificate_exchanged_or_lost_after_the_log_was_written_is_noticed(past_the_triggers: None) -> None:
    one, other = Certificate.objects.order_by("-pk")[:2]
    Certificate.objects.filter(pk=one.pk).update(der=other.der)
    assert _problems() == (f"The certificate with serial number {one.serial} has been altered.",)
    one.delete()
    assert _problems() == (f"The certificate with serial number {one.serial} is missing.",)
