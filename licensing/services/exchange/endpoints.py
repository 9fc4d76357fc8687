"""ENDPOINT_REPORT: all the endpoints that a controller sees. One that another controller counts is a duplicate."""

from datetime import datetime

from django.db import transaction

from accounts.services.events import record_event
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import parse_endpoint_report
from licensing.codecs.device_message import Request
from licensing.services.devices.answers import Contended, compose_success
from licensing.services.devices.authorization import user_of_session
from licensing.services.devices.endpoint_use import (
    Sighting,
    find_counted_elsewhere,
    lock_endpoints,
    replace_sightings,
)
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.devices.usage import User


def report_endpoints(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer; a report like the last one writes nothing but its receipt. Raises `Refusal`, `Contended`."""
    report = parse_endpoint_report(request.data)
    seen = {Sighting(each.identifier, each.type, each.tag) for each in report.endpoints}
    user = user_of_session(session)
    accepted = _count_accepted(user, seen)
    data = {"accepted": accepted, "duplicates": len(report.endpoints) - accepted}
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data=data, now=now)
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        lock_endpoints(user.smart_account_id)
        if _count_accepted(user, seen) != accepted:
            raise Contended
        if replace_sightings(actor=session.actor, user=user, seen=seen, now=now):
            _record(session, len(seen), accepted, now)
    return answer


def _count_accepted(user: User, seen: set[Sighting]) -> int:
    """How many of them this controller counts: none while another of its HA group reports."""
    return len(seen) - len(find_counted_elsewhere(user=user, seen=seen)) if user.is_counted else 0


def _record(session: Session, seen: int, counted: int, now: datetime) -> None:
    record_event(
        actor=session.actor,
        name="instance.endpoints_changed",
        smart_account=session.smart_account_id,
        virtual_account=session.virtual_account_id,
        subject_type="product_instance",
        subject_id=session.piid,
        data={"udi": session.udi, "seen": seen, "counted": counted},
        now=now,
    )
