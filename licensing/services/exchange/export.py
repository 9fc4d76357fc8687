"""EXPORT_AUTHORIZATION: a key for what a product may use under export control (white paper, U.S. Export Control).

Screened, then drafted and signed outside of any transaction, then taken and given out in one. The same request again
gives the same key.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.models import SmartAccount
from cssm.common.errors import Conflict
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import parse_export_authorization
from licensing.codecs.device_message import Request
from licensing.codecs.device_udi import parse_udi_text
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import License, ProductInstance
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.devices.answers import compose_success
from licensing.services.devices.endings import lock_claim
from licensing.services.devices.notices import clear_refused
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.reservations.export_keys import KeyDraft, draft_key, keep_key
from licensing.services.reservations.issuing import udi_of_instance
from licensing.services.reservations.refused_keys import note_refused_key
from licensing.states import NoticeKind, RefusalReason

_REFUSED: Final = {
    RefusalReason.TOKEN: (
        "The ID token that this product was registered with does not allow export-controlled functionality."
    ),
    RefusalReason.ACCOUNT: "This Smart Account may not have export-controlled functionality. Ask the operator.",
}


def authorize_export(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer. Raises `Refusal` (MALFORMED, EXPORT_RESTRICTED, NOT_ENTITLED, UDI_REGISTERED_ELSEWHERE),
    `Contended`.
    """
    wanted = parse_export_authorization(request.data)
    license = licenses_by_tag([wanted.tag]).get(wanted.tag)
    reason = _screen(session)
    if reason is not None:
        if license is not None:
            note_refused_key(
                instance_id=session.instance_id, license=license, count=wanted.count, reason=reason, now=now
            )
        raise Refusal(RefusalCode.EXPORT_RESTRICTED, _REFUSED[reason])
    if license is None:
        raise Refusal(RefusalCode.NOT_ENTITLED, "The catalog has no license with this tag.", where="$.data.tag")
    try:
        draft = _draft(session, license, wanted.count, now)
        data = {"authorization_key": draft.text}
        answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data=data, now=now)
        with transaction.atomic():
            lock_claim(session.udi)
            accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
            keep_key(actor=session.actor, draft=draft, now=now)
            clear_refused(
                instance_id=session.instance_id, kind=NoticeKind.KEY_REFUSED, license_ids=[license.pk], at=now
            )
    except Conflict as conflict:
        note_refused_key(
            instance_id=session.instance_id,
            license=license,
            count=wanted.count,
            reason=RefusalReason.NOT_FREE,
            now=now,
        )
        raise Refusal(RefusalCode.NOT_ENTITLED, conflict.message, where="$.data.count") from None
    return answer


def _screen(session: Session) -> RefusalReason | None:
    """The account was screened when it was set up, and again by whoever made the token. Why it gets no key, if so."""
    if session.claim_lost:
        raise Refusal(
            RefusalCode.UDI_REGISTERED_ELSEWHERE,
            f"{session.udi} counts in another Smart Account, so it gets no key here.",
            where="$.header.sudi",
        )
    if not session.export_controlled_allowed:
        return RefusalReason.TOKEN
    if SmartAccount.objects.get(pk=session.smart_account_id).is_export_restricted:
        return RefusalReason.ACCOUNT
    return None


def _draft(session: Session, license: License, count: int, now: datetime) -> KeyDraft:
    instance = ProductInstance.objects.select_related("virtual_account").get(pk=session.instance_id)
    udi = udi_of_instance(instance)
    if parse_udi_text(udi.text) != udi:
        raise Refusal(
            RefusalCode.NOT_ENTITLED,
            f"{session.udi} holds characters that cannot stand in an authorization key.",
            where="$.header.sudi",
        )
    return draft_key(instance=instance, license=license, count=count, now=now)
