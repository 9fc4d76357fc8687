"""Local accounts that no file could link: what their products are is kept, and a person who may links them."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, NotFound
from cssm.common.permissions import Permission
from licensing.services.devices import held, staging
from licensing.services.devices.apply_snapshot import apply_snapshot
from sync.errors import FileCode
from sync.models import LocalAccount, OnPremServer
from sync.querysets import LocalAccountQuerySet
from sync.services.local_accounts import Linked
from sync.services.servers import actor_of_server, lock_server, record, require, tell
from sync.states import NoticeKind, ServerState


def list_linkable(*, actor: Actor, server: OnPremServer) -> Sequence[VirtualAccount]:
    """The Virtual Accounts that the actor may link a local account of the server to, by name."""
    managed = VirtualAccount.objects.live().visible_to(actor, Permission.MANAGE_ASSETS)
    taken = _linked(server).values("virtual_account")
    return list(managed.filter(smart_account=server.smart_account_id).exclude(pk__in=taken).order_by("name"))


def list_local_accounts(*, actor: Actor, server: OnPremServer) -> list[tuple[LocalAccount, VirtualAccount | None]]:
    """The server's, by name, each with the Virtual Account it is linked to, if the actor may see that one."""
    rows = list(LocalAccount.objects.filter(server=server, is_active=True).order_by("name", "pk"))
    seen = VirtualAccount.objects.visible_to(actor).filter(smart_account=server.smart_account_id)
    known = seen.in_bulk([row.virtual_account_id for row in rows if row.virtual_account_id is not None])
    return [(row, known.get(row.virtual_account_id or 0)) for row in rows]


def link_account(
    *, actor: Actor, server: OnPremServer, local_id: str, virtual_account: VirtualAccount, now: datetime
) -> int:
    """Link a local account that is held; what its products use counts from now on. Returns how many they are.

    From here on it is the Virtual Account's: its name travels to the server with the next response. Linked there
    already, nothing changes. Raises `NotFound`, `Forbidden`, `Conflict` (SERVER_REMOVED, ALREADY_LINKED).
    """
    require(actor, server, Permission.MANAGE_ASSETS)
    actor.require(
        Permission.MANAGE_ASSETS,
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
    )
    with transaction.atomic():
        current = lock_server(server.pk)
        require(actor, current, Permission.MANAGE_ASSETS)
        if current.state != ServerState.REGISTERED:
            raise Conflict(f"{current.name} was removed.", code=FileCode.SERVER_REMOVED.value)
        row = LocalAccount.objects.filter(server=current, local_id=local_id, is_active=True).first()
        if row is None or virtual_account.smart_account_id != current.smart_account_id:
            raise NotFound("The server has no such Virtual Account.")
        if row.virtual_account_id == virtual_account.pk:
            return 0
        _refuse_linked(row, virtual_account)
        LocalAccount.objects.filter(server=current, virtual_account=virtual_account, is_announced=True).delete()
        local = row.name
        row.virtual_account, row.reason = virtual_account, ""
        row.former_name, row.name = row.name, virtual_account.name
        row.save(update_fields=["virtual_account", "reason", "former_name", "name"])
        count = _apply_held(current, row, virtual_account, now)
        data = {"local": local, "name": virtual_account.name, "instances": count}
        record(actor, current, "onprem.account_linked", data, now)
        tell(current, NoticeKind.ACCOUNT_LINKED, now)
    return count


def hold_unlinked(*, server: OnPremServer, snapshot_id: int, linked: Linked, full: bool, now: datetime) -> None:
    """Keep what an applied file named in accounts that are not linked, in its transaction."""
    accounts = {
        position: linked.numbers[position] for position, here in linked.virtual_accounts.items() if here is None
    }
    if server.held is None:
        if not accounts:
            return
        server.held = staging.open_snapshot(origin=server.origin, smart_account_id=server.smart_account_id, now=now)
        server.save(update_fields=["held"])
    held.hold_rows(held_id=server.held.pk, snapshot_id=snapshot_id, accounts=accounts, full=full)


def release_accounts(*, server: OnPremServer, snapshot_id: int, linked: Linked) -> None:
    """Have an incremental file name what was held of the accounts that it links, before it is applied: the server has
    told of it, and does not tell again."""
    if server.held_id is None:
        return
    for position, number in linked.released.items():
        held.take_over(held_id=server.held_id, number=number, snapshot_id=snapshot_id, position=position)


def _apply_held(server: OnPremServer, row: LocalAccount, virtual_account: VirtualAccount, now: datetime) -> int:
    if server.held_id is None:
        return 0
    snapshot = staging.open_snapshot(origin=server.origin, smart_account_id=server.smart_account_id, now=now)
    held.take_over(held_id=server.held_id, number=row.pk, snapshot_id=snapshot.pk, position=0)
    staging.link_accounts(snapshot_id=snapshot.pk, virtual_accounts={0: virtual_account.pk})
    outcome = apply_snapshot(
        actor=actor_of_server(server),
        snapshot=snapshot,
        full=False,
        generated=server.last_generated_at or now,
        now=now,
    )
    staging.discard_snapshot(snapshot_id=snapshot.pk)
    return outcome.named


def _refuse_linked(row: LocalAccount, virtual_account: VirtualAccount) -> None:
    if row.virtual_account_id is not None:
        raise Conflict(f'"{row.name}" is linked already.', code="ALREADY_LINKED")
    if _linked(row.server).filter(virtual_account=virtual_account).exists():
        raise Conflict(
            f'Another Virtual Account of the server is linked to "{virtual_account.name}".', code="ALREADY_LINKED"
        )


def _linked(server: OnPremServer) -> LocalAccountQuerySet:
    """Those that the server has named; what we announced may still be taken over."""
    return LocalAccount.objects.filter(server=server, is_active=True, is_announced=False, virtual_account__isnull=False)
