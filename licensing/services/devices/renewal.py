"""RENEWAL: new certificates for a new key, in two phases (white paper, "Cisco product renewal").

The request is signed by the old key, which stays good: nothing depends on the answer's arrival. The new key takes over
with the first message that it signs. See docs/cycles/renewal.md.
"""

import hashlib
from datetime import datetime

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import Renewal, parse_renewal
from licensing.codecs.device_message import Request
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import InstanceKey, ProductInstance
from licensing.services.devices.answers import Contended, compose_success
from licensing.services.devices.details import write_details
from licensing.services.devices.identities import (
    bind_key,
    describe_identity,
    issue_identity,
    match_identifier,
    owns_key,
    read_csr,
    signer_of,
)
from licensing.services.devices.keys import discard_pending
from licensing.services.devices.sessions import Session, accept_message
from licensing.states import ACTIVE_STATES, InstanceState, KeyState
from pki.crypto.csr import ParsedCsr
from pki.services.issuance import IssuedPair, record_issued


def renew_identity(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The certificates, in an answer signed by the new signing key. Raises `Refusal`, `Contended`.

    Refused are MALFORMED data, a CSR that is CSR_INVALID or names another product (UDI_MISMATCH), and one without a new
    key. An earlier renewal that nobody has acknowledged is given up.
    """
    renewal = parse_renewal(request.data)
    csr = read_csr(renewal.csr)
    identifier = match_identifier(csr, request.sudi)
    key_digest = hashlib.sha256(csr.spki_der).hexdigest()
    _refuse_key_in_use(session, key_digest)
    issued = issue_identity(csr=csr, sudi=request.sudi, identifier=identifier, now=now)
    place = VirtualAccount.objects.select_related("smart_account").get(pk=session.virtual_account_id)
    answer = compose_success(
        signer=signer_of(issued),
        echo=Echo.of(request.header, piid=session.piid),
        data=describe_identity(issued, smart_account=place.smart_account.name, virtual_account=place.name),
        now=now,
    )
    with transaction.atomic():
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        _begin(session, renewal, csr, key_digest, issued, now)
    return answer


def _begin(
    session: Session, renewal: Renewal, csr: ParsedCsr, key_digest: str, issued: IssuedPair, now: datetime
) -> None:
    discard_pending(instance_id=session.instance_id)
    bind_key(
        instance_id=session.instance_id,
        csr=csr,
        key_digest=key_digest,
        issued=issued,
        state=KeyState.PENDING,
        now=now,
    )
    instance = ProductInstance.objects.filter(pk=session.instance_id, state__in=ACTIVE_STATES)
    if instance.update(state=InstanceState.RENEWING) != 1:
        raise Contended
    write_details(session=session, whereabouts=renewal, software_tag=renewal.software_tag_identifier, now=now)
    record_issued(issued, now=now)
    record_event(
        actor=session.actor,
        name="instance.renewal_started",
        smart_account=session.smart_account_id,
        virtual_account=session.virtual_account_id,
        subject_type="product_instance",
        subject_id=session.piid,
        data={"udi": session.udi, "not_after": f"{issued.not_after:%Y-%m-%d}"},
        now=now,
    )


def _refuse_key_in_use(session: Session, key_digest: str) -> None:
    """A renewal is of the key, too. One that was pending may be asked for again: its answer may have been lost."""
    owns_key(key_digest=key_digest, udi=session.udi)
    speaking = hashlib.sha256(bytes(session.public_key)).hexdigest()
    in_use = InstanceKey.objects.filter(public_key_digest=key_digest, state__in=(KeyState.CURRENT, KeyState.PREVIOUS))
    if key_digest == speaking or in_use.exists():
        raise Refusal(
            RefusalCode.CSR_INVALID,
            "The CSR holds a key that is in use. A renewal needs a new key pair.",
            where="$.data.csr",
        )
