"""The issuance cycle, for whoever issues: open (intent stored) → sign (checked, no database) → close (recorded).

A certificate leaves this process only after `close_requests` committed: what anyone holds is in our records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction

from cssm.common.compiled import CompiledInsert
from cssm.common.statements import change
from pki import keystore
from pki.crypto import certificates
from pki.crypto.certificates import Plan
from pki.crypto.profile_check import check_tbs
from pki.crypto.profiles import ALLOWED_ISSUERS
from pki.errors import ProfileViolation, RequestClosed
from pki.models import Authority, Certificate, KeyRef, SigningRequest
from pki.services.ca_log import log_requests
from pki.services.issuing import check_may_issue
from pki.states import AuthorityName, LogKind, RequestState

_REQUESTS: Final = CompiledInsert(SigningRequest)
_CERTIFICATES: Final = CompiledInsert(Certificate)
_CLOSE: Final = "UPDATE pki_signingrequest SET state = %s, closed_at = %s WHERE state = %s AND id IN ({places})"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed certificate (DER) that still has to be recorded."""

    request: SigningRequest
    plan: Plan
    der: bytes


def open_requests(
    plans: Sequence[tuple[Plan, KeyRef | None]], *, issuer: Authority, now: datetime, although_stopped: bool = False
) -> list[SigningRequest]:
    """Store the intent to sign each plan; the key is the one to be certified, where it is ours. Two queries.

    Only an authority of our own is certified `although_stopped`. Raises IssuingStopped, KeyBlocked.
    """
    check_may_issue((plan.spki_der for plan, _ in plans), although_stopped=although_stopped)
    requests = [
        SigningRequest(
            serial=certificates.format_serial(plan.serial),
            issuer=issuer,
            profile=plan.profile,
            subject=plan.common_name,
            key_id=None if key is None else key.id,
            created_at=now,
        )
        for plan, key in plans
    ]
    _REQUESTS.add(*requests)
    return requests


def sign_request(request: SigningRequest, plan: Plan, *, passphrase: str | None = None) -> Signed:
    """Check against the profile, then sign those very bytes. No database. Raises ProfileViolation, PassphraseMissing.

    A passphrase is given where the issuer's key is locked by one (the root's).
    """
    issuer = request.issuer
    if issuer.name != ALLOWED_ISSUERS[plan.profile]:
        raise ProfileViolation(f"{issuer.name} does not issue certificates of profile {plan.profile}.", where="issuer")
    tbs = certificates.build_tbs(plan)
    check_tbs(tbs, plan)
    key = issuer.key.ref
    if passphrase is None:
        signature = keystore.sign_as_authority(key, tbs)
    else:
        signature = keystore.sign_as_root(key, tbs, passphrase=passphrase)
    der = certificates.assemble(tbs, signature)
    # A wrong signature would give away the key of the issuer (fault attacks on RSA-CRT), so it is looked at.
    if not certificates.is_signed_by(der, key.spki_der):
        raise ProfileViolation("The signature just made does not verify.", where="signature")
    return Signed(request, plan, der)


def close_requests(signed: Sequence[Signed], *, now: datetime) -> list[Certificate]:
    """Record the certificates, in the caller's transaction. Raises RequestClosed if one was voided meanwhile.

    Three queries.
    """
    with transaction.atomic(savepoint=False):
        _close([each.request for each in signed], RequestState.ISSUED, now)
        recorded = [
            Certificate(
                request=each.request,
                issuer=each.request.issuer,
                serial=each.request.serial,
                profile=each.plan.profile,
                subject=each.plan.common_name,
                der=each.der,
                not_before=each.plan.not_before,
                not_after=each.plan.not_after,
                issued_at=now,
            )
            for each in signed
        ]
        _CERTIFICATES.add(*recorded)
        log_requests([(each.request, each.der) for each in signed], kind=LogKind.ISSUED, now=now)
    return recorded


def void_requests(requests: Sequence[SigningRequest], *, now: datetime) -> None:
    """Give up requests without a result. Raises RequestClosed if one got its result meanwhile."""
    with transaction.atomic():
        _close(requests, RequestState.VOIDED, now)
        log_requests([(request, b"") for request in requests], kind=LogKind.VOIDED, now=now)


def name_places(issuer: AuthorityName) -> tuple[str, str]:
    """The URLs of an authority's revocation list and certificate, always over http: fetching them must not need a
    certificate to be checked first (RFC 5280 section 8). A port of an https `PUBLIC_URL` is left out, it speaks TLS."""
    parts = urlsplit(settings.PUBLIC_URL)
    host = parts.netloc if parts.scheme == "http" else (parts.hostname or "")
    return f"http://{host}/pki/{issuer}.crl", f"http://{host}/pki/{issuer}.pem"


def _close(requests: Sequence[SigningRequest], state: RequestState, now: datetime) -> None:
    places = ", ".join(["%s"] * len(requests))
    at = connection.ops.adapt_datetimefield_value(now)
    keys = [request.pk for request in requests]
    change(
        _CLOSE.format(places=places),
        [state.value, at, RequestState.PENDING.value, *keys],
        missed=RequestClosed("A signing request was closed before its result could be recorded; ask again."),
        rows=len(requests),
    )
