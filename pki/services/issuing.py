"""What keeps certificates from being issued: the operator's switch, and keys that are known to be compromised."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import transaction

from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from cssm.common.statements import prepared_cursor
from pki.errors import IssuingStopped, KeyBlocked
from pki.models import BlockedKey, IssuingChange

_MAY_ISSUE: Final = (
    "SELECT (SELECT stopped FROM pki_issuingchange ORDER BY id DESC LIMIT 1),"
    " (SELECT COUNT(*) FROM pki_blockedkey WHERE spki_sha256 IN ({digests}))"
)


def stop_issuing(*, actor: Actor, reason: str, now: datetime) -> None:
    """From the next request on nothing is certified, by any process. Idempotent. Needs OPERATE."""
    _switch(actor, True, reason, now)


def resume_issuing(*, actor: Actor, reason: str, now: datetime) -> None:
    _switch(actor, False, reason, now)


def is_stopped() -> bool:
    return bool(IssuingChange.objects.order_by("-pk").values_list("stopped", flat=True).first())


def block_key(*, actor: Actor, spki_der: bytes, reason: str, now: datetime) -> str:
    """Never certify this key again; returns its digest. What it was certified for is the caller's to end.

    Needs OPERATE. Idempotent: the first reason stays.
    """
    actor.require(Permission.OPERATE)
    digest = digest_key(spki_der)
    with transaction.atomic():
        BlockedKey.objects.get_or_create(
            spki_sha256=digest, defaults={"reason": reason, "blocked_by": actor.label, "blocked_at": now}
        )
    return digest


def digest_key(spki_der: bytes) -> str:
    return hashlib.sha256(spki_der).hexdigest()


def is_blocked(key_digest: str) -> bool:
    """Whether somebody else may have the key of this digest."""
    return BlockedKey.objects.filter(pk=key_digest).exists()


def check_may_issue(spkis: Iterable[bytes], *, although_stopped: bool = False) -> None:
    """Raises IssuingStopped, or KeyBlocked for one of the keys (DER). One query."""
    digests = [digest_key(spki) for spki in spkis]
    with prepared_cursor() as cursor:
        cursor.execute(_MAY_ISSUE.format(digests=", ".join(["%s"] * len(digests)) or "NULL"), digests)
        stopped, blocked = cursor.fetchone()
    if stopped and not although_stopped:
        raise IssuingStopped("The operator has stopped the issuing of certificates.")
    if blocked:
        raise KeyBlocked("The key is known to be compromised. Make a new key pair.")


def _switch(actor: Actor, stopped: bool, reason: str, now: datetime) -> None:
    actor.require(Permission.OPERATE)
    with transaction.atomic():
        if is_stopped() is not stopped:
            IssuingChange.objects.create(stopped=stopped, reason=reason, changed_by=actor.label, changed_at=now)
