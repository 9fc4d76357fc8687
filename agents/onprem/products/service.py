"""One device message in, one answer out (200 whatever is inside; only what has not the outer form is none)."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agents.common.errors import AgentError, VerificationFailed
from agents.common.keys import load_key
from agents.common.signatures import verify
from agents.onprem.products.conversions import take_conversion
from agents.onprem.products.lives import acknowledge, deregister, settle_keys
from agents.onprem.products.polling import poll
from agents.onprem.products.registration import register, renew
from agents.onprem.products.third_party import give_third_party_key
from agents.onprem.products.usage_reports import take_usage_reports
from agents.onprem.products.use import authorize
from agents.onprem.products.wire import (
    MAX_BODY,
    Envelope,
    Refusal,
    Request,
    TooLarge,
    compose,
    normalise_serial,
    parse_envelope,
    parse_request,
)
from agents.onprem.server import Site

log = logging.getLogger("onprem")

SKEW_MS: Final = 24 * 60 * 60 * 1000
RETRY_SECONDS: Final = 3600
UNSIGNED: Final = frozenset({"SIGNATURE_INVALID", "MALFORMED", "NOT_REGISTERED"})


@dataclass(frozen=True, slots=True)
class Session:
    """A message whose signature verified with a key of this instance; `key` is that row of `product_key`."""

    database: sqlite3.Connection
    site: Site
    request: Request
    instance: sqlite3.Row
    key: sqlite3.Row

    @property
    def signer(self) -> rsa.RSAPrivateKey:
        return load_key(str(self.key["signing_key"]).encode())


Handler = Callable[[Session], tuple[dict[str, Any], rsa.RSAPrivateKey | None]]
"""Does what was asked; gives the answer's data, and the key to sign with where it is not the session's."""


def _acknowledge(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return acknowledge(session.database, session.request, session.instance, session.key), None


def _authorize(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return authorize(session.database, session.request, session.instance), None


def _deregister(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return deregister(session.database, session.request, session.instance), None


def _renew(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return renew(session.site, session.database, session.request, session.instance)


def _convert(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return take_conversion(session.database, session.request, session.instance, session.site.now()), None


def _poll(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return poll(session.database, session.request, session.instance), None


def _report_usage(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return take_usage_reports(session.database, session.request, session.instance, session.site.now()), None


def _give_key(session: Session) -> tuple[dict[str, Any], rsa.RSAPrivateKey | None]:
    return give_third_party_key(session.database, session.request, session.instance), None


HANDLERS: Final[dict[str, Handler]] = {
    "ACK": _acknowledge,
    "AUTHORIZATION": _authorize,
    "CONVERSION": _convert,
    "DEREGISTRATION": _deregister,
    "POLL": _poll,
    "RENEWAL": _renew,
    "RUM_REPORT": _report_usage,
    "THIRD_PARTY_KEY": _give_key,
}
NOT_CARRIED: Final = {
    "ENDPOINT_REPORT": "No file to the portal has a place for endpoints. Register the controller to the portal itself,"
    " or report what its endpoints use as its own use, with an authorization request.",
    "EXPORT_AUTHORIZATION": "No file to the portal has a place for an export authorization. Register the product to the"
    " portal itself, or reserve the license for it there (SLR): an authorization code needs no connection.",
}
"""Types that the portal answers and this server cannot, with what to do instead."""
LONG: Final = frozenset({"RUM_REPORT", "ENDPOINT_REPORT"})


def answer(site: Site, body: bytes) -> bytes:
    """Raises BadOuterForm, TooLarge."""
    envelope = parse_envelope(body)
    request: Request | None = None
    try:
        request = parse_request(envelope.request)
        if len(body) > MAX_BODY and request.header.request_type not in LONG:
            raise TooLarge(f"A message of this type has at most {MAX_BODY} bytes.")
        if request.header.request_type == "REGISTRATION":
            return register(site, envelope, request)
        return _answer_instance(site, envelope, request)
    except Refusal as refusal:
        piid = request.header.product_instance_identifier if request else None
        return compose(request=request, now=site.now(), piid=piid, data=refusal.data, refusal=refusal)
    except (AgentError, sqlite3.Error) as error:
        message = str(error) if isinstance(error, AgentError) else "The server could not answer; nothing was changed."
        return _try_later(site, request, message)
    except TooLarge:
        raise
    except Exception:
        log.exception("A message could not be answered")
        return _try_later(site, request, "The server could not answer; nothing was changed.")


def _try_later(site: Site, request: Request | None, message: str) -> bytes:
    refusal = Refusal("INTERNAL", message, later=RETRY_SECONDS)
    return compose(request=request, now=site.now(), piid=None, data={}, refusal=refusal)


def _answer_instance(site: Site, envelope: Envelope, request: Request) -> bytes:
    digest = hashlib.sha256(envelope.request.encode()).hexdigest()
    with site.folder.writing() as database:
        session = _open_session(site, database, envelope, request)
        instance = session.instance
        if digest == instance["last_request"]:
            return bytes(instance["last_answer"])
        if not instance["is_active"] or site.now() >= session.key["expires_at"]:
            raise _not_registered(instance["piid"])
        database.execute("SAVEPOINT message")
        try:
            _check(session)
            handler = HANDLERS.get(request.header.request_type)
            if handler is None:
                raise _unsupported(request.header.request_type)
            if request.header.request_type != "ACK":
                settle_keys(database, session.key)
            data, signer = handler(session)
        except Refusal as refusal:
            database.execute("ROLLBACK TO message")
            return _refuse(session, refusal)
        content = compose(
            request=request, now=site.now(), piid=instance["piid"], data=data, signer=signer or session.signer
        )
        database.execute(
            "UPDATE instance SET last_timestamp = ?, last_request = ?, last_answer = ?, last_contact_at = ?"
            " WHERE id = ?",
            [request.header.timestamp, digest, content, site.now(), instance["id"]],
        )
    return content


def _open_session(site: Site, database: sqlite3.Connection, envelope: Envelope, request: Request) -> Session:
    """Find whose message this is. Raises Refusal, unsigned: nothing has been proven."""
    piid = request.header.product_instance_identifier
    instance = database.execute("SELECT * FROM instance WHERE piid = ?", [piid]).fetchone()
    if instance is None:
        raise _not_registered(piid)
    for key in database.execute("SELECT * FROM product_key WHERE instance_id = ?", [instance["id"]]).fetchall():
        try:
            public_key = load_pem_public_key(str(key["public_key"]).encode())
            assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101  stored by `register`, which checks it
            verify(public_key, envelope.request.encode(), envelope.signature.value)
        except VerificationFailed:
            continue
        if normalise_serial(request.header.id_cert_serial_number or "") != key["id_cert_serial"]:
            break
        return Session(database, site, request, instance, key)
    if request.header.request_type == "ACK":
        raise _not_registered(piid)
    raise Refusal("SIGNATURE_INVALID", "The signature, or the certificate's serial number, is not this instance's.")


def _check(session: Session) -> None:
    header, instance = session.request.header, session.instance
    if (session.request.sudi.udi_pid, session.request.sudi.udi_serial_number) != (
        instance["udi_pid"],
        instance["udi_serial_number"],
    ):
        raise Refusal("UDI_MISMATCH", "This instance was registered for another product.")
    now = session.site.now()
    advice = {"server_time": now, "last_timestamp": instance["last_timestamp"]}
    if abs(header.timestamp - now) > SKEW_MS:
        raise Refusal("CLOCK_SKEW", "The product's clock is more than 24 hours off.", data=advice)
    if header.timestamp <= instance["last_timestamp"]:
        raise Refusal("REPLAYED", "A later message has been accepted already.", data=advice)


def _refuse(session: Session, refusal: Refusal) -> bytes:
    """What was signed by a key we know is answered with a signature, except where that would prove nothing."""
    signer = None if refusal.code in UNSIGNED else session.signer
    return compose(
        request=session.request,
        now=session.site.now(),
        piid=session.instance["piid"],
        data=refusal.data,
        refusal=refusal,
        signer=signer,
    )


def _unsupported(request_type: str) -> Refusal:
    message = NOT_CARRIED.get(request_type, "Requests of this type are not answered by this server.")
    return Refusal("UNSUPPORTED_REQUEST", message)


def _not_registered(piid: str | None) -> Refusal:
    message = f"The identity for the instance {piid} is not valid. Please re-register the instance."
    return Refusal("NOT_REGISTERED", message)
