"""Issuing what an on-prem server is given, several certificates at once, in the same phases as for products:

prepared (intents stored) → signed (no database) → recorded, with the effect that hands them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from pki.crypto import certificates, profiles
from pki.crypto.certificates import Plan
from pki.models import Authority, Certificate, KeyRef, SigningRequest
from pki.services import key_pool, signing_requests
from pki.services.authorities import get_authority
from pki.services.issuing import check_may_issue
from pki.services.signing_requests import Signed
from pki.states import AuthorityName, ProfileName


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate. `spki_der` is None where the key is to be ours; `host_names` are lower case."""

    profile: ProfileName
    common_name: str
    spki_der: bytes | None = None
    host_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """A stored intent; `key` is ours, where it is ours."""

    request: SigningRequest
    plan: Plan
    key: KeyRef | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A signed certificate, not yet recorded."""

    signed: Signed
    pem: str
    key: KeyRef | None


def prepare_certificates(wanted: Sequence[Wanted], *, now: datetime) -> list[Intent]:
    """Store the intent to sign each of them, in a transaction of its own. Raises AuthorityMissing, IssuingStopped,
    KeyBlocked."""
    check_may_issue(each.spki_der for each in wanted if each.spki_der is not None)
    keys = [None if each.spki_der is not None else key_pool.claim_key(now=now) for each in wanted]
    with transaction.atomic(durable=True):
        issuers: dict[AuthorityName, Authority] = {}
        intents = []
        for each, key in zip(wanted, keys, strict=True):
            name = profiles.ALLOWED_ISSUERS[each.profile]
            issuer = issuers.get(name) or get_authority(name)
            issuers[name] = issuer
            plan = _plan(each, issuer, key, now)
            [request] = signing_requests.open_requests([(plan, key)], issuer=issuer, now=now)
            intents.append(Intent(request, plan, key))
    return intents


def sign_intents(intents: Sequence[Intent]) -> list[Issued]:
    """Sign them, in their order. No database. Raises ProfileViolation."""
    signed = [signing_requests.sign_request(intent.request, intent.plan) for intent in intents]
    return [
        Issued(each, certificates.encode_pem(each.der), intent.key)
        for each, intent in zip(signed, intents, strict=True)
    ]


def record_issued(issued: Sequence[Issued], *, now: datetime) -> list[Certificate]:
    """Record them, in the caller's transaction. Raises RequestClosed where the sweep voided one meanwhile."""
    return signing_requests.close_requests([each.signed for each in issued], now=now)


def void_intents(intents: Sequence[Intent], *, now: datetime) -> None:
    """Give them up: their effect was refused."""
    signing_requests.void_requests([intent.request for intent in intents], now=now)


def _plan(each: Wanted, issuer: Authority, key: KeyRef | None, now: datetime) -> Plan:
    crl_url, issuer_url = signing_requests.name_places(AuthorityName(issuer.name))
    spki_der = each.spki_der if key is None else key.spki_der
    if spki_der is None:
        raise ValueError("neither a key of theirs nor one of ours")
    return Plan(
        profile=each.profile,
        serial=certificates.make_serial(),
        common_name=each.common_name,
        spki_der=spki_der,
        issuer_der=bytes(issuer.certificate_der),
        now=now,
        crl_url=crl_url,
        issuer_url=issuer_url,
        host_names=each.host_names,
    )
