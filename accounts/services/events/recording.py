"""The event log: recording changes, and erasing the personal values in it."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from accounts.models import Event, EventPersonal, SmartAccount, User, VirtualAccount
from accounts.states import EVENT_TEMPLATES
from cssm.common.actor import Actor, ActorKind
from cssm.common.compiled import CompiledInsert
from cssm.common.permissions import Permission
from cssm.common.sealing import salted_digest

BATCH: Final = 2000
_EVENTS: Final = CompiledInsert(Event)


def record_event(
    *,
    actor: Actor,
    name: str,
    smart_account: SmartAccount | int | None,
    virtual_account: VirtualAccount | int | None = None,
    subject_type: str,
    subject_id: str | int,
    data: Mapping[str, Any] | None = None,
    personal: Mapping[str, str] | None = None,
    now: datetime,
) -> Event:
    """Insert one row into the log of a Smart Account, or of the installation where `smart_account` is None.

    Call it in the transaction of the change. `data` is JSON without personal values or secrets, enough to fill the
    message template of `name`; names, e-mail and network addresses go into `personal`. Raises `KeyError` for a name
    that no app registered.
    """
    if name not in EVENT_TEMPLATES:
        raise KeyError(f"{name} is not a registered event name.")
    personal_values = {key: _clean(value) for key, value in (personal or {}).items() if value}
    if actor.kind is ActorKind.USER:
        personal_values["actor"] = _clean(actor.label)
    salt = secrets.token_bytes(16) if personal_values else b""
    event = Event(
        smart_account_id=_key(smart_account),
        virtual_account_id=_key(virtual_account),
        at=now,
        name=name,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_label="" if actor.kind is ActorKind.USER else actor.label[:200],
        subject_type=subject_type,
        subject_id=str(subject_id),
        data=_clean(dict(data or {})),
        personal_digests={key: personal_digest(key, value, salt) for key, value in personal_values.items()},
    )
    # No savepoint of its own: two more round trips for each event, and the change it belongs to fails with it anyway.
    with transaction.atomic(savepoint=False):
        _EVENTS.add(event)
        if personal_values:
            EventPersonal(event=event, salt=salt, values=personal_values).save(force_insert=True)
    return event


def record_events(
    *,
    actor: Actor,
    name: str,
    smart_account_id: int,
    rows: Iterable[tuple[int, str, str, Mapping[str, Any]]],
    now: datetime,
) -> int:
    """Many events of one name at once, of an actor that is no person: (Virtual Account, subject type, subject id, data)
    each, without personal values. In the transaction of the changes; returns how many."""
    if name not in EVENT_TEMPLATES or actor.kind is ActorKind.USER:
        raise KeyError(f"{name} cannot be recorded in bulk.")
    count, pending = 0, iter(rows)
    while batch := list(islice(pending, BATCH)):
        Event.objects.bulk_create(
            Event(
                smart_account_id=smart_account_id,
                virtual_account_id=virtual_account_id,
                at=now,
                name=name,
                actor_kind=actor.kind.value,
                actor_id=actor.id,
                actor_label=actor.label[:200],
                subject_type=subject_type,
                subject_id=subject_id,
                data=_clean(dict(data)),
            )
            for virtual_account_id, subject_type, subject_id, data in batch
        )
        count += len(batch)
    return count


def personal_digest(key: str, value: str, salt: bytes) -> str:
    """How the personal value `key` of an event enters its chain."""
    return salted_digest(f"{key}={value}", salt)


def erase_personal_values(*, actor: Actor, user: User, now: datetime) -> int:
    """Erase the personal values of all events that the user caused or that are about them; returns how many.

    The chains stay whole: they hold salted digests only. Raises `Forbidden` unless the actor is an operator.
    """
    actor.require(Permission.OPERATE)
    with transaction.atomic():
        concerned = Q(event__actor_kind=ActorKind.USER, event__actor_id=str(user.pk)) | Q(
            event__subject_type="user", event__subject_id=str(user.pk)
        )
        count, _ = EventPersonal.objects.filter(concerned).delete()
        if count:
            record_event(
                actor=actor,
                name="user.personal_values_erased",
                smart_account=None,
                subject_type="user",
                subject_id=user.pk,
                data={"count": count},
                now=now,
            )
    return count


def _key(row: SmartAccount | VirtualAccount | int | None) -> int | None:
    return row if row is None or isinstance(row, int) else row.pk


def _clean(value: Any) -> Any:
    """What any database stores as JSON and any chain can encode: no NUL, no lone surrogates."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
