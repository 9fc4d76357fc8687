"""ID tokens: made, shown and revoked by those who may manage the assets of a Virtual Account."""

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from accounts.services.virtual_accounts import keep_from_deletion
from cssm.common.actor import Actor, ActorKind
from cssm.common.clock import to_milliseconds
from cssm.common.compiled import CompiledModels
from cssm.common.errors import Invalid, NotFound
from cssm.common.permissions import Permission
from licensing.codecs.id_token import KEY_BYTES, make_token, normalise_token
from licensing.models import IdToken
from pki.services import vault

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 9999
MAX_USES: Final = 1_000_000_000
DESCRIPTION_LIMIT: Final = 500
TOKENS: Final = CompiledModels(
    lambda: IdToken.objects.select_related("smart_account", "virtual_account").filter(digest="")
)


def create_token(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    description: str = "",
    lifetime_days: int = DEFAULT_DAYS,
    max_uses: int | None = None,
    export_controlled_allowed: bool = True,
    now: datetime,
) -> tuple[IdToken, str]:
    """A new token and its value. `lifetime_days` is 1…9999; `max_uses` None means unlimited.

    Raises `Invalid` with the field, `Forbidden`, `NotFound` (also where the Virtual Account was deleted).
    """
    _require_manage(actor, virtual_account.smart_account_id, virtual_account.pk)
    description = _clean_description(description)
    if not 1 <= lifetime_days <= MAX_DAYS:
        raise Invalid(f"A token is valid for 1 to {MAX_DAYS} days.", where="lifetime_days")
    if max_uses is not None and not 1 <= max_uses <= MAX_USES:
        raise Invalid(f"The number of uses is 1 to {MAX_USES}, or empty for unlimited.", where="max_uses")
    value = make_token(
        key=secrets.token_bytes(KEY_BYTES), virtual_account=virtual_account.uuid, milliseconds=to_milliseconds(now)
    )
    digest = vault.digest(value.encode())
    with transaction.atomic():
        token = IdToken.objects.create(
            smart_account_id=virtual_account.smart_account_id,
            virtual_account_id=virtual_account.pk,
            digest=digest,
            sealed_value=vault.wrap(value.encode(), context=_context(digest)),
            description=description,
            created_at=now,
            created_by_id=int(actor.id) if actor.kind is ActorKind.USER else None,
            created_by_label=actor.label[:255],
            expires_at=now + timedelta(days=lifetime_days),
            max_uses=max_uses,
            export_controlled_allowed=export_controlled_allowed,
        )
        if not keep_from_deletion(virtual_account.pk):
            raise NotFound("This Virtual Account was deleted.")
        _record(actor, token, "token.created", {"terms": _describe_terms(token, lifetime_days)}, now)
    return token, value


def reveal_token(*, actor: Actor, token: IdToken) -> str:
    """The value of a token, to one who may manage the assets of its Virtual Account."""
    _require_manage(actor, token.smart_account_id, token.virtual_account_id)
    return vault.unwrap(bytes(token.sealed_value), context=_context(token.digest)).decode()


def revoke_token(*, actor: Actor, token: IdToken, now: datetime) -> IdToken:
    """No further product registers with it; those registered stay. Revoking a revoked one changes nothing."""
    _require_manage(actor, token.smart_account_id, token.virtual_account_id)
    with transaction.atomic():
        if IdToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now):
            _record(actor, token, "token.revoked", {}, now)
    token.refresh_from_db()
    return token


def find_token(value: str) -> IdToken | None:
    """The token of that value, also percent-encoded or with line breaks; found by digest, so nothing is compared."""
    digest = digest_token(value)
    return TOKENS.first(digest) if digest else None


def digest_token(value: str) -> str:
    """What a token of that value, in any spelling, is found by; empty for what cannot be one."""
    plain = normalise_token(value)
    return "" if plain is None else vault.digest(plain.encode())


def get_token(*, actor: Actor, value: str) -> IdToken:
    """The token of that value, to one who may manage it. Raises `NotFound` to everybody else."""
    token = find_token(value)
    if token is None or not actor.may(
        Permission.MANAGE_ASSETS, smart_account_id=token.smart_account_id, virtual_account_id=token.virtual_account_id
    ):
        raise NotFound("There is no such token, or you have no access to it.", where="tokens")
    return token


def _require_manage(actor: Actor, smart_account_id: int, virtual_account_id: int) -> None:
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=smart_account_id, virtual_account_id=virtual_account_id)


def _clean_description(description: str) -> str:
    cleaned = " ".join(description.split())
    if len(cleaned) > DESCRIPTION_LIMIT or not cleaned.isprintable():
        raise Invalid(f"A description has at most {DESCRIPTION_LIMIT} printable characters.", where="description")
    return cleaned


def _describe_terms(token: IdToken, days: int) -> str:
    uses = "unlimited uses" if token.max_uses is None else f"{token.max_uses} uses"
    export = "allowed" if token.export_controlled_allowed else "not allowed"
    return f"{days} days, {uses}, export-controlled functionality {export}"


def _context(digest: str) -> str:
    return f"id-token:{digest}"


def _record(actor: Actor, token: IdToken, name: str, data: dict[str, str], now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=token.smart_account_id,
        virtual_account=token.virtual_account_id,
        subject_type="id_token",
        subject_id=token.pk,
        data={"description": token.description, **data},
        now=now,
    )
