"""The event log: recording changes, and erasing the personal values in it."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import ProgrammingError, connection, transaction
from django.db.models import Q

from accounts.models import Event, EventPersonal, SmartAccount, User, VirtualAccount
from accounts.states import EVENT_TEMPLATES
from cssm.common.actor import Actor, ActorKind
from cssm.common.bulk import insert_rows
from cssm.common.compiled import CompiledInsert
from cssm.common.permissions import Permission
from cssm.common.sealing import salted_digest
from cssm.common.statements import change, is_collected, prepared_cursor

_BULK_COLUMNS: Final = (
    "smart_account_id", "at", "name", "actor_kind", "actor_id", "actor_label", "personal_digests",
    "virtual_account_id", "subject_type", "subject_id", "data",
)  # fmt: skip
# By hand, for every device message that changes a use comes through here: the model takes three times as long.
_INSERT: Final = (
    f"INSERT INTO accounts_event ({', '.join(_BULK_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_BULK_COLUMNS))})"  # noqa: S608  our own names
)
_PERSONAL: Final = CompiledInsert(EventPersonal)


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
) -> None:
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
    digests = {key: personal_digest(key, value, salt) for key, value in personal_values.items()}
    values = [
        _key(smart_account),
        connection.ops.adapt_datetimefield_value(now),
        name,
        actor.kind.value,
        actor.id,
        "" if actor.kind is ActorKind.USER else actor.label[:200],
        json.dumps(digests),
        _key(virtual_account),
        subject_type,
        str(subject_id),
        json.dumps(_clean(dict(data or {}))),
    ]
    if not personal_values:
        change(_INSERT, values)
        return
    if is_collected():
        raise ProgrammingError("Personal values need the event's key, which is not known before the end.")
    # No savepoint of its own: two more round trips for each event, and the change it belongs to fails with it anyway.
    with transaction.atomic(savepoint=False):
        with prepared_cursor() as cursor:
            cursor.execute(f"{_INSERT} RETURNING id", values)
            [pk] = cursor.fetchone()
        _PERSONAL.add(EventPersonal(event_id=pk, salt=salt, values=personal_values))


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
    at, count = connection.ops.adapt_datetimefield_value(now), 0
    always = (smart_account_id, at, name, actor.kind.value, actor.id, actor.label[:200], "{}")

    def values() -> Iterator[tuple[Any, ...]]:
        nonlocal count
        for virtual_account_id, subject_type, subject_id, data in rows:
            count += 1
            yield (*always, virtual_account_id, subject_type, subject_id, json.dumps(_clean(dict(data))))

    insert_rows(Event._meta.db_table, _BULK_COLUMNS, values())
    return count


def record_selected_events(
    *, actor: Actor, name: str, smart_account_id: int, rows: str, parameters: Mapping[str, Any], now: datetime
) -> int:
    """As `record_events`, for rows that are in the database already: `rows` is a query of ours that gives
    (virtual_account_id, subject_type, subject_id, data) by these names, in their order."""
    if name not in EVENT_TEMPLATES or actor.kind is ActorKind.USER:
        raise KeyError(f"{name} cannot be recorded in bulk.")
    always: dict[str, Any] = {
        "smart_account_id": smart_account_id,
        "at": connection.ops.adapt_datetimefield_value(now),
        "name": name,
        "actor_kind": actor.kind.value,
        "actor_id": actor.id,
        "actor_label": actor.label[:200],
        "personal_digests": "{}",
    }
    values = ", ".join(f"%(event_{column})s" if column in always else f"r.{column}" for column in _BULK_COLUMNS)
    given = {f"event_{column}": value for column, value in always.items()}
    statement = f"INSERT INTO accounts_event ({', '.join(_BULK_COLUMNS)}) SELECT {values} FROM ({rows}) r"  # noqa: S608  our own names
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, **given})
        return int(cursor.rowcount)


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
