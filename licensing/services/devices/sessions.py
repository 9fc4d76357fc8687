"""A message of a registered instance: from whom it is, whether it may be heard, and that it was.

One statement reads everything a message is judged by; one conditional update on the contact accepts it. That update is
the replay rule: it stands in the transaction of the effect, and hits no row if another message came first.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.clock import to_milliseconds
from cssm.common.compiled import CompiledRead
from cssm.common.statements import change
from licensing.codecs.device_data import RequestType
from licensing.codecs.device_message import Envelope, Request, normalise_serial
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import InstanceContact, InstanceKey, ProductInstance
from licensing.services.devices.answers import Contended, Signer, unwrap_answer, wrap_answer
from licensing.services.devices.keys import confirm_key, retire_previous
from licensing.services.devices.notices import clear_notices
from licensing.services.devices.usage import StoredUse
from licensing.services.pools.compliance import FIGURES_BESIDE_PRODUCT, MOMENTS_BESIDE_PRODUCT, Figures, figures_beside
from licensing.states import InstanceState, KeyState, NoticeKind
from pki.crypto.messages import verify_signature

CLOCK_TOLERANCE: Final = timedelta(hours=24)
MESSAGES_PER_SECOND: Final = 10.0
MESSAGE_BURST: Final = 50.0
_NOT_REGISTERED: Final = "The identity for the instance {piid} is not valid. Please re-register the instance."

_FIELDS: Final = (
    "pk",
    "state",
    "is_renewal",
    "accepted_until",
    "public_key",
    "id_cert_serial",
    "not_after",
    "signing_key_id",
    "signing_key__wrapped",
    "instance_id",
    "instance__smart_account_id",
    "instance__virtual_account_id",
    "instance__ha_group_id",
    "instance__state",
    "instance__udi",
    "instance__hostname",
    "instance__ip_address",
    "instance__mac_address",
    "instance__ha_peers",
    "instance__software_tag",
    "instance__is_counted",
    "instance__claim_lost",
    "instance__udi_pid",
    "instance__export_controlled_allowed",
    "instance__contact__is_overdue",
    "instance__contact__last_timestamp",
    "instance__contact__revision",
    "instance__contact__request_digest",
    "instance__contact__rate_level",
    "instance__contact__rate_at",
)
# What a report of use is compared with.
_USE: Final = {
    "postgresql": "(SELECT json_agg(json_build_array(u.id, u.tag, u.license_id, u.kind, u.quantity))::text {})",
    "sqlite": "(SELECT json_group_array(json_array(u.id, u.tag, u.license_id, u.kind, u.quantity)) {})",
}
_OF_INSTANCE: Final = (
    "FROM licensing_usage u WHERE u.instance_id = licensing_productinstance.id AND u.source = 'report'"
)
_KEY_STATE: Final = _FIELDS.index("state")
_NOT_AFTER: Final = _FIELDS.index("not_after")
_STATE: Final = _FIELDS.index("instance__state")
_KEYS: Final = InstanceKey.objects.filter(instance__piid=UUID(int=0)).exclude(state=KeyState.RETIRED)
_SESSIONS: Final = CompiledRead(lambda: _KEYS.values_list(*_FIELDS))
_REPORTING: Final = CompiledRead(lambda: _read_with_use().values_list(*_FIELDS, "use", "figures"))

_ACCEPT: Final = (
    "UPDATE licensing_instancecontact SET last_timestamp = %s, request_digest = %s, response = %s,"
    " last_contact_at = %s, rate_level = %s, rate_at = %s"
    " WHERE instance_id = %s AND last_timestamp = %s AND revision = %s"
)
_ACCEPT_AUTHORIZATION: Final = _ACCEPT.replace(" WHERE", ", authorized_at = %s, authorization_expires_at = %s WHERE")


class Session(NamedTuple):
    """What was read of an instance when its message came. The order of the fields is that of `_FIELDS`."""

    key_id: int
    key_state: KeyState
    is_renewal: bool
    accepted_until: datetime | None
    public_key: bytes
    serial: str
    not_after: datetime
    signing_key_id: int
    signing_key_wrapped: bytes
    instance_id: int
    smart_account_id: int
    virtual_account_id: int
    ha_group_id: int
    state: InstanceState
    udi: str
    hostname: str
    ip_address: str
    mac_address: str
    ha_peers: list[str]
    software_tag: str
    is_counted: bool
    claim_lost: bool
    udi_pid: str
    export_controlled_allowed: bool
    is_overdue: bool
    last_timestamp: int
    revision: int
    last_digest: str
    rate_level: float
    rate_at: int
    piid: str
    identity_until: datetime
    has_previous: bool
    use: Sequence[StoredUse] = ()
    """What it reported last, and the pools of that: of an AUTHORIZATION only."""
    figures: Sequence[Figures] | None = None

    @property
    def actor(self) -> Actor:
        return Actor.product(self.piid)

    @property
    def is_settled(self) -> bool:
        """Whether an accepted authorization request changes nothing but its receipt, beside what it reports."""
        is_current = self.key_state is KeyState.CURRENT and not self.has_previous
        return self.state is InstanceState.REGISTERED and is_current and not self.is_overdue

    @property
    def signer(self) -> Signer:
        return Signer(self.signing_key_id, bytes(self.signing_key_wrapped))


def digest_request(envelope: Envelope) -> str:
    """What makes two requests the same: the bytes that are signed."""
    return hashlib.sha256(envelope.signed_bytes).hexdigest()


def not_registered(piid: str) -> Refusal:
    return Refusal(RefusalCode.NOT_REGISTERED, _NOT_REGISTERED.format(piid=piid))


def open_session(*, envelope: Envelope, request: Request, now: datetime) -> Session:
    """Who sent this. Raises `Refusal`, NOT_REGISTERED or SIGNATURE_INVALID, for a message that proves no key."""
    piid = request.header.product_instance_identifier or ""
    try:
        key = UUID(piid), KeyState.RETIRED.value
    except ValueError:
        raise not_registered(piid) from None
    if request.header.request_type == RequestType.AUTHORIZATION:
        rows = _REPORTING.fetch(*[now] * MOMENTS_BESIDE_PRODUCT, *key)
    else:
        rows = _SESSIONS.fetch(*key)
    sessions = _make_sessions(rows, piid)
    if not sessions:
        raise not_registered(piid)
    claimed = normalise_serial(request.header.id_cert_serial_number or "")
    session = next((each for each in sessions if each.serial == claimed), None)
    if session is None:
        if _is_by_retired_key(sessions[0].instance_id, claimed, envelope):
            raise not_registered(piid)
        raise Refusal(
            RefusalCode.SIGNATURE_INVALID,
            "The ID certificate with this serial number does not belong to the instance.",
            where="$.header.id_cert_serial_number",
        )
    if not verify_signature(bytes(session.public_key), envelope.signature_bytes, envelope.signed_bytes):
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "The signature is not by the key of the ID certificate.")
    return session


def find_repeated_answer(*, session: Session, digest: str) -> bytes | None:
    """The stored answer, where this is the last accepted request once more; also after the instance has ended."""
    if digest != session.last_digest:
        return None
    stored = InstanceContact.objects.values_list("response", flat=True).get(pk=session.instance_id)
    return None if stored is None else unwrap_answer(bytes(stored), owner=session.piid)


def check_message(*, session: Session, request: Request, now: datetime) -> None:
    """Whether a message that proved its key may be heard. Raises `Refusal`."""
    if not session.state.is_active or (session.accepted_until is not None and session.accepted_until <= now):
        raise not_registered(session.piid)
    # An unacknowledged renewal counts as none: it does not outlive the certificate that it renews.
    ends_at = min(session.not_after, session.identity_until)
    if ends_at <= now:
        raise Refusal(
            RefusalCode.CERTIFICATE_EXPIRED,
            f"The ID certificate expired on {ends_at:%Y-%m-%d %H:%M} UTC. Register the product again.",
        )
    check_clock(request.header.timestamp, last=session.last_timestamp, now=now)
    if request.sudi.udi != session.udi:
        raise Refusal(RefusalCode.UDI_MISMATCH, f"This identity belongs to {session.udi}.", where="$.header.sudi")
    if _filled(session, now) + 1 > MESSAGE_BURST:
        raise Refusal(
            RefusalCode.RATE_LIMITED,
            f"More than {MESSAGES_PER_SECOND:.0f} messages per second from this instance.",
            retry_seconds=1,
        )


def check_clock(timestamp: int, *, last: int | None, now: datetime) -> None:
    """CLOCK_SKEW above 24 hours, REPLAYED unless newer than the last accepted; both tell the product where to go on."""
    server_time = to_milliseconds(now)
    data = {"server_time": server_time, "last_timestamp": last or 0}
    if abs(timestamp - server_time) > CLOCK_TOLERANCE / timedelta(milliseconds=1):
        raise Refusal(
            RefusalCode.CLOCK_SKEW,
            "The timestamp is more than 24 hours off. Set the clock of the product.",
            where="$.header.timestamp",
            data=data,
        )
    if last is not None and timestamp <= last:
        raise Refusal(
            RefusalCode.REPLAYED,
            "The timestamp is not newer than that of the last accepted message.",
            where="$.header.timestamp",
            data=data,
        )


def accept_message(
    *,
    session: Session,
    timestamp: int,
    digest: str,
    answer: bytes,
    authorized_until: datetime | None = None,
    only_acknowledges: bool = False,
    now: datetime,
) -> None:
    """Take the message: the first statement of the transaction that holds its effect.

    With `authorized_until` it is an authorization. The first message signed by a new key acknowledges it, and one that
    does more than that (`only_acknowledges` is false) ends the key before it. Raises `Contended` where another message,
    or a change from outside, came first.
    """
    at = connection.ops.adapt_datetimefield_value(now)
    values: list[Any] = [
        timestamp,
        digest,
        wrap_answer(answer, owner=session.piid),
        at,
        _filled(session, now) + 1,
        to_milliseconds(now),
    ]
    if authorized_until is not None:
        values += [at, connection.ops.adapt_datetimefield_value(authorized_until)]
    change(
        _ACCEPT_AUTHORIZATION if authorized_until is not None else _ACCEPT,
        [*values, session.instance_id, session.last_timestamp, session.revision],
        missed=Contended,
    )
    if authorized_until is not None and session.is_overdue:
        InstanceContact.objects.filter(pk=session.instance_id).update(is_overdue=False)
        clear_notices(instance_ids=[session.instance_id], kinds=[NoticeKind.FAILED_TO_CONNECT], at=now)
    if session.state is InstanceState.REGISTERING:
        _confirm(session, InstanceState.REGISTERING, "instance.acknowledged", now)
    elif session.key_state is KeyState.PENDING:
        confirm_key(instance_id=session.instance_id, key_id=session.key_id, now=now)
        _confirm(session, InstanceState.RENEWING, "instance.renewed", now)
        clear_notices(instance_ids=[session.instance_id], kinds=[NoticeKind.FAILED_TO_RENEW], at=now)
    if not only_acknowledges and (session.has_previous or session.key_state is KeyState.PENDING):
        retire_previous(instance_id=session.instance_id)


def _confirm(session: Session, waiting: InstanceState, event: str, now: datetime) -> None:
    instance = ProductInstance.objects.filter(pk=session.instance_id, state=waiting)
    if instance.update(state=InstanceState.REGISTERED) != 1:
        raise Contended
    record_event(
        actor=session.actor,
        name=event,
        smart_account=session.smart_account_id,
        virtual_account=session.virtual_account_id,
        subject_type="product_instance",
        subject_id=session.piid,
        data={"udi": session.udi},
        now=now,
    )


def _filled(session: Session, now: datetime) -> float:
    """How full the instance's bucket is: it leaks by the allowed rate."""
    seconds = max(0, to_milliseconds(now) - session.rate_at) / 1000
    return max(0.0, session.rate_level - seconds * MESSAGES_PER_SECOND)


def _read_with_use() -> QuerySet[InstanceKey]:
    # No value of anybody's is in these texts.
    use = RawSQL(_USE[connection.vendor].format(_OF_INSTANCE), [])  # noqa: S611  our own names
    moments = [datetime.max.replace(tzinfo=UTC)] * MOMENTS_BESIDE_PRODUCT
    return _KEYS.annotate(use=use, figures=RawSQL(FIGURES_BESIDE_PRODUCT[connection.vendor], moments))  # noqa: S611  our own names


def _make_sessions(rows: Sequence[Sequence[Any]], piid: str) -> list[Session]:
    """One for each key that is still accepted; they differ only in what the key is good for."""
    states = [KeyState(row[_KEY_STATE]) for row in rows]
    until = rows[states.index(KeyState.CURRENT)][_NOT_AFTER] if rows else None
    sessions = []
    for row, state in zip(rows, states, strict=True):
        values: list[Any] = [*row[: len(_FIELDS)], str(UUID(piid)), until]
        values.append(state is KeyState.CURRENT and KeyState.PREVIOUS in states)
        if len(row) > len(_FIELDS):
            use, figures = row[len(_FIELDS) :]
            values += [StoredUse(*each) for each in msgspec.json.decode(use or "[]")], figures_beside(figures)
        values[_KEY_STATE], values[_STATE] = state, InstanceState(row[_STATE])
        sessions.append(Session(*values))
    return sessions


def _is_by_retired_key(instance_id: int, serial: str, envelope: Envelope) -> bool:
    """Whether this is by a key of the instance that is over: replaced, or of a renewal that was given up."""
    retired = InstanceKey.objects.filter(instance=instance_id, state=KeyState.RETIRED, id_cert_serial=serial)
    return any(
        verify_signature(bytes(key), envelope.signature_bytes, envelope.signed_bytes)
        for key in retired.values_list("public_key", flat=True)
    )
