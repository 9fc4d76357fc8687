"""Virtual Accounts: created, renamed and deleted by the administrators of their Smart Account."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from oauth2_provider.models import AccessToken

from accounts.errors import DEFAULT_VIRTUAL_ACCOUNT, NAME_TAKEN, VIRTUAL_ACCOUNT_OCCUPIED
from accounts.models import ApiClient, Membership, SmartAccount, VirtualAccount
from accounts.services.events import record_event
from accounts.services.smart_accounts import clean_name
from accounts.states import AccessLevel
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Invalid, NotFound
from cssm.common.permissions import Permission
from cssm.common.statements import Missed, prepared_cursor, require

NAME_LIMIT: Final = 120
DESCRIPTION_LIMIT: Final = 500

OccupancyCheck = Callable[[VirtualAccount, datetime], str | None]
_occupancy_checks: list[OccupancyCheck] = []


def register_occupancy_check(check: OccupancyCheck) -> OccupancyCheck:
    """Have `check` asked, with the moment, before a Virtual Account is deleted: it returns what is in there, or None.

    For apps above this one, called in AppConfig.ready().
    """
    if check not in _occupancy_checks:
        _occupancy_checks.append(check)
    return check


def get_virtual_account(
    *, actor: Actor, smart_account: SmartAccount, name: str, permission: Permission = Permission.VIEW
) -> VirtualAccount:
    """The Virtual Account of that name on which the actor holds the permission.

    Raises `NotFound` where there is none or the actor may not know of it, `Forbidden` where only the right is missing.
    """
    found = VirtualAccount.objects.live().filter(smart_account=smart_account).named(name).first()
    if found is None or not (
        actor.may(Permission.VIEW, smart_account_id=smart_account.pk, virtual_account_id=found.pk)
        or actor.may(permission, smart_account_id=smart_account.pk, virtual_account_id=found.pk)
    ):
        raise NotFound("There is no such Virtual Account, or you have no access to it.", where="virtualAccount")
    actor.require(permission, smart_account_id=smart_account.pk, virtual_account_id=found.pk)
    return found


def create_virtual_account(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    name: str,
    description: str = "",
    access_level: AccessLevel = AccessLevel.PUBLIC,
    now: datetime,
) -> VirtualAccount:
    """A new, empty Virtual Account. Raises `Conflict` (NAME_TAKEN), `Invalid`, `Forbidden`, `NotFound`."""
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=smart_account.pk)
    name, description = _clean_va_name(name), _clean_description(description)
    with transaction.atomic():
        SmartAccount.objects.select_for_update().get(pk=smart_account.pk)
        _refuse_taken_name(smart_account.pk, name)
        virtual_account = VirtualAccount.objects.create(
            smart_account=smart_account,
            name=name,
            description=description,
            access_level=access_level,
            created_at=now,
        )
        _record(actor, virtual_account, "virtual_account.created", {"access": access_level.value}, now)
    return virtual_account


def change_virtual_account(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    name: str | None = None,
    description: str | None = None,
    access_level: AccessLevel | None = None,
    now: datetime,
) -> VirtualAccount:
    """Rename or describe it anew; None leaves a property as it is. The default one can be renamed too."""
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=virtual_account.smart_account_id)
    wanted = {
        "name": None if name is None else _clean_va_name(name),
        "description": None if description is None else _clean_description(description),
        "access_level": None if access_level is None else access_level.value,
    }
    with transaction.atomic():
        SmartAccount.objects.select_for_update().get(pk=virtual_account.smart_account_id)
        row = _lock_live(virtual_account)
        changes = {key: value for key, value in wanted.items() if value is not None and value != getattr(row, key)}
        if not changes:
            return row
        if "name" in changes:
            _refuse_taken_name(row.smart_account_id, changes["name"], but=row.pk)
        before = {key: getattr(row, key) for key in changes}
        for key, value in changes.items():
            setattr(row, key, value)
        row.save(update_fields=list(changes))
        text = ", ".join(f'{key.replace("_", " ")} "{before[key]}" → "{changes[key]}"' for key in changes)
        data = {"changes": text, "before": before, "after": changes, "name": before.get("name", row.name)}
        _record(actor, row, "virtual_account.changed", data, now)
    return row


def delete_virtual_account(*, actor: Actor, virtual_account: VirtualAccount, now: datetime) -> None:
    """Delete an empty Virtual Account with its roles; its API clients are revoked. Its records stay.

    Raises `Conflict`: DEFAULT_VIRTUAL_ACCOUNT, or VIRTUAL_ACCOUNT_OCCUPIED with what is still in there.
    """
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=virtual_account.smart_account_id)
    with transaction.atomic():
        row = _lock_live(virtual_account)
        if row.is_default:
            raise Conflict("The default Virtual Account cannot be deleted.", code=DEFAULT_VIRTUAL_ACCOUNT)
        occupied = [reason for check in _occupancy_checks if (reason := check(row, now))]
        if occupied:
            raise Conflict(
                f'"{row.name}" is not empty: {"; ".join(occupied)}. Move or remove these first.',
                code=VIRTUAL_ACCOUNT_OCCUPIED,
            )
        row.deleted_at = now
        row.save(update_fields=["deleted_at"])
        members, _ = Membership.objects.filter(virtual_account=row).delete()
        AccessToken.objects.filter(application__virtual_account=row).delete()
        clients = ApiClient.objects.live().filter(virtual_account=row).update(revoked_at=now)
        _record(actor, row, "virtual_account.deleted", {"roles_lost": members, "clients_revoked": clients}, now)


def keep_from_deletion(virtual_account_id: int) -> bool:
    """Whether it is live; then it stays so until the caller's transaction ends, beside others that keep it too.

    For whoever puts something into it. The key of a new row does not do that: it is checked, and locks the account,
    only when the transaction ends, after a deletion that began meanwhile has found the account empty.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_keep_statement(), [virtual_account_id])
        return cursor.fetchone() is not None


def require_kept(virtual_account_id: int, *, missed: Missed) -> None:
    """As `keep_from_deletion`; raises `missed` where it is not live. It may stand among the changes of an `in_one`."""
    require(_keep_statement(), [virtual_account_id], missed=missed)


def _keep_statement() -> str:
    share = " FOR KEY SHARE" if connection.vendor == "postgresql" else ""
    table = VirtualAccount._meta.db_table
    return f"SELECT 1 FROM {table} WHERE id = %s AND deleted_at IS NULL{share}"  # noqa: S608  our own names


def _lock_live(virtual_account: VirtualAccount) -> VirtualAccount:
    row = VirtualAccount.objects.select_for_update().live().filter(pk=virtual_account.pk).first()
    if row is None:
        raise NotFound("This Virtual Account was deleted.")
    return row


def _clean_va_name(name: str) -> str:
    """Names stand in addresses, so those that an address cannot carry are refused."""
    cleaned = clean_name(name, limit=NAME_LIMIT)
    if "/" in cleaned or "\\" in cleaned or cleaned in {".", ".."}:
        raise Invalid("The name of a Virtual Account contains no slashes.", where="name")
    return cleaned


def _clean_description(description: str) -> str:
    cleaned = " ".join(description.split())
    if len(cleaned) > DESCRIPTION_LIMIT or not cleaned.isprintable():
        raise Invalid(f"A description has at most {DESCRIPTION_LIMIT} printable characters.", where="description")
    return cleaned


def _refuse_taken_name(smart_account_id: int, name: str, *, but: int | None = None) -> None:
    others = VirtualAccount.objects.live().filter(smart_account_id=smart_account_id).named(name)
    if but is not None:
        others = others.exclude(pk=but)
    if others.exists():
        raise Conflict(f'There is already a Virtual Account "{name}".', code=NAME_TAKEN, where="name")


def _record(actor: Actor, row: VirtualAccount, event: str, data: dict[str, Any], now: datetime) -> None:
    record_event(
        actor=actor,
        name=event,
        smart_account=row.smart_account_id,
        virtual_account=row,
        subject_type="virtual_account",
        subject_id=row.pk,
        data={"name": row.name, **data},
        now=now,
    )
