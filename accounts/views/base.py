"""Pages below a Smart Account and a Virtual Account: what the URL names is loaded within the actor's reach.

A stranger's account answers 404, exactly as one that does not exist; a missing right answers 403.
"""

from typing import Any
from urllib.parse import quote

from django.utils.functional import cached_property

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.errors import Forbidden, NotFound
from cssm.common.navigation import NavItem, areas_for
from cssm.common.permissions import Permission
from cssm.common.views import Crumb, PortalView

NO_SUCH_ACCOUNT = "There is no such account, or you have no access to it."
NO_SUCH_VIRTUAL_ACCOUNT = "There is no such Virtual Account, or you have no access to it."
NO_RIGHT = "Your role does not allow this. Ask an administrator of the Smart Account for the right."


class AccountView(PortalView):
    """A page below `/accounts/<domain>/`. The permission must hold on the account or on one of its VAs."""

    smart_account: SmartAccount

    def authorize(self) -> None:
        account = SmartAccount.objects.visible_to(self.actor).filter(domain=self.kwargs["domain"].lower()).first()
        if account is None:
            raise NotFound(NO_SUCH_ACCOUNT)
        self.smart_account = account
        self.require_permission()

    def require_permission(self) -> None:
        if isinstance(self.permission, Permission) and not self.actor.may_anywhere(
            self.permission, smart_account_id=self.smart_account.pk
        ):
            raise Forbidden(NO_RIGHT)

    def may(self, permission: Permission) -> bool:
        """Whether the actor holds the permission on the object of this page: hide what would be refused."""
        return self.actor.may_anywhere(permission, smart_account_id=self.smart_account.pk)

    @property
    def account_url(self) -> str:
        return f"/accounts/{self.smart_account.domain}/"

    @cached_property
    def areas(self) -> list[NavItem]:
        return areas_for(
            self.actor,
            domain=self.smart_account.domain,
            smart_account_id=self.smart_account.pk,
            path=self.request.path,
        )

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.smart_account.name, self.account_url)]

    def get_context(self) -> dict[str, Any]:
        if self.request.session.get("last_account") != self.smart_account.domain:
            self.request.session["last_account"] = self.smart_account.domain
        may_search = self.actor.may_anywhere(Permission.VIEW, smart_account_id=self.smart_account.pk)
        return {
            **super().get_context(),
            "account": self.smart_account,
            "areas": self.areas,
            "search_url": f"{self.account_url}search/" if may_search else "",
        }


class VirtualAccountView(AccountView):
    """A page below `/accounts/<domain>/inventory/<va>/`; `va` is the name of a Virtual Account, in any case."""

    virtual_account: VirtualAccount

    def require_permission(self) -> None:
        account = (
            VirtualAccount.objects.live().named(self.kwargs["va"]).filter(smart_account=self.smart_account).first()
        )
        if account is None or not self._is_known(account):
            raise NotFound(NO_SUCH_VIRTUAL_ACCOUNT)
        self.virtual_account = account
        if isinstance(self.permission, Permission) and not self.may(self.permission):
            raise Forbidden(NO_RIGHT)

    def may(self, permission: Permission) -> bool:
        return self.actor.may(
            permission, smart_account_id=self.smart_account.pk, virtual_account_id=self.virtual_account.pk
        )

    def _is_known(self, account: VirtualAccount) -> bool:
        """A role on the whole Smart Account, or on this Virtual Account; one on its neighbour does not count."""
        return self.actor.is_operator or any(
            grant.smart_account_id == account.smart_account_id and grant.virtual_account_id in (None, account.pk)
            for grant in self.actor.grants
        )

    @property
    def va_url(self) -> str:
        return f"{self.account_url}inventory/{quote(self.virtual_account.name, safe='')}/"

    def tab_url(self, tab: str) -> str:
        """A tab of this Virtual Account's inventory: general, licenses, instances, events."""
        return f"{self.va_url}{tab}/"

    def get_crumbs(self) -> list[Crumb]:
        return [
            *super().get_crumbs(),
            Crumb("Inventory", f"{self.account_url}inventory/"),
            Crumb(self.virtual_account.name, self.va_url),
        ]

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "virtual_account": self.virtual_account}
