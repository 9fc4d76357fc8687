"""What is checked of a registration before anything is written: cheap things first, then what only a signer may ask."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max, Min

from accounts.states import AccountStatus
from cssm.common.compiled import CompiledModels, CompiledRead, CompiledTogether
from cssm.common.ratelimit import Limit
from licensing.codecs.device_data import Registration, parse_registration
from licensing.codecs.device_message import Envelope, Request
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import IdToken, InstanceKey, Origin, ProductInstance, RegistrationReceipt, UdiClaim
from licensing.services.devices.claims import CLAIMS, refuse_foreign_claim, refuse_reserved
from licensing.services.devices.identities import judge_owners, match_identifier, read_csr
from licensing.services.devices.origins import DIRECT
from licensing.services.devices.tokens import TOKENS, digest_token
from licensing.states import InstanceState, TokenState
from pki.crypto.csr import ParsedCsr
from pki.crypto.messages import verify_signature

REGISTRATIONS: Final = Limit("registrations", per_second=100, burst=2000)
LOST_ANSWER_GRACE: Final = timedelta(hours=24)

_KNOWN: Final = CompiledTogether(
    CompiledModels(lambda: RegistrationReceipt.objects.filter(pk="")),
    # Two of them where several products have used the key, whichever they are.
    CompiledRead(
        lambda: (
            InstanceKey.objects.filter(public_key_digest="")
            .order_by()
            .values("public_key_digest")
            .annotate(first=Min("instance__udi"), last=Max("instance__udi"))
            .values_list("first", "last")
        )
    ),
    TOKENS,
    CLAIMS,
    CompiledModels(lambda: Origin.objects.filter(name="")),
)

_TOKEN_REFUSALS: Final = {
    TokenState.REVOKED: (RefusalCode.TOKEN_REVOKED, "The ID token was revoked."),
    TokenState.EXPIRED: (RefusalCode.TOKEN_EXPIRED, "The ID token has expired."),
    TokenState.EXHAUSTED: (RefusalCode.TOKEN_EXHAUSTED, "The ID token has been used as often as it may be."),
}


@dataclass(frozen=True, slots=True)
class Application:
    """A registration request whose signature is by the key of its CSR."""

    request: Request
    registration: Registration
    csr: ParsedCsr
    key_digest: str

    @property
    def udi(self) -> str:
        return self.request.sudi.udi


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says about an application, all at one moment."""

    receipt: RegistrationReceipt | None
    owners: frozenset[str]
    token: IdToken | None
    claim: UdiClaim | None
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What an application may do; `brings_key`: its key is that of an earlier registration of the same product."""

    token: IdToken
    identifier: str
    brings_key: bool


def read_application(*, envelope: Envelope, request: Request) -> Application:
    """Raises `Refusal`: MALFORMED, CSR_INVALID, SIGNATURE_INVALID. No database."""
    registration = parse_registration(request.data)
    csr = read_csr(registration.csr)
    if not verify_signature(csr.spki_der, envelope.signature_bytes, envelope.signed_bytes):
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "The signature is not by the key of the CSR.")
    return Application(request, registration, csr, hashlib.sha256(csr.spki_der).hexdigest())


def look_up(application: Application) -> Known:
    """One query."""
    digest = digest_token(application.registration.id_token)
    key = [application.key_digest]
    receipt, owners, token, claim, origin = _KNOWN.first(key, key, [digest], [application.udi], [DIRECT])
    return Known(receipt, frozenset(owners or ()), token, claim, origin)


def admit(*, application: Application, known: Known, now: datetime) -> Admission:
    """Everything else. Raises `Refusal`: UDI_MISMATCH, CSR_INVALID, TOKEN_…, UDI_REGISTERED_ELSEWHERE, RATE_LIMITED."""
    identifier = match_identifier(application.csr, application.request.sudi)
    brings_key = judge_owners(known.owners, udi=application.udi)
    token, claim = known.token, known.claim
    if token is None or not _is_live(token):
        raise Refusal(RefusalCode.TOKEN_INVALID, "There is no such ID token.", where="$.data.id_token")
    free = is_free_of_charge(previous=claim.instance if claim else None, token=token, now=now)
    _refuse_spent_token(token, free=free, now=now)
    if claim is not None:
        refuse_foreign_claim(claim, smart_account_id=token.smart_account_id, now=now)
        refuse_reserved(claim)
    wait = REGISTRATIONS.take(str(token.smart_account_id), now=now)
    if wait:
        raise Refusal(
            RefusalCode.RATE_LIMITED,
            "More than 100 registrations per second into this Smart Account.",
            retry_seconds=wait,
        )
    return Admission(token, identifier, brings_key)


def is_free_of_charge(*, previous: ProductInstance | None, token: IdToken, now: datetime) -> bool:
    """Whether this is the same product once more, with the same token, since the answer (or its key) got lost."""
    return (
        previous is not None
        and previous.state == InstanceState.REGISTERING
        and previous.token_id == token.pk
        and previous.registered_at > now - LOST_ANSWER_GRACE
    )


def _is_live(token: IdToken) -> bool:
    return token.virtual_account.deleted_at is None and token.smart_account.status == AccountStatus.ACTIVE


def _refuse_spent_token(token: IdToken, *, free: bool, now: datetime) -> None:
    state = token.state_at(now)
    if state is TokenState.ACTIVE or (state is TokenState.EXHAUSTED and free):
        return
    code, message = _TOKEN_REFUSALS[state]
    raise Refusal(code, message, where="$.data.id_token")
