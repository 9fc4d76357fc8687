"""The one transaction of a registration: all of it, or nothing.

Its order is that of its locks: the claim on the UDI first, which makes two registrations of one product wait for each
other; the token last, which many products share, so that its row is locked for a moment only.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from accounts.services.events import record_event
from accounts.services.virtual_accounts import require_kept
from cssm.common.actor import Actor
from cssm.common.compiled import CompiledInsert, CompiledUpdate
from cssm.common.statements import change, in_one, require
from licensing.models import (
    HaGroup,
    IdToken,
    InstanceContact,
    InstanceKey,
    Origin,
    ProductInstance,
    RegistrationReceipt,
    UdiClaim,
)
from licensing.services.devices.answers import Contended, wrap_answer
from licensing.services.devices.applications import Admission, Application, is_free_of_charge
from licensing.services.devices.claims import refuse_reserved, take_claim
from licensing.services.devices.endings import lose_count, replace_instance
from licensing.services.devices.ha_groups import Claim, Standing, check_group, find_standing
from licensing.services.devices.identities import bind_key
from licensing.services.devices.notices import clear_notices_of_product
from licensing.services.devices.origins import DIRECT
from licensing.services.devices.watches import watch_instance
from licensing.states import InstanceState, KeyState
from pki.services.issuance import IssuedPair, record_issued

NEWEST: Final = 2**63 - 1
"""The id of an instance that is not stored yet: larger than any other."""

_GROUPS: Final = CompiledInsert(HaGroup)
_INSTANCES: Final = CompiledInsert(ProductInstance)
_CONTACTS: Final = CompiledInsert(InstanceContact)
_RECEIPTS: Final = CompiledInsert(RegistrationReceipt)
_CLAIMED: Final = CompiledUpdate(UdiClaim, "smart_account", "instance", "last_contact_at")
_LIVE: Final = "SELECT 1 FROM licensing_idtoken WHERE id = %s AND revoked_at IS NULL AND expires_at > %s"
_COUNT_USE: Final = (
    "UPDATE licensing_idtoken SET uses = uses + 1"
    " WHERE id = %s AND revoked_at IS NULL AND expires_at > %s AND uses < max_uses"
)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Everything that a registration will write; `receipt` is what was known of the key before, and `origin` that of
    instances that register here, unless this is the first."""

    application: Application
    admission: Admission
    issued: IssuedPair
    piid: UUID
    digest: str
    answer: bytes
    receipt: RegistrationReceipt | None
    origin: Origin | None


def enrol(enrolment: Enrolment, *, now: datetime) -> ProductInstance:
    """Write it. Raises `Contended` where what was checked has changed meanwhile, `Refusal` for a foreign claim."""
    admission, application = enrolment.admission, enrolment.application
    actor = Actor.product(str(enrolment.piid))
    with transaction.atomic():
        claim = take_claim(udi=application.udi, smart_account_id=admission.token.smart_account_id, now=now)
        refuse_reserved(claim)
        previous = _end_previous(actor, claim, admission.token, now)
        free = is_free_of_charge(previous=previous, token=admission.token, now=now)
        clear_notices_of_product(udi=application.udi, smart_account_id=admission.token.smart_account_id, at=now)
        instance = _make_instance(enrolment, now)
        claim.smart_account_id, claim.instance, claim.last_contact_at = instance.smart_account_id, instance, now
        _record(actor, instance, now)
        # A key that was used before has rows to be replaced, by statements of their models.
        is_first = enrolment.receipt is None and not admission.brings_key
        with in_one(savepoint=False) if is_first else nullcontext():
            _CONTACTS.add(_make_contact(enrolment, instance, now))
            watch_instance(instance_id=instance.pk, now=now)
            _bind_key(enrolment, instance, now)
            _keep_receipt(enrolment, instance, now)
            _CLAIMED.save(claim)
            record_issued(enrolment.issued, now=now)
            require_kept(instance.virtual_account_id, missed=Contended)
            take_use(token=admission.token, free=free, now=now)
    return instance


def take_use(*, token: IdToken, free: bool, now: datetime) -> None:
    """The last statement: one conditional update, so that N uses give N registrations. Raises `Contended`.

    Unlimited tokens are only looked at. The conditions stand in the update itself, on columns of its own row: a
    subquery would be judged by an older snapshot than the row that was waited for.
    """
    values = [token.pk, connection.ops.adapt_datetimefield_value(now)]
    if free or token.max_uses is None:
        require(_LIVE, values, missed=Contended)
    else:
        change(_COUNT_USE, values, missed=Contended)


def _end_previous(actor: Actor, claim: UdiClaim, token: IdToken, now: datetime) -> ProductInstance | None:
    """The earlier registration ends; that of another Smart Account, whose claim has lapsed, just counts no more."""
    if claim.instance_id is None:
        return None
    if claim.smart_account_id == token.smart_account_id:
        return replace_instance(actor=actor, instance_id=claim.instance_id, now=now)
    lose_count(actor=actor, instance_id=claim.instance_id, now=now)
    return None


def _make_instance(enrolment: Enrolment, now: datetime) -> ProductInstance:
    application, token = enrolment.application, enrolment.admission.token
    registration, sudi = application.registration, application.request.sudi
    place = {"smart_account_id": token.smart_account_id, "virtual_account_id": token.virtual_account_id}
    standing = _find_standing(enrolment)
    instance = ProductInstance(
        **place,
        origin=enrolment.origin or Origin.objects.get_or_create(name=DIRECT)[0],
        external_id=str(enrolment.piid),
        piid=enrolment.piid,
        udi=sudi.udi,
        udi_pid=sudi.udi_pid or "",
        udi_serial_number=sudi.udi_serial_number or "",
        udi_vid=sudi.udi_vid or "",
        uuid=sudi.uuid or "",
        host_identifier=sudi.host_identifier or "",
        software_tag=registration.software_tag_identifier,
        hostname=registration.hostname or "",
        ip_address=registration.ip_address or "",
        mac_address=registration.mac_address or "",
        ha_group_id=standing.group_id or _make_group(HaGroup(**place, created_at=now)),
        is_counted=standing.active is None,
        ha_peers=registration.peer_udis,
        state=InstanceState.REGISTERING,
        export_controlled_allowed=token.export_controlled_allowed,
        token=token,
        registered_at=now,
    )
    _INSTANCES.add(instance)
    return instance


def _make_contact(enrolment: Enrolment, instance: ProductInstance, now: datetime) -> InstanceContact:
    timestamp = enrolment.application.request.header.timestamp
    return InstanceContact(instance=instance, last_timestamp=timestamp, last_contact_at=now)


def _make_group(group: HaGroup) -> int:
    _GROUPS.add(group)
    return group.pk


def _find_standing(enrolment: Enrolment) -> Standing:
    """A peer that registers stands by where another one of its group is at work."""
    application, token = enrolment.application, enrolment.admission.token
    sudi, registration = application.request.sudi, application.registration
    claim = Claim(
        pk=NEWEST,
        udi=sudi.udi,
        smart_account_id=token.smart_account_id,
        virtual_account_id=token.virtual_account_id,
        udi_pid=sudi.udi_pid or "",
        software_tag=registration.software_tag_identifier,
        ha_peers=registration.peer_udis,
    )
    standing = find_standing(claim, group_id=None)
    if standing.group_id is not None:
        check_group(standing, instance_id=NEWEST)
    return standing


def _bind_key(enrolment: Enrolment, instance: ProductInstance, now: datetime) -> None:
    """A product that registers again with its old key takes it along; the instance it leaves has ended."""
    application, issued = enrolment.application, enrolment.issued
    if enrolment.admission.brings_key:
        InstanceKey.objects.filter(public_key_digest=application.key_digest, instance__udi=instance.udi).delete()
    bind_key(
        instance_id=instance.pk,
        csr=application.csr,
        key_digest=application.key_digest,
        issued=issued,
        state=KeyState.CURRENT,
        now=now,
    )


def _keep_receipt(enrolment: Enrolment, instance: ProductInstance, now: datetime) -> None:
    key_digest, known = enrolment.application.key_digest, enrolment.receipt
    values = {
        "last_timestamp": enrolment.application.request.header.timestamp,
        "request_digest": enrolment.digest,
        "response": wrap_answer(enrolment.answer, owner=key_digest),
        "instance": instance,
    }
    if known is None:
        _RECEIPTS.add(RegistrationReceipt(public_key_digest=key_digest, created_at=now, **values))
        return
    read = RegistrationReceipt.objects.filter(pk=key_digest, last_timestamp=known.last_timestamp)
    if read.update(created_at=now, **values) != 1:
        raise Contended


def _record(actor: Actor, instance: ProductInstance, now: datetime) -> None:
    record_event(
        actor=actor,
        name="instance.registered",
        smart_account=instance.smart_account_id,
        virtual_account=instance.virtual_account_id,
        subject_type="product_instance",
        subject_id=str(instance.piid),
        data={
            "udi": instance.udi,
            "piid": str(instance.piid),
            "software": instance.software_tag,
            "token": instance.token_id,
        },
        personal={
            "hostname": instance.hostname,
            "ip_address": instance.ip_address,
            "mac_address": instance.mac_address,
        },
        now=now,
    )
