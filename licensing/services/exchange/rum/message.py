"""RUM_REPORT: a registered product hands in its usage reports (white paper, "Specialized requests").

Each report has its own acknowledgement: one that cannot be taken holds up no other. Where none can be, the message as a
whole is refused with the code of the first.
"""

from datetime import datetime

from django.db import transaction

from accounts.services.events import record_event
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_message import Request
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.codecs.rum.payload import UsagePayload
from licensing.codecs.rum.report import parse_message
from licensing.models import RumReport
from licensing.services.devices.answers import compose_success
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.exchange.rum.judging import Source
from licensing.services.exchange.rum.keeping import keep_reports
from licensing.services.exchange.rum.planning import plan_reports
from licensing.states import RumChannel


def take_usage_reports(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer. Raises `Refusal` (MALFORMED, SIGNATURE_INVALID, UDI_MISMATCH, REPLAYED), `Contended`."""

    def find_source(payload: UsagePayload) -> Source:
        if payload.udi != session.udi:
            raise Refusal(
                RefusalCode.UDI_MISMATCH,
                f"The report is of {payload.udi[:100]}, not of {session.udi}.",
                where="asset_identification.instance.sudi",
            )
        return Source(session.smart_account_id, session.virtual_account_id, session.instance_id)

    plan = plan_reports(submitted=parse_message(request.data), find_source=find_source, now=now)
    plan.refuse_if_nothing_is_kept()
    data = {"acknowledgements": plan.acknowledgements}
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data=data, now=now)
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        _record(session, keep_reports(plan=plan, channel=RumChannel.DEVICE, now=now), now)
    return answer


def _record(session: Session, kept: list[RumReport], now: datetime) -> None:
    if kept:
        record_event(
            actor=session.actor,
            name="rum.received",
            smart_account=session.smart_account_id,
            virtual_account=session.virtual_account_id,
            subject_type="product_instance",
            subject_id=session.piid,
            data={"udi": session.udi, "count": len(kept), "verified": sum(row.is_verified for row in kept)},
            now=now,
        )
