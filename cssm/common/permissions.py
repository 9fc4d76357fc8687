"""Who may do what: the one table of roles and permissions. Pure: no Django."""

from enum import StrEnum
from typing import Final


class Access(StrEnum):
    """What a view declares when no permission on an account is needed."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"


class Permission(StrEnum):
    """A right on a Smart Account or, for the VA roles, on one Virtual Account."""

    VIEW = "view"
    MANAGE_ASSETS = "manage_assets"
    MANAGE_VIRTUAL_ACCOUNTS = "manage_virtual_accounts"
    MANAGE_SA_USERS = "manage_sa_users"
    MANAGE_VA_USERS = "manage_va_users"
    APPROVE_ACCESS = "approve_access"
    SA_PROPERTIES = "sa_properties"
    SA_EVENT_LOG = "sa_event_log"
    MANAGE_INTEGRATIONS = "manage_integrations"
    OPERATE = "operate"


class Role(StrEnum):
    """The seven roles. The first four are held on a Smart Account, the last three on one Virtual Account."""

    SA_ADMIN = "SA_ADMIN"
    SA_APPROVER = "SA_APPROVER"
    SA_USER = "SA_USER"
    SA_VIEWER = "SA_VIEWER"
    VA_ADMIN = "VA_ADMIN"
    VA_USER = "VA_USER"
    VA_VIEWER = "VA_VIEWER"

    @property
    def is_virtual_account_role(self) -> bool:
        return self.value.startswith("VA_")

    @property
    def label(self) -> str:
        return ROLE_LABELS[self]


ROLE_LABELS: Final[dict[Role, str]] = {
    Role.SA_ADMIN: "Smart Account Administrator",
    Role.SA_APPROVER: "Smart Account Approver",
    Role.SA_USER: "Smart Account User",
    Role.SA_VIEWER: "Smart Account Viewer",
    Role.VA_ADMIN: "Virtual Account Administrator",
    Role.VA_USER: "Virtual Account User",
    Role.VA_VIEWER: "Virtual Account Viewer",
}

_VIEWER = frozenset({Permission.VIEW})
_USER = _VIEWER | {Permission.MANAGE_ASSETS}

ROLE_PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.SA_ADMIN: frozenset(Permission) - {Permission.OPERATE},
    Role.SA_APPROVER: frozenset({Permission.SA_PROPERTIES, Permission.SA_EVENT_LOG}),
    Role.SA_USER: _USER,
    Role.SA_VIEWER: _VIEWER,
    Role.VA_ADMIN: _USER | {Permission.MANAGE_VA_USERS},
    Role.VA_USER: _USER,
    Role.VA_VIEWER: _VIEWER,
}

# An operator runs the installation: sees every account and does the operator's calls, but manages no customer's assets.
OPERATOR_PERMISSIONS: Final[frozenset[Permission]] = frozenset(
    {Permission.VIEW, Permission.SA_EVENT_LOG, Permission.OPERATE}
)


def may_grant(holder: Role, granted: Role) -> bool:
    """Nobody grants more than they hold: every permission of `granted` must be among the holder's."""
    return ROLE_PERMISSIONS[granted] <= ROLE_PERMISSIONS[holder] and (
        granted.is_virtual_account_role or not holder.is_virtual_account_role
    )
