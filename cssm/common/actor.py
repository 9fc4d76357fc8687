"""Who acts: a person, an API client, a product, an on-prem server or the system itself, with what it was granted."""

from dataclasses import dataclass
from enum import StrEnum

from cssm.common.errors import Forbidden, NotFound
from cssm.common.permissions import OPERATOR_PERMISSIONS, ROLE_PERMISSIONS, Permission, Role


class ActorKind(StrEnum):
    USER = "user"
    API_CLIENT = "api_client"
    PRODUCT = "product"
    ON_PREM = "on_prem"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Grant:
    """One role on one Smart Account, or on one Virtual Account of it."""

    role: Role
    smart_account_id: int
    virtual_account_id: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a permission holds: everywhere, in whole Smart Accounts, or in single Virtual Accounts."""

    everything: bool
    smart_account_ids: frozenset[int]
    virtual_account_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is the primary key or PIID of the actor as text, `label` what an event log shows (never a secret)."""

    kind: ActorKind
    id: str = ""
    label: str = ""
    grants: tuple[Grant, ...] = ()
    is_operator: bool = False

    @classmethod
    def product(cls, piid: str) -> "Actor":
        return cls(kind=ActorKind.PRODUCT, id=piid, label=f"product instance {piid}")

    def may(
        self, permission: Permission, *, smart_account_id: int | None = None, virtual_account_id: int | None = None
    ) -> bool:
        """Whether the permission holds on the Smart Account, or on that one Virtual Account of it."""
        if self.kind is ActorKind.SYSTEM or (self.is_operator and permission in OPERATOR_PERMISSIONS):
            return True
        return any(
            grant.smart_account_id == smart_account_id
            and grant.virtual_account_id in (None, virtual_account_id)
            and permission in ROLE_PERMISSIONS[grant.role]
            for grant in self.grants
        )

    def may_anywhere(self, permission: Permission, *, smart_account_id: int) -> bool:
        """Whether the permission holds on the Smart Account or on any Virtual Account of it."""
        if self.may(permission, smart_account_id=smart_account_id):
            return True
        return any(
            grant.smart_account_id == smart_account_id and permission in ROLE_PERMISSIONS[grant.role]
            for grant in self.grants
        )

    def knows(self, *, smart_account_id: int) -> bool:
        """Whether the actor has anything to do with the Smart Account at all."""
        return (
            self.kind is ActorKind.SYSTEM
            or self.is_operator
            or any(grant.smart_account_id == smart_account_id for grant in self.grants)
        )

    def require(
        self, permission: Permission, *, smart_account_id: int | None = None, virtual_account_id: int | None = None
    ) -> None:
        """Raise `NotFound` to a stranger, `Forbidden` to one who lacks the right."""
        if self.may(permission, smart_account_id=smart_account_id, virtual_account_id=virtual_account_id):
            return
        if smart_account_id is not None and not self.knows(smart_account_id=smart_account_id):
            raise NotFound("There is no such account, or you have no access to it.")
        raise Forbidden(
            "Your role does not allow this. Ask an administrator of the Smart Account for the right.",
            details={"permission": permission.value},
        )

    def scope(self, permission: Permission) -> Scope:
        """Where the permission holds, in the shape that `visible_to` turns into a filter."""
        if self.kind is ActorKind.SYSTEM or (self.is_operator and permission in OPERATOR_PERMISSIONS):
            return Scope(everything=True, smart_account_ids=frozenset(), virtual_account_ids=frozenset())
        holding = [grant for grant in self.grants if permission in ROLE_PERMISSIONS[grant.role]]
        return Scope(
            everything=False,
            smart_account_ids=frozenset(g.smart_account_id for g in holding if g.virtual_account_id is None),
            virtual_account_ids=frozenset(g.virtual_account_id for g in holding if g.virtual_account_id is not None),
        )


SYSTEM = Actor(kind=ActorKind.SYSTEM, id="system", label="system")
NOBODY = Actor(kind=ActorKind.USER, id="", label="nobody")
