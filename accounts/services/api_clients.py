"""API clients: made by an administrator or the operator, secret shown once, revoked at once."""

import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from oauth2_provider.models import AccessToken

from accounts.errors import TOO_MANY
from accounts.models import ApiClient, SmartAccount, User, VirtualAccount
from accounts.services.events import record_event
from accounts.services.members import require_may_grant
from accounts.services.smart_accounts import clean_name
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict
from cssm.common.permissions import Permission, Role

MAX_LIVE_CLIENTS: Final = 100
USE_NOTED_EVERY: Final = timedelta(hours=1)


def create_api_client(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    role: Role,
    virtual_account: VirtualAccount | None = None,
    name: str = "",
    now: datetime,
) -> tuple[ApiClient, str]:
    """A client of the Smart Account and its secret, which is stored hashed and never shown again.

    Raises `NotFound`, `Forbidden` (MORE_THAN_HELD), `Invalid`, `Conflict` (TOO_MANY).
    """
    actor.require(Permission.MANAGE_INTEGRATIONS, smart_account_id=smart_account.pk)
    require_may_grant(actor=actor, smart_account=smart_account, role=role, virtual_account=virtual_account)
    with transaction.atomic():
        SmartAccount.objects.select_for_update().get(pk=smart_account.pk)
        if ApiClient.objects.live().filter(smart_account=smart_account).count() >= MAX_LIVE_CLIENTS:
            raise Conflict(f"There are already {MAX_LIVE_CLIENTS} API clients. Revoke one first.", code=TOO_MANY)
        return _create(
            actor,
            name or f"{smart_account.domain} {role.value}",
            now,
            smart_account=smart_account,
            virtual_account=virtual_account,
            role=role,
        )


def create_operator_client(*, actor: Actor, name: str = "", now: datetime) -> tuple[ApiClient, str]:
    """A client that acts as the operator. Raises `Forbidden` unless the actor is one."""
    actor.require(Permission.OPERATE)
    with transaction.atomic():
        return _create(actor, name or "operator", now, is_operator=True)


def revoke_api_client(*, actor: Actor, client: ApiClient, now: datetime) -> ApiClient:
    """Revoke a client and all its access tokens at once. Revoking it again changes nothing."""
    if client.smart_account_id is None:
        actor.require(Permission.OPERATE)
    else:
        actor.require(Permission.MANAGE_INTEGRATIONS, smart_account_id=client.smart_account_id)
    with transaction.atomic():
        row = ApiClient.objects.select_for_update().get(pk=client.pk)
        if row.revoked_at is None:
            row.revoked_at = now
            row.save(update_fields=["revoked_at"])
            AccessToken.objects.filter(application=row).delete()
            _record(actor, row, "api_client.revoked", now)
    return row


def note_use(*, client: ApiClient, now: datetime) -> None:
    """Remember about when the client was last used; written at most once an hour, without an event."""
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USE_NOTED_EVERY)
    with transaction.atomic():
        ApiClient.objects.filter(stale, pk=client.pk).update(last_used_at=now)


def _create(actor: Actor, name: str, now: datetime, **fields: Any) -> tuple[ApiClient, str]:
    secret = secrets.token_urlsafe(48)
    client = ApiClient.objects.create(
        name=clean_name(name, limit=120),
        client_secret=secret,
        client_type=ApiClient.CLIENT_CONFIDENTIAL,
        authorization_grant_type=ApiClient.GRANT_CLIENT_CREDENTIALS,
        created_at=now,
        created_by=User.objects.get(pk=int(actor.id)) if actor.kind is ActorKind.USER else None,
        **fields,
    )
    _record(actor, client, "api_client.created", now)
    return client, secret


def _record(actor: Actor, client: ApiClient, name: str, now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=client.smart_account_id,
        virtual_account=client.virtual_account_id,
        subject_type="api_client",
        subject_id=client.pk,
        data={"name": client.name, "role": client.role or "operator", "client_id": client.client_id},
        now=now,
    )
