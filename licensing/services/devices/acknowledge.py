"""ACK: the product has its certificates (white paper, "Cisco product registration")."""

from datetime import datetime

from django.db import transaction

from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import parse_acknowledgement
from licensing.codecs.device_message import Request, normalise_serial
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.services.devices.answers import compose_success
from licensing.services.devices.sessions import Session, accept_message


def acknowledge_identity(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The final ACK. The instance becomes `registered`, as by any other message; a second ACK changes nothing.

    The key before a renewal stays good: this answer may be lost, and the product may know nothing but that key.
    """
    acknowledgement = parse_acknowledgement(request.data)
    if normalise_serial(acknowledgement.id_cert_serial_number) != session.serial:
        raise Refusal(
            RefusalCode.SIGNATURE_INVALID,
            "The acknowledged ID certificate is not that of the key that signed.",
            where="$.data.id_cert_serial_number",
        )
    if (acknowledgement.acknowledges == "RENEWAL") != session.is_renewal:
        issued_by = "renewal" if session.is_renewal else "registration"
        raise Refusal(
            RefusalCode.UNSUPPORTED_REQUEST,
            f"The certificates of this key were issued by a {issued_by}.",
            where="$.data.acknowledges",
        )
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data={}, now=now)
    with transaction.atomic():
        accept_message(
            session=session,
            timestamp=request.header.timestamp,
            digest=digest,
            answer=answer,
            only_acknowledges=True,
            now=now,
        )
    return answer
