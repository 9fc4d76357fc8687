"""On-prem servers: finding them, who stands for them, their end."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import ApiClient, SmartAccount, VirtualAccount
from accounts.services.actors import actor_for_client, actor_for_user
from accounts.services.events import record_event
from cssm.common.actor import NOBODY, Actor, ActorKind
from cssm.common.errors import Conflict, Invalid, NotFound
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from licensing.services.devices.apply_snapshot import end_origin
from licensing.services.devices.origins import Reporter
from licensing.services.devices.staging import discard_snapshot
from pki.states import RevocationReason
from sync.codecs.registration import NAME_LIMIT
from sync.errors import FileCode
from sync.models import LocalAccount, Notice, OnPremServer
from sync.services.certificates import revoke_all
from sync.states import NoticeKind, ServerState

DISPATCH_TASK = "alerts.dispatch"


def get_server(
    *, actor: Actor, smart_account: SmartAccount, uuid: UUID, permission: Permission = Permission.VIEW
) -> OnPremServer:
    """The server on whose Virtual Account the actor holds the permission. Raises `NotFound`, `Forbidden`."""
    servers = OnPremServer.objects.visible_to(actor).filter(smart_account=smart_account, uuid=uuid)
    server = servers.select_related("smart_account", "virtual_account", "origin", "three_tier").first()
    if server is None:
        raise NotFound(
            "There is no such on-prem server in this Smart Account, or you have no access to it.",
            code=FileCode.UNKNOWN_SERVER.value,
        )
    require(actor, server, permission)
    return server


def require(actor: Actor, server: OnPremServer, permission: Permission) -> None:
    """Raises `NotFound` or `Forbidden` unless the actor holds the permission where the server is registered."""
    actor.require(permission, smart_account_id=server.smart_account_id, virtual_account_id=server.virtual_account_id)


def lock_server(server_id: int) -> OnPremServer:
    """The server as it is, locked until the transaction ends: what concerns one server happens one after the other."""
    rows = OnPremServer.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("smart_account", "virtual_account", "origin").get(pk=server_id)


def actor_of_server(server: OnPremServer) -> Actor:
    return Actor(kind=ActorKind.ON_PREM, id=str(server.uuid), label=f"on-prem server {server.name}")


def actor_of_registrar(server: OnPremServer) -> Actor:
    """Whoever registered the server, with the rights held at this moment; nobody where they are gone."""
    if server.registered_by is not None:
        return actor_for_user(server.registered_by)
    if server.registered_by_client.isdecimal():
        client = ApiClient.objects.filter(pk=int(server.registered_by_client)).first()
        return NOBODY if client is None else actor_for_client(client)
    return NOBODY


def rename_server(*, actor: Actor, server: OnPremServer, name: str, now: datetime) -> None:
    """What people call it; its next response says so. Raises `Invalid`, `NotFound`, `Forbidden`."""
    require(actor, server, Permission.MANAGE_ASSETS)
    name = clean_name(name)
    with transaction.atomic():
        current = lock_server(server.pk)
        require(actor, current, Permission.MANAGE_ASSETS)
        if current.name != name:
            record(actor, current, "onprem.renamed", {"name": name}, now)
            current.name = name
            current.save(update_fields=["name"])


def clean_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not 1 <= len(cleaned) <= NAME_LIMIT or not cleaned.isprintable():
        raise Invalid(f"A name has 1 to {NAME_LIMIT} printable characters.", where="name")
    return cleaned


def remove_server(*, actor: Actor, server: OnPremServer, now: datetime) -> None:
    """A person removes it: its instances leave the pools, its certificates are revoked. Raises `Conflict`
    (SERVER_REMOVED), `NotFound`, `Forbidden`."""
    require(actor, server, Permission.MANAGE_ASSETS)
    with transaction.atomic():
        current = lock_server(server.pk)
        require(actor, current, Permission.MANAGE_ASSETS)
        if current.state != ServerState.REGISTERED:
            raise Conflict(f"{current.name} was removed already.", code=FileCode.SERVER_REMOVED.value)
        end_server(actor=actor, server=current, event="onprem.removed", now=now)


def end_server(*, actor: Actor, server: OnPremServer, event: str, now: datetime) -> None:
    """End a locked server, in the caller's transaction: instances, certificates, its local accounts' links."""
    outcome = end_origin(
        actor=actor_of_server(server), origin=server.origin, smart_account_id=server.smart_account_id, now=now
    )
    revoke_all(server=server, reason=RevocationReason.CESSATION, now=now)
    LocalAccount.objects.filter(server=server).update(is_active=False, instance_count=0)
    if server.held_id is not None:
        discard_snapshot(snapshot_id=server.held_id)
    server.held = None
    server.state, server.removed_at = ServerState.REMOVED, now
    server.overdue_told_at = server.deadline_told_at = None
    server.save(update_fields=["state", "removed_at", "held", "overdue_told_at", "deadline_told_at"])
    record(actor, server, event, {"instances": outcome.removed_count}, now)
    tell(server, NoticeKind.SYNCHRONIZED, now)


def record(actor: Actor, server: OnPremServer, name: str, data: dict[str, Any], now: datetime) -> None:
    """One event about the server, in its Virtual Account."""
    record_event(
        actor=actor,
        name=name,
        smart_account=server.smart_account_id,
        virtual_account=server.virtual_account_id,
        subject_type="onprem_server",
        subject_id=str(server.uuid),
        data={"server": server.name, **data},
        now=now,
    )


def tell(server: OnPremServer, kind: NoticeKind, now: datetime) -> None:
    """Have the dispatcher look at it; in the transaction of what happened."""
    Notice.objects.create(smart_account_id=server.smart_account_id, server=server, kind=kind, at=now)
    nudge(DISPATCH_TASK)


def list_reporters(actor: Actor, smart_account_id: int) -> dict[int, Reporter]:
    """The servers of an account by their origins: their names for everybody in it, their pages for their people."""
    rows = OnPremServer.objects.filter(smart_account=smart_account_id).select_related("smart_account")
    return {
        row.origin_id: Reporter(
            row.name,
            row.path
            if actor.may(Permission.VIEW, smart_account_id=smart_account_id, virtual_account_id=row.virtual_account_id)
            else "",
        )
        for row in rows
    }


def find_occupying_server(virtual_account: VirtualAccount, now: datetime) -> str | None:
    """What keeps a Virtual Account from being deleted: servers registered to it, or with accounts linked to it."""
    here = OnPremServer.objects.registered().filter(virtual_account=virtual_account).count()
    linked = LocalAccount.objects.filter(
        virtual_account=virtual_account, is_active=True, server__state=ServerState.REGISTERED
    )
    there = linked.exclude(server__virtual_account=virtual_account).values("server").distinct().count()
    count = here + there
    return f"{count} on-prem server{'' if count == 1 else 's'}" if count else None
