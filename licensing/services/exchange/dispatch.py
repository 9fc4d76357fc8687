"""One device message in, one answer out, whatever the message is."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import structlog
from django.db import IntegrityError, OperationalError

from cssm.common.ratelimit import Limit
from cssm.common.retries import ATTEMPTS, is_transient
from licensing.codecs.device_answer import Echo, glimpse
from licensing.codecs.device_data import RequestType
from licensing.codecs.device_message import (
    Envelope,
    OuterFormInvalid,
    Request,
    parse_envelope,
    parse_request,
    unsupported_version,
)
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.services.devices.acknowledge import acknowledge_identity
from licensing.services.devices.answers import Contended, compose_refusal
from licensing.services.devices.authorization import report_use
from licensing.services.devices.endings import deregister_instance
from licensing.services.devices.registration import register_product
from licensing.services.devices.renewal import renew_identity
from licensing.services.devices.sessions import (
    Session,
    check_message,
    digest_request,
    find_repeated_answer,
    open_session,
)
from licensing.services.exchange.conversion_messages import take_conversion
from licensing.services.exchange.endpoints import report_endpoints
from licensing.services.exchange.export import authorize_export
from licensing.services.exchange.polling import answer_poll
from licensing.services.exchange.rum.message import take_usage_reports
from licensing.services.exchange.third_party import fetch_third_party_key
from pki.errors import RequestClosed

log = structlog.get_logger(__name__)

CONTENTIONS: Final = 200
"""Whoever meets `Contended` was overtaken by a message that was taken: the limit of messages per second ends the race
long before this number, which only keeps a fault from turning into an endless loop."""

RETRY_SECONDS: Final = 60
BAD_MESSAGES: Final = Limit("unproven-messages", per_second=1000 / 60, burst=2000)
"""Messages that prove no key count against the address they come from, never against an instance or account."""


class Handler(Protocol):
    def __call__(self, *, session: Session, request: Request, digest: str, now: datetime) -> bytes: ...


HANDLERS: Final[dict[str, Handler]] = {
    RequestType.ACK: acknowledge_identity,
    RequestType.RENEWAL: renew_identity,
    RequestType.AUTHORIZATION: report_use,
    RequestType.DEREGISTRATION: deregister_instance,
    RequestType.CONVERSION: take_conversion,
    RequestType.POLL: answer_poll,
    RequestType.ENDPOINT_REPORT: report_endpoints,
    RequestType.EXPORT_AUTHORIZATION: authorize_export,
    RequestType.THIRD_PARTY_KEY: fetch_third_party_key,
    RequestType.RUM_REPORT: take_usage_reports,
}


def answer_message(*, body: bytes, source_ip: str, now: datetime) -> bytes:
    """The HTTP body of the answer to that of one request; with status 200, whatever is inside.

    Raises `OuterFormInvalid` (400) for what is no device message.
    """
    wait = BAD_MESSAGES.wait(source_ip, now=now)
    try:
        envelope = parse_envelope(body)
    except OuterFormInvalid:
        BAD_MESSAGES.take(source_ip, now=now)
        raise
    if wait:
        refusal = Refusal(RefusalCode.RATE_LIMITED, "Too many wrong messages from your address.", retry_seconds=wait)
        return _refuse(glimpse(envelope.request), refusal, now)
    try:
        request = parse_request(envelope.request)
    except Refusal as refusal:
        BAD_MESSAGES.take(source_ip, now=now)
        return _refuse(glimpse(envelope.request), refusal, now)
    try:
        return _try(lambda: _handle(envelope, request, now))
    except Refusal as refusal:
        # What is signed by a key we know was answered further down; what comes here has proved none. A registration
        # that came too soon showed a live token: many products behind one address must not shut out each other.
        if refusal.refusal_code is not RefusalCode.RATE_LIMITED:
            BAD_MESSAGES.take(source_ip, now=now)
        return _refuse(Echo.of(request.header), refusal, now)
    except Exception:
        log.exception("device_message_failed", request_type=request.header.request_type)
        return _refuse(Echo.of(request.header), _internal(), now)


def _handle(envelope: Envelope, request: Request, now: datetime) -> bytes:
    if request.header.request_type == RequestType.REGISTRATION:
        return register_product(envelope=envelope, request=request, now=now)
    session = open_session(envelope=envelope, request=request, now=now)
    digest = digest_request(envelope)
    repeated = find_repeated_answer(session=session, digest=digest)
    if repeated is not None:
        return repeated
    try:
        handler = _find_handler(session, request, now)
        return handler(session=session, request=request, digest=digest, now=now)
    except Refusal as refusal:
        return compose_refusal(signer=session.signer, echo=Echo.of(request.header), refusal=refusal, now=now)


def _find_handler(session: Session, request: Request, now: datetime) -> Handler:
    if not request.speaks_our_version:
        raise unsupported_version(request.header.version)
    check_message(session=session, request=request, now=now)
    handler = HANDLERS.get(request.header.request_type)
    if handler is None:
        raise Refusal(
            RefusalCode.UNSUPPORTED_REQUEST,
            f"Requests of type {request.header.request_type!r} are not answered here.",
            where="$.header.request_type",
        )
    return handler


def _try(work: Callable[[], bytes]) -> bytes:
    """Judge the message anew where something it was judged by has changed meanwhile."""
    failures = contentions = 0
    while True:
        try:
            return work()
        except Contended:
            contentions += 1
            if contentions == CONTENTIONS:
                raise
        except (IntegrityError, RequestClosed):
            failures += 1
            if failures == ATTEMPTS:
                raise
        except OperationalError as error:
            failures += 1
            if failures == ATTEMPTS or not is_transient(error):
                raise


def _internal() -> Refusal:
    message = "The server could not answer. Nothing was changed; send the same request again later."
    return Refusal(RefusalCode.INTERNAL, message, retry_seconds=RETRY_SECONDS)


def _refuse(echo: Echo, refusal: Refusal, now: datetime) -> bytes:
    return compose_refusal(signer=None, echo=echo, refusal=refusal, now=now)
