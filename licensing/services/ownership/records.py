"""Records of what changes ownership. They are only ever added; a repeated request finds its record and stops."""

import uuid
from datetime import datetime

from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict
from licensing.models import OwnershipRecord
from licensing.states import RecordKind


def write_record(
    *,
    actor: Actor,
    kind: RecordKind,
    smart_account_id: int,
    virtual_account_id: int,
    key: str = "",
    content_digest: str = "",
    reason: str = "",
    now: datetime,
) -> OwnershipRecord:
    """The record that lines and allocations hang on, in the caller's transaction.

    `key` (at most 120 characters, unique in the Smart Account) is what makes a repetition recognisable; without one the
    record gets one of its own. `IntegrityError` where it is there already: ask `find_record` first.
    """
    return OwnershipRecord.objects.create(
        smart_account_id=smart_account_id,
        virtual_account_id=virtual_account_id,
        kind=kind.value,
        key=key or f"{kind.value}:{uuid.uuid4()}",
        content_digest=content_digest,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        # A person's name is personal: it stands in the event, where it can be erased.
        actor_label="" if actor.kind is ActorKind.USER else actor.label[:200],
        reason=reason,
        at=now,
    )


def find_record(*, smart_account_id: int, key: str, content_digest: str) -> OwnershipRecord | None:
    """The record of the same request, where it was carried out before.

    Raises `Conflict` (KEY_REUSED) where the key was used for something else.
    """
    record = OwnershipRecord.objects.filter(smart_account=smart_account_id, key=key).first()
    if record is not None and record.content_digest != content_digest:
        raise Conflict("This key was used for another request before. Use a new one.", code="KEY_REUSED", where="key")
    return record
