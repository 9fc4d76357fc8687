"""REGISTRATION: a product becomes an instance of the Virtual Account its token is of.

Checked → certificates prepared (a transaction of its own) → certificates and answer signed (no transaction) → one
transaction with everything, the token's use last. See docs/cycles/registration.md.
"""

import uuid
from datetime import datetime

from licensing.codecs.device_answer import Echo
from licensing.codecs.device_message import Envelope, Request, unsupported_version
from licensing.codecs.refusals import Refusal
from licensing.models import InstanceKey
from licensing.services.devices.answers import Signer, compose_refusal, compose_success, unwrap_answer
from licensing.services.devices.applications import Admission, Application, Known, admit, look_up, read_application
from licensing.services.devices.enrolment import Enrolment, enrol
from licensing.services.devices.identities import describe_identity, issue_identity, signer_of
from licensing.services.devices.sessions import check_clock, digest_request


def register_product(*, envelope: Envelope, request: Request, now: datetime) -> bytes:
    """The HTTP body to answer with: the certificates, or the stored answer to the same bytes.

    Raises `Refusal` for what no known key has signed; with a key that has registered before, refusals come signed.
    Raises `Contended` where what was checked has changed meanwhile.
    """
    application = read_application(envelope=envelope, request=request)
    digest = digest_request(envelope)
    known = look_up(application)
    receipt = known.receipt
    if receipt is not None and receipt.request_digest == digest:
        return unwrap_answer(bytes(receipt.response), owner=application.key_digest)
    try:
        if not request.speaks_our_version:
            raise unsupported_version(request.header.version)
        check_clock(request.header.timestamp, last=receipt.last_timestamp if receipt else None, now=now)
        admission = admit(application=application, known=known, now=now)
        return _register(application, admission, known, digest, now)
    except Refusal as refusal:
        signer = find_signer(application.key_digest)
        if signer is None:
            raise
        return compose_refusal(signer=signer, echo=Echo.of(request.header), refusal=refusal, now=now)


def find_signer(key_digest: str) -> Signer | None:
    """The signing key issued with this public key, where it has registered before."""
    keys = InstanceKey.objects.filter(public_key_digest=key_digest).order_by("-pk")
    found = keys.values_list("signing_key_id", "signing_key__wrapped").first()
    return None if found is None else Signer(found[0], bytes(found[1]))


def _register(
    application: Application,
    admission: Admission,
    known: Known,
    digest: str,
    now: datetime,
) -> bytes:
    issued = issue_identity(
        csr=application.csr, sudi=application.request.sudi, identifier=admission.identifier, now=now
    )
    piid = uuid.uuid4()
    answer = compose_success(
        signer=signer_of(issued),
        echo=Echo.of(application.request.header, piid=str(piid)),
        data=describe_identity(
            issued,
            smart_account=admission.token.smart_account.name,
            virtual_account=admission.token.virtual_account.name,
        ),
        now=now,
    )
    enrol(
        Enrolment(
            application=application,
            admission=admission,
            issued=issued,
            piid=piid,
            digest=digest,
            answer=answer,
            receipt=known.receipt,
            origin=known.origin,
        ),
        now=now,
    )
    return answer
