"""Who holds which role: given, changed and taken by those who manage the users.

Nobody changes their own role, grants more than they hold, or removes the last SA_ADMIN. The row of the Smart Account
is locked for every change, so two administrators who remove each other leave one.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.errors import ALREADY_MEMBER, LAST_ADMIN, MORE_THAN_HELD, OWN_ROLE
from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.events import record_event
from accounts.services.users import find_or_create_user
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission, Role, may_grant


def add_member(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    email: str,
    role: Role,
    virtual_account: VirtualAccount | None = None,
    name: str = "",
    now: datetime,
) -> Membership:
    """Give the person with that address a role; a person not yet known is made a user.

    Raises `NotFound`, `Forbidden` (OWN_ROLE, MORE_THAN_HELD), `Invalid`, `Conflict` (ALREADY_MEMBER).
    """
    require_may_grant(actor=actor, smart_account=smart_account, role=role, virtual_account=virtual_account)
    with transaction.atomic():
        _lock(smart_account.pk)
        user = find_or_create_user(email=email, name=name, now=now)
        _refuse_own_role(actor, user.pk)
        return grant_role(
            actor=actor, user=user, smart_account=smart_account, role=role, virtual_account=virtual_account, now=now
        )


def change_role(*, actor: Actor, membership: Membership, role: Role, now: datetime) -> Membership:
    """Replace the role by another on the same account. Raises as `add_member`, and `Conflict` (LAST_ADMIN)."""
    with transaction.atomic():
        row = _lock_membership(actor, membership)
        if role == row.role:
            return row
        require_may_grant(actor=actor, smart_account=row.smart_account, role=role, virtual_account=row.virtual_account)
        _refuse_last_admin(row)
        before = Role(row.role)
        _refuse_second(row.user, row.smart_account, role, row.virtual_account)
        row.role = role
        row.save(update_fields=["role"])
        _record(actor, row, "member.role_changed", {"before": before.value, "after": role.value}, now)
    return row


def remove_member(*, actor: Actor, membership: Membership, now: datetime) -> None:
    """Take the role away. Raises `NotFound`, `Forbidden` (OWN_ROLE, MORE_THAN_HELD), `Conflict` (LAST_ADMIN)."""
    with transaction.atomic():
        row = _lock_membership(actor, membership)
        _refuse_last_admin(row)
        _record(actor, row, "member.removed", {"role": row.role}, now)
        row.delete()


def require_may_grant(
    *, actor: Actor, smart_account: SmartAccount, role: Role, virtual_account: VirtualAccount | None
) -> None:
    """Raise unless the actor may give this role on this account: `NotFound`, `Forbidden`, `Invalid`."""
    if role.is_virtual_account_role != (virtual_account is not None):
        raise Invalid("A VA role is given on a Virtual Account, an SA role on the Smart Account.", where="role")
    if virtual_account is not None and (
        virtual_account.smart_account_id != smart_account.pk or virtual_account.deleted_at is not None
    ):
        raise NotFound("There is no such Virtual Account.", where="virtualAccount")
    _require_manager(actor, smart_account.pk, virtual_account.pk if virtual_account else None)
    if not _holds_as_much(actor, smart_account.pk, virtual_account.pk if virtual_account else None, role):
        raise Forbidden("Nobody can grant more than they hold themselves.", code=MORE_THAN_HELD, where="role")


def grant_role(
    *,
    actor: Actor,
    user: User,
    smart_account: SmartAccount,
    role: Role,
    virtual_account: VirtualAccount | None,
    now: datetime,
) -> Membership:
    """Insert the role, rights already checked by the caller. Raises `Conflict` (ALREADY_MEMBER)."""
    with transaction.atomic():
        _refuse_second(user, smart_account, role, virtual_account)
        row = Membership.objects.create(
            user=user, smart_account=smart_account, virtual_account=virtual_account, role=role, created_at=now
        )
        _record(actor, row, "member.added", {"role": role.value}, now)
    return row


def _lock(smart_account_id: int) -> None:
    SmartAccount.objects.select_for_update().get(pk=smart_account_id)


def _lock_membership(actor: Actor, membership: Membership) -> Membership:
    """The row as it is now, the account locked, if the actor may touch it."""
    _lock(membership.smart_account_id)
    row = Membership.objects.select_related("user", "smart_account", "virtual_account").filter(pk=membership.pk).first()
    if row is None:
        raise NotFound("This role was already taken away.")
    _require_manager(actor, row.smart_account_id, row.virtual_account_id)
    _refuse_own_role(actor, row.user_id)
    if not _holds_as_much(actor, row.smart_account_id, row.virtual_account_id, Role(row.role)):
        raise Forbidden("This person holds more than you do.", code=MORE_THAN_HELD)
    return row


def _require_manager(actor: Actor, smart_account_id: int, virtual_account_id: int | None) -> None:
    if virtual_account_id is not None and actor.may(
        Permission.MANAGE_VA_USERS, smart_account_id=smart_account_id, virtual_account_id=virtual_account_id
    ):
        return
    actor.require(Permission.MANAGE_SA_USERS, smart_account_id=smart_account_id)


def _holds_as_much(actor: Actor, smart_account_id: int, virtual_account_id: int | None, role: Role) -> bool:
    if actor.kind is ActorKind.SYSTEM:
        return True
    return any(
        may_grant(grant.role, role)
        for grant in actor.grants
        if grant.smart_account_id == smart_account_id and grant.virtual_account_id in (None, virtual_account_id)
    )


def _refuse_own_role(actor: Actor, user_id: int) -> None:
    if actor.kind is ActorKind.USER and actor.id == str(user_id):
        raise Forbidden("Nobody can change their own role. Ask another administrator.", code=OWN_ROLE)


def _refuse_last_admin(row: Membership) -> None:
    if row.role != Role.SA_ADMIN:
        return
    others = Membership.objects.administrators().filter(smart_account=row.smart_account_id).exclude(pk=row.pk)
    if not others.exists():
        raise Conflict("This is the last administrator of the Smart Account. Appoint another first.", code=LAST_ADMIN)


def _refuse_second(user: User, smart_account: SmartAccount, role: Role, virtual_account: VirtualAccount | None) -> None:
    if Membership.objects.filter(
        user=user, smart_account=smart_account, virtual_account=virtual_account, role=role
    ).exists():
        raise Conflict(f"{user.email} already has this role.", code=ALREADY_MEMBER, where="email")


def _record(actor: Actor, row: Membership, name: str, data: dict[str, Any], now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=row.smart_account_id,
        virtual_account=row.virtual_account_id,
        subject_type="user",
        subject_id=row.user_id,
        data=data,
        personal={"user": row.user.email},
        now=now,
    )
