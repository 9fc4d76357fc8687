from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from pki import keystore
from pki.errors import ProfileViolation, RequestClosed
from pki.models import CaLogEntry, Certificate, KeyRef, PooledKey, SigningRequest, StoredKey
from pki.services import authorities, ca_log, issuance, key_pool, signing_requests
from pki.services.issuance import IssuedPair, Prepared
from pki.states import LogKind, ProfileName, RequestState
from pki.tasks import fill_key_pool as fill_task
from pki.tasks import seal_ca_log as seal_task
from pki.tasks import void_stale_intents as void_task
from tests.keys import load_keys
from tests.pki.tools import spki_of

Issue = Callable[..., IssuedPair]


def _prepare(now: datetime) -> Prepared:
    return issuance.prepare_product_certificates(
        csr_public_key=spki_of(load_keys()[0]),
        common_name="PID:SN",
        permanent_identifier="PID:SN",
        serial_number="SN",
        now=now,
    )


def test_what_is_issued_is_recorded_byte_for_byte(issue: Issue) -> None:
    issued = issue()
    for pem, serial, profile in (
        (issued.id_cert_pem, issued.id_cert_serial, ProfileName.PRODUCT_ID),
        (issued.signing_cert_pem, issued.signing_cert_serial, ProfileName.MESSAGE_SIGNING),
    ):
        row = Certificate.objects.get(serial=serial)
        certificate = x509.load_pem_x509_certificate(pem.encode())
        assert bytes(row.der) == certificate.public_bytes(Encoding.DER)
        assert row.profile == profile
        assert (row.not_before, row.not_after) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        assert row.request.state == RequestState.ISSUED
        assert CaLogEntry.objects.get(serial=serial).kind == LogKind.ISSUED
    assert issued.sub_ca_pem == authorities.sub_ca_pem()
    assert issued.signing_key.spki_der == bytes(StoredKey.objects.get(pk=issued.signing_key.id).spki_der)


def test_the_intent_is_stored_before_anything_is_signed(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = _prepare(now)
    pending = SigningRequest.objects.filter(state=RequestState.PENDING)
    assert {row.serial for row in pending} == {prepared.id_request.serial, prepared.signing_request.serial}
    assert not Certificate.objects.filter(serial=prepared.id_request.serial).exists()


def test_signing_asks_the_database_nothing(
    hierarchy: None, now: datetime, django_assert_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    prepared = _prepare(now)
    with django_assert_num_queries(0):
        issuance.sign_prepared(prepared)


def test_issuing_takes_few_queries(hierarchy: None, now: datetime) -> None:
    key_pool.fill_key_pool(now=now, limit=1)
    with CaptureQueriesContext(connection) as queries:
        prepared = _prepare(now)
    assert len([q for q in queries if "SAVEPOINT" not in (q["sql"] or "")]) <= 8
    issued = issuance.sign_prepared(prepared)
    with CaptureQueriesContext(connection) as queries:
        issuance.record_issued(issued, now=now)
    assert len([q for q in queries if "SAVEPOINT" not in (q["sql"] or "")]) <= 3


@pytest.mark.django_db(transaction=True)
def test_intents_are_not_stored_inside_another_transaction(now: datetime) -> None:
    authorities.bootstrap_authorities(now=now)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        _prepare(now)


def test_a_certificate_outside_its_profile_is_never_signed(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tbs: bytes, plan: object) -> None:
        raise ProfileViolation("no")

    def sign(key: KeyRef, message: bytes) -> bytes:
        raise AssertionError("signed")

    prepared = _prepare(now)
    monkeypatch.setattr(signing_requests, "check_tbs", refuse)
    monkeypatch.setattr(keystore, "sign_as_authority", sign)
    with pytest.raises(ProfileViolation):
        issuance.sign_prepared(prepared)


def test_a_wrong_signature_does_not_leave_the_house(
    hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = _prepare(now)
    monkeypatch.setattr(keystore, "sign_as_authority", lambda key, message: bytes(256))
    with pytest.raises(ProfileViolation, match="does not verify"):
        issuance.sign_prepared(prepared)


def test_an_intent_without_a_result_is_voided_and_its_key_destroyed(hierarchy: None, now: datetime) -> None:
    prepared = _prepare(now)
    assert issuance.void_stale_intents(now=now + timedelta(minutes=15)) == 0
    assert issuance.void_stale_intents(now=now + timedelta(minutes=16)) == 2
    assert not StoredKey.objects.filter(pk=prepared.signing_key.id).exists()
    entries = CaLogEntry.objects.filter(kind=LogKind.VOIDED)
    assert {entry.serial for entry in entries} == {prepared.id_request.serial, prepared.signing_request.serial}
    assert ca_log.verify_ca_log().problems == ()
    assert issuance.void_stale_intents(now=now + timedelta(minutes=17)) == 0


def test_a_voided_intent_cannot_be_recorded_any_more(hierarchy: None, now: datetime) -> None:
    issued = issuance.sign_prepared(_prepare(now))
    issuance.void_stale_intents(now=now + timedelta(hours=1))
    with pytest.raises(RequestClosed), transaction.atomic():
        issuance.record_issued(issued, now=now)
    assert not Certificate.objects.filter(serial=issued.id_cert_serial).exists()


def test_the_same_result_cannot_be_recorded_twice(issue: Issue, now: datetime) -> None:
    issued = issue()
    with pytest.raises(RequestClosed), transaction.atomic():
        issuance.record_issued(issued, now=now)


def test_no_two_serial_numbers_are_alike(issue: Issue) -> None:
    serials = {
        serial for _ in range(5) for pair in [issue()] for serial in (pair.id_cert_serial, pair.signing_cert_serial)
    }
    assert len(serials) == 10


def test_the_pool_is_filled_to_its_size_and_no_further(db: None, now: datetime, settings: Settings) -> None:
    settings.KEY_POOL_SIZE = 4
    assert key_pool.fill_key_pool(now=now, limit=3) == 3
    assert key_pool.fill_key_pool(now=now) == 1
    assert key_pool.fill_key_pool(now=now) == 0
    assert PooledKey.objects.count() == 4


def test_a_key_is_given_once_and_made_on_the_spot_when_the_pool_is_empty(db: None, now: datetime) -> None:
    key_pool.fill_key_pool(now=now, limit=2)
    pooled = set(PooledKey.objects.values_list("pk", flat=True))
    claimed = [key_pool.claim_key(now=now).id for _ in range(4)]
    assert len(set(claimed)) == 4
    assert pooled < set(claimed)
    assert not PooledKey.objects.exists()


def test_filling_that_is_interrupted_keeps_what_was_made(
    db: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_pool, "FILL_SECONDS", 0.0)
    assert key_pool.fill_key_pool(now=now) == 0
    made: list[object] = []
    make = keystore.make_key

    def interrupted(algorithm: object) -> keystore.NewKey:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(algorithm)
        return make(algorithm)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(key_pool, "FILL_SECONDS", 50.0)
    monkeypatch.setattr(keystore, "make_key", interrupted)
    with pytest.raises(KeyboardInterrupt):
        key_pool.fill_key_pool(now=now)
    assert PooledKey.objects.count() == 2
    made.clear()
    assert key_pool.fill_key_pool(now=now, limit=1) == 1, "the lease was given back"


@pytest.mark.parametrize(("there", "left"), [(10, 9), (1, 0)])
def test_while_keys_are_taken_none_are_made_unless_few_are_left(
    db: None, now: datetime, monkeypatch: pytest.MonkeyPatch, settings: Settings, there: int, left: int
) -> None:
    settings.KEY_POOL_SIZE = 12
    key_pool.fill_key_pool(now=now, limit=there)
    asked: list[str] = []
    add = key_pool._add_key

    def add_while_others_register(new: keystore.NewKey, at: datetime) -> None:
        add(new, at)
        for _ in range(2):
            if key_pool.claim_pooled_key() is None:
                monkeypatch.setattr(key_pool, "FILL_SECONDS", -1.0)  # seen enough

    monkeypatch.setattr(key_pool, "_add_key", add_while_others_register)
    monkeypatch.setattr(key_pool, "nudge", asked.append)
    key_pool.fill_key_pool(now=now, limit=None if left else 8)
    assert PooledKey.objects.count() == left
    assert (asked == []) == (left > 0)


def test_the_tasks_do_their_work_by_name(hierarchy: None, settings: Settings, issue: Issue) -> None:
    settings.KEY_POOL_SIZE = 2
    fill_task()
    assert PooledKey.objects.count() == 2
    issue()
    seal_task()
    assert ca_log.verify_ca_log().unsealed == 0
    void_task()
    names = [task.name for task in (fill_task, seal_task, void_task)]
    assert names == ["pki.fill_key_pool", "pki.seal_ca_log", "pki.void_stale_intents"]
