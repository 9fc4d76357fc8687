"""What the root signs later: never early, never twice, never lost."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction
from pytest_django import Settings

from pki.errors import PassphraseMissing
from pki.models import CaLogEntry, Certificate, RootRequest, SigningRequest
from pki.services import issuance, root_queue, signing_requests
from pki.states import LogKind, ProfileName, RequestState, RootRequestState
from pki.tasks import sign_root_requests
from tests.concurrency.threads import run_at_once
from tests.keys import load_keys
from tests.pki.tools import spki_of

LATER = timedelta(hours=48)


def enqueue(now: datetime, number: int = 0) -> RootRequest:
    with transaction.atomic():
        return root_queue.enqueue_request(
            profile=ProfileName.LOCAL_SUB_CA_3_TIER,
            common_name=f"server {number}",
            spki_der=spki_of(load_keys()[8]),
            due_at=now + LATER,
            now=now,
        )


def signed() -> int:
    return Certificate.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER).count()


def test_it_is_signed_when_it_is_due_and_not_a_moment_before(hierarchy: None, now: datetime) -> None:
    request = enqueue(now)
    assert root_queue.sign_due(now=now + LATER - timedelta(seconds=1)) == 0
    assert signed() == 0
    assert root_queue.sign_due(now=now + LATER) == 1
    request.refresh_from_db()
    assert request.state == RootRequestState.SIGNED
    assert root_queue.sign_due(now=now + 2 * LATER) == 0
    assert signed() == 1


def test_a_process_without_the_passphrase_signs_nothing(hierarchy: None, now: datetime, settings: Settings) -> None:
    settings.ROOT_KEY_PASSPHRASE = ""
    enqueue(now)
    assert root_queue.sign_due(now=now) == 0
    with pytest.raises(PassphraseMissing):
        root_queue.sign_due(now=now + LATER)
    with pytest.raises(PassphraseMissing):
        sign_root_requests()
    assert SigningRequest.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER).count() == 0


def test_a_held_one_waits_until_it_is_released(hierarchy: None, now: datetime) -> None:
    request = enqueue(now)
    assert root_queue.hold_request(request_id=request.pk)
    assert not root_queue.hold_request(request_id=request.pk)
    assert root_queue.sign_due(now=now + 2 * LATER) == 0
    assert root_queue.release_request(request_id=request.pk, due_at=now + 2 * LATER)
    assert root_queue.sign_due(now=now + 2 * LATER) == 1
    assert not root_queue.release_request(request_id=request.pk, due_at=now)
    assert not root_queue.cancel_request(request_id=request.pk)


def test_an_early_release_signs_early(hierarchy: None, now: datetime) -> None:
    request = enqueue(now)
    assert root_queue.release_request(request_id=request.pk, due_at=now)
    assert root_queue.sign_due(now=now) == 1


def test_a_cancelled_one_is_never_signed(hierarchy: None, now: datetime) -> None:
    request = enqueue(now)
    assert root_queue.cancel_request(request_id=request.pk)
    assert root_queue.sign_due(now=now + LATER) == 0


def test_one_that_was_interrupted_is_signed_once(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = enqueue(now)
    real = signing_requests.sign_request

    def die(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(signing_requests, "sign_request", die)
    due = now + LATER
    with pytest.raises(KeyboardInterrupt):
        root_queue.sign_due(now=due)
    monkeypatch.setattr(signing_requests, "sign_request", real)
    assert root_queue.sign_due(now=due + timedelta(minutes=14)) == 0
    issuance.void_stale_intents(now=due + timedelta(minutes=16))
    assert root_queue.sign_due(now=due + timedelta(minutes=16)) == 1
    request.refresh_from_db()
    assert request.state == RootRequestState.SIGNED
    states = SigningRequest.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER).values_list("state", flat=True)
    assert sorted(states) == [RequestState.ISSUED, RequestState.VOIDED]
    assert CaLogEntry.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER, kind=LogKind.ISSUED).count() == 1


def test_one_cancelled_while_it_was_signed_leaves_no_certificate(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = enqueue(now)
    real = signing_requests.sign_request

    def sign_and_cancel(*args: object, **options: object) -> object:
        root_queue.cancel_request(request_id=request.pk)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(signing_requests, "sign_request", sign_and_cancel)
    assert root_queue.sign_due(now=now + LATER) == 0
    assert signed() == 0


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_four_workers_sign_each_request_once(hierarchy: None, now: datetime) -> None:
    for number in range(20):
        enqueue(now, number)
    run_at_once(*[lambda: root_queue.sign_due(now=now + LATER)] * 4)
    assert signed() == 20
    assert SigningRequest.objects.filter(profile=ProfileName.LOCAL_SUB_CA_3_TIER).count() == 20
