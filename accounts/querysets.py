"""Named reads of the accounts app."""

from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from django.db import connections
from django.db.models import Q

from cssm.common.actor import Actor, ActorKind
from cssm.common.permissions import Permission, Role
from cssm.common.querysets import TenantQuerySet

if TYPE_CHECKING:
    from accounts.models import (
        AccessRequest,
        AccountTag,
        ApiClient,
        Event,
        Membership,
        SmartAccount,
        VirtualAccount,
    )

_WRITE_SEALS: Final = """
UPDATE accounts_event e SET position = s.position, digest = s.digest
  FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[]) AS s (position, digest, id) WHERE e.id = s.id
"""


class SmartAccountQuerySet(TenantQuerySet["SmartAccount"]):
    smart_account_field = "pk"
    virtual_account_field = None

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """For VIEW every account in which the actor holds any role; else those on which the permission holds."""
        scope = actor.scope(permission)
        if permission is not Permission.VIEW or scope.everything:
            return super().visible_to(actor, permission)
        return self.filter(pk__in={grant.smart_account_id for grant in actor.grants})


class AccountTagQuerySet(TenantQuerySet["AccountTag"]):
    virtual_account_field = None

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """The words are shared by everybody who holds any role in the account."""
        scope = actor.scope(permission)
        if permission is not Permission.VIEW or scope.everything:
            return super().visible_to(actor, permission)
        return self.filter(smart_account__in={grant.smart_account_id for grant in actor.grants})


class VirtualAccountQuerySet(TenantQuerySet["VirtualAccount"]):
    virtual_account_field = "pk"

    def live(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def named(self, name: str) -> Self:
        return self.filter(name__iexact=name)

    def found_by(self, actor: Actor, *, search: str = "") -> Self:
        """What a member of the Smart Account may look up: one's own, public ones, private ones by exact name."""
        known = {grant.smart_account_id for grant in actor.grants}
        public = Q(access_level="PUBLIC", name__icontains=search)
        return (self.visible_to(actor) | self.filter(public | Q(name=search), smart_account__in=known)).live()


class MembershipQuerySet(TenantQuerySet["Membership"]):
    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """Those whose users the actor manages, and one's own."""
        managed = super().visible_to(actor, Permission.MANAGE_SA_USERS)
        managed |= super().visible_to(actor, Permission.MANAGE_VA_USERS)
        if actor.kind is ActorKind.USER and actor.id:
            managed |= self.filter(user=int(actor.id))
        return managed

    def administrators(self) -> Self:
        return self.filter(role=Role.SA_ADMIN, user__is_active=True)


class AccessRequestQuerySet(TenantQuerySet["AccessRequest"]):
    virtual_account_field = None

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """One's own and those one may decide."""
        return self.made_by(actor) | self.decided_by_actor(actor)

    def made_by(self, actor: Actor) -> Self:
        return self.filter(requester=int(actor.id)) if actor.kind is ActorKind.USER and actor.id else self.none()

    def decided_by_actor(self, actor: Actor) -> Self:
        """An operator decides on new accounts, an SA_ADMIN on access to the account."""
        allowed = super().visible_to(actor, Permission.APPROVE_ACCESS).filter(smart_account__isnull=False)
        if actor.may(Permission.OPERATE):
            allowed |= self.filter(kind="new_account")
        return allowed

    def pending(self) -> Self:
        return self.filter(status="pending")


class ApiClientQuerySet(TenantQuerySet["ApiClient"]):
    def live(self) -> Self:
        return self.filter(revoked_at__isnull=True)

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """Clients are seen by those who manage them; an operator sees the operator's own."""
        seen = super().visible_to(actor, Permission.MANAGE_INTEGRATIONS)
        if actor.may(Permission.OPERATE):
            seen |= self.filter(is_operator=True)
        return seen


class EventQuerySet(TenantQuerySet["Event"]):
    """The log only grows: it has no update and no delete."""

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """The whole log of an account to its SA_ADMIN and SA_APPROVER, that of a Virtual Account to its viewers."""
        in_virtual_accounts = super().visible_to(actor, Permission.VIEW).filter(virtual_account__isnull=False)
        return super().visible_to(actor, Permission.SA_EVENT_LOG) | in_virtual_accounts

    def unsealed(self) -> Self:
        return self.filter(position__isnull=True)

    def with_personal(self) -> Self:
        return self.select_related("personal")

    def newest_first(self) -> Self:
        return self.order_by("-pk")

    def made_by(self, user: str) -> Self:
        """Those of a person, program or product of exactly this name, as far as it may still be known."""
        return self.filter(Q(actor_label=user) | Q(personal__values__actor=user))

    def mentioning(self, text: str) -> Self:
        """Those in which every word of the text stands: a license, a product, a person, what was changed."""
        rows = self
        for word in text.split():
            rows = rows.filter(
                Q(actor_label__icontains=word)
                | Q(personal__values__icontains=word)
                | Q(subject_id__icontains=word)
                | Q(data__icontains=word)
            )
        return rows

    def write_seals(self, events: "list[Event]") -> None:
        """The sealer's one write: `position` and `digest` of rows that have none yet."""
        seals = [(event.position, bytes(event.digest or b""), event.pk) for event in events]
        with connections[self.db].cursor() as cursor:
            # Not `bulk_update`: it looks for each row's value among those of all.
            if connections[self.db].vendor == "postgresql":
                cursor.execute(_WRITE_SEALS, [list(column) for column in zip(*seals, strict=True)])
            else:
                cursor.executemany("UPDATE accounts_event SET position = %s, digest = %s WHERE id = %s", seals)

    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("Events are never changed.")

    def delete(self) -> NoReturn:
        raise TypeError("Events are never deleted.")
