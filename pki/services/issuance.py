"""Issuing a product's two certificates: its ID certificate, and the one that proves our answers to it.

Phases, so that no signature is made inside a transaction and every signature has its durable intent:

    prepared = prepare_product_certificates(…)      # its own short transaction: claimed key, serials, intents
    issued = sign_prepared(prepared)                # no database
    with transaction.atomic():
        …
        record_issued(issued, now=now)              # with the effect that hands them out
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from pki.crypto import certificates
from pki.crypto.certificates import Plan
from pki.models import Authority, KeyRef, SigningRequest, StoredKey
from pki.services import key_pool, signing_requests
from pki.services.authorities import get_authority
from pki.services.signing_requests import Signed
from pki.states import AuthorityName, ProfileName, RequestState

STALE_AFTER: Final = timedelta(minutes=15)
_VOID_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """Stored intents; what `sign_prepared` needs."""

    signing_key: KeyRef
    id_request: SigningRequest
    id_plan: Plan
    signing_request: SigningRequest
    signing_plan: Plan
    sub_ca_der: bytes


@dataclass(frozen=True, slots=True)
class IssuedPair:
    """Signed, not yet recorded. Serial numbers are lower-case hex without leading zeros; certificates are PEM."""

    signing_key: KeyRef
    id_cert_pem: str
    id_cert_serial: str
    signing_cert_pem: str
    signing_cert_serial: str
    sub_ca_pem: str
    not_after: datetime
    signed: tuple[Signed, Signed]


def prepare_product_certificates(
    *, csr_public_key: bytes, common_name: str, permanent_identifier: str, serial_number: str | None, now: datetime
) -> Prepared:
    """Claim a signing key and store the intent to sign both certificates, in a transaction of its own.

    `csr_public_key` is the SubjectPublicKeyInfo (DER) of a checked CSR, `permanent_identifier` the whole `PID:SN` or
    the uuid; `serial_number` goes into the subject where it is a PrintableString of at most 64 characters.
    Eight queries. Raises AuthorityMissing, IssuingStopped, KeyBlocked.
    """
    issuer = get_authority(AuthorityName.PRODUCT_SUB_CA)
    id_plan = _make_plan(
        issuer,
        ProfileName.PRODUCT_ID,
        spki_der=csr_public_key,
        common_name=common_name,
        now=now,
        permanent_identifier=permanent_identifier,
        serial_number=serial_number,
    )
    # Durable: the intent must have been committed before anything is signed.
    with transaction.atomic(durable=True):
        pooled = key_pool.claim_pooled_key()
        if pooled is not None:
            return _open_pair(issuer, id_plan, pooled, now)
    generated = key_pool.generate_key(now=now)
    with transaction.atomic(durable=True):
        return _open_pair(issuer, id_plan, generated, now)


def sign_prepared(prepared: Prepared) -> IssuedPair:
    """Check both certificates against their profiles and sign them. No database. Raises ProfileViolation."""
    id_signed = signing_requests.sign_request(prepared.id_request, prepared.id_plan)
    signing_signed = signing_requests.sign_request(prepared.signing_request, prepared.signing_plan)
    return IssuedPair(
        signing_key=prepared.signing_key,
        id_cert_pem=certificates.encode_pem(id_signed.der),
        id_cert_serial=prepared.id_request.serial,
        signing_cert_pem=certificates.encode_pem(signing_signed.der),
        signing_cert_serial=prepared.signing_request.serial,
        sub_ca_pem=certificates.encode_pem(prepared.sub_ca_der),
        not_after=prepared.id_plan.not_after,
        signed=(id_signed, signing_signed),
    )


def record_issued(issued: IssuedPair, *, now: datetime) -> None:
    """Record the ID and the signing certificate, in the caller's transaction; three queries.

    Raises RequestClosed if the sweep voided them meanwhile (they were prepared more than 15 minutes ago).
    """
    signing_requests.close_requests(issued.signed, now=now)


def void_stale_intents(*, now: datetime) -> int:
    """Void requests without a result after 15 minutes and destroy the keys claimed for them; returns how many."""
    total = 0
    while voided := _void_batch(now):
        total += voided
    return total


def _void_batch(now: datetime) -> int:
    with transaction.atomic():
        pending = SigningRequest.objects.filter(state=RequestState.PENDING, created_at__lt=now - STALE_AFTER)
        locked = pending.select_for_update(skip_locked=True, of=("self",)).select_related("issuer")
        requests = list(locked.order_by("created_at")[:_VOID_BATCH])
        if requests:
            signing_requests.void_requests(requests, now=now)
            orphans = [r.key_id for r in requests if r.profile == ProfileName.MESSAGE_SIGNING and r.key_id is not None]
            StoredKey.objects.filter(pk__in=orphans).delete()
    return len(requests)


def _open_pair(issuer: Authority, id_plan: Plan, key: KeyRef, now: datetime) -> Prepared:
    signing_plan = _make_plan(
        issuer,
        ProfileName.MESSAGE_SIGNING,
        spki_der=key.spki_der,
        common_name=f"Message Signing {key.id}",
        now=now,
    )
    plans = [(id_plan, None), (signing_plan, key)]
    id_request, signing_request = signing_requests.open_requests(plans, issuer=issuer, now=now)
    return Prepared(key, id_request, id_plan, signing_request, signing_plan, bytes(issuer.certificate_der))


def _make_plan(
    issuer: Authority,
    profile: ProfileName,
    *,
    spki_der: bytes,
    common_name: str,
    now: datetime,
    permanent_identifier: str | None = None,
    serial_number: str | None = None,
) -> Plan:
    crl_url, issuer_url = signing_requests.name_places(AuthorityName(issuer.name))
    return Plan(
        profile=profile,
        serial=certificates.make_serial(),
        common_name=common_name,
        spki_der=spki_der,
        issuer_der=bytes(issuer.certificate_der),
        now=now,
        crl_url=crl_url,
        issuer_url=issuer_url,
        serial_number=serial_number,
        permanent_identifier=permanent_identifier,
    )
