"""CONVERSION: a product asks for its classic licenses to be converted (white paper, "Conversion request").

Taken at once, carried out by a sweep, asked for with POLL. What was converted before is answered at once.
"""

from datetime import datetime

from django.db import transaction

from licensing.codecs.conversion import parse_conversion
from licensing.codecs.device_answer import AnswerStatus, Echo
from licensing.codecs.device_message import Request
from licensing.models import Conversion
from licensing.services.devices.answers import Contended, compose_success
from licensing.services.devices.claims import find_claim, refuse_foreign_claim
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.exchange.conversions import (
    CONVERSION_ANSWER,
    Place,
    Product,
    begin_conversion,
    describe_result,
    find_standing,
)
from licensing.services.exchange.polling import (
    describe_pending,
    find_open,
    make_poll_id,
    open_answer,
    owner_of_instance,
)
from licensing.states.conversions import ConversionSource, ConversionState


def take_conversion(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer: OK_POLL, or OK where these lines were converted before.

    Raises `Refusal`: MALFORMED, UDI_REGISTERED_ELSEWHERE; `Contended`.
    """
    software_tag, lines = parse_conversion(request.data)
    claim = find_claim(session.udi)
    if claim is not None:
        refuse_foreign_claim(claim, smart_account_id=session.smart_account_id, now=now)
    standing = find_standing(smart_account_id=session.smart_account_id, udi=session.udi, lines=lines)
    is_done = standing is not None and standing.state == ConversionState.COMPLETED
    owner = owner_of_instance(session.piid)
    known = None
    if standing is not None and not is_done:
        known = find_open(owner=owner, kind=CONVERSION_ANSWER, subject=str(standing.pk))
    poll_id = known or make_poll_id()
    answer = compose_success(
        signer=session.signer,
        echo=Echo.of(request.header),
        data=describe_result(standing) if standing is not None and is_done else describe_pending(poll_id),
        status=AnswerStatus.OK if is_done else AnswerStatus.OK_POLL,
        now=now,
    )
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        if not is_done and known is None:
            conversion = standing or begin_conversion(
                actor=session.actor,
                place=Place(session.smart_account_id, session.virtual_account_id),
                product=Product(
                    udi=session.udi,
                    udi_pid=request.sudi.udi_pid or "",
                    udi_serial_number=request.sudi.udi_serial_number or "",
                    software_tag=software_tag,
                ),
                lines=lines,
                source=ConversionSource.DEVICE,
                now=now,
            )
            _await(conversion, owner, poll_id, now)
    return answer


def _await(conversion: Conversion, owner: str, poll_id: int, now: datetime) -> None:
    """Raises `Contended` where it was carried out since it was looked at: then nobody would settle the answer."""
    waiting = Conversion.objects.waiting().select_for_update(of=("self",)).filter(pk=conversion.pk)
    if waiting.first() is None:
        raise Contended
    open_answer(poll_id=poll_id, owner=owner, kind=CONVERSION_ANSWER, subject=str(conversion.pk), now=now)
