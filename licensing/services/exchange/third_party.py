"""THIRD_PARTY_KEY: a key of somebody else that a product asks for through us (white paper, Third-party licenses).

The provider is asked outside of any transaction, under a reference that follows from what is asked: whatever is
interrupted, the same request gets the same keys. A provider that is down costs nothing but time: the message was not
accepted, and the product sends it again.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog
from django.db import transaction

from accounts.models import SmartAccount, VirtualAccount
from accounts.services.events import record_event
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import ThirdPartyRequest, parse_third_party_request
from licensing.codecs.device_message import Request
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import ThirdPartyKey
from licensing.services.devices.answers import compose_success
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.exchange.providers import (
    Key,
    KeyRequest,
    Provider,
    ProviderDown,
    ProviderRefused,
    find_provider,
)
from licensing.states import ThirdParty
from pki.services import vault

log = structlog.get_logger(__name__)


def fetch_third_party_key(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer. Raises `Refusal` (MALFORMED, NOT_ENTITLED, INTERNAL with the time of the next try)."""
    wanted = parse_third_party_request(request.data)
    place = VirtualAccount.objects.get(pk=session.virtual_account_id)
    reference = _reference_of(session, wanted)
    known = ThirdPartyKey.objects.filter(reference=reference).first()
    keys = _open(known) if known is not None else _fetch(session, wanted, place, reference)
    data = {
        "virtual_account": place.name,
        "sudi": request.header.sudi,
        "piid": session.piid,
        "keys": [{"name": key.name, "value": key.value} for key in keys],
    }
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data=data, now=now)
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        if known is None:
            _keep(session, wanted, reference, keys, now)
    return answer


def _fetch(session: Session, wanted: ThirdPartyRequest, place: VirtualAccount, reference: str) -> Sequence[Key]:
    name = ThirdParty(wanted.provider)
    provider = _require_provider(name)
    asked = KeyRequest(
        reference=reference,
        provider=name,
        key_name=wanted.key_name,
        key_id=wanted.key_id or "",
        parameters=wanted.parameters or {},
        smart_account=SmartAccount.objects.get(pk=session.smart_account_id).domain,
        virtual_account=place.name,
        udi=session.udi,
        piid=session.piid,
    )
    try:
        return provider.fetch_keys(asked)
    except ProviderRefused as refused:
        raise Refusal(RefusalCode.NOT_ENTITLED, f"{name.label}: {refused}", where="$.data.key_name") from None
    except ProviderDown as down:
        log.warning("third_party_provider_down", provider=name.value)
        raise Refusal(
            RefusalCode.INTERNAL,
            f"{name.label} does not answer. Nothing was changed; send the same request again later.",
            retry_seconds=down.retry_seconds,
        ) from None


def _require_provider(name: ThirdParty) -> Provider:
    provider = find_provider(name)
    if provider is None:
        raise Refusal(RefusalCode.NOT_ENTITLED, f"{name.label} is not enabled here.", where="$.data.provider")
    return provider


def _reference_of(session: Session, wanted: ThirdPartyRequest) -> str:
    parameters = sorted((wanted.parameters or {}).items())
    asked = [session.piid, wanted.provider, wanted.key_name, wanted.key_id or "", parameters]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def _keep(session: Session, wanted: ThirdPartyRequest, reference: str, keys: Sequence[Key], now: datetime) -> None:
    ThirdPartyKey.objects.create(
        smart_account_id=session.smart_account_id,
        virtual_account_id=session.virtual_account_id,
        instance_id=session.instance_id,
        reference=reference,
        provider=wanted.provider,
        key_name=wanted.key_name,
        key_id=wanted.key_id or "",
        sealed=vault.wrap(msgspec.json.encode(list(keys)), context=_context(reference)),
        at=now,
    )
    record_event(
        actor=session.actor,
        name="third_party.key_given",
        smart_account=session.smart_account_id,
        virtual_account=session.virtual_account_id,
        subject_type="product_instance",
        subject_id=session.piid,
        data={"udi": session.udi, "key": wanted.key_name, "provider": ThirdParty(wanted.provider).label},
        now=now,
    )


def _open(row: ThirdPartyKey) -> list[Key]:
    return msgspec.json.decode(vault.unwrap(bytes(row.sealed), context=_context(row.reference)), type=list[Key])


def _context(reference: str) -> str:
    return f"third-party-key:{reference}"
