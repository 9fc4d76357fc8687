"""The base of every call that concerns accounts: who calls, and which account the path names."""

from functools import cached_property
from typing import Any, ClassVar

from rest_framework.request import Request

from accounts.api.authentication import BearerAuthentication
from accounts.models import SmartAccount, VirtualAccount
from accounts.services.smart_accounts import get_smart_account
from accounts.services.virtual_accounts import get_virtual_account
from cssm.common.api.views import ApiView
from cssm.common.errors import Forbidden
from cssm.common.idempotency import AnswerBox
from cssm.common.permissions import Permission
from pki.services import vault


class AccountApiView(ApiView):
    """`smart_account` and `virtual_account` are those that the path names, once the declared permission was asked."""

    authentication_classes = (BearerAuthentication,)
    answer_box: ClassVar[AnswerBox] = vault

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Also asks for the rights on what the path names, whatever the handler then does with it."""
        super().initial(request, *args, **kwargs)
        if "domain" in kwargs:
            _ = self.smart_account
        if "va" in kwargs:
            _ = self.virtual_account

    @cached_property
    def smart_account(self) -> SmartAccount:
        """Raises `NotFound` to a stranger, `Forbidden` where the permission holds nowhere in the account."""
        account = get_smart_account(actor=self.actor, domain=self.kwargs["domain"])
        permission = self.declared
        if isinstance(permission, Permission) and not self.actor.may_anywhere(permission, smart_account_id=account.pk):
            raise Forbidden("Your role does not allow this.", details={"permission": permission.value})
        return account

    @cached_property
    def virtual_account(self) -> VirtualAccount:
        """Raises `NotFound` for one that the actor may not see, `Forbidden` where only the permission is missing."""
        return self.find_virtual_account(self.kwargs["va"])

    def find_virtual_account(self, name: str) -> VirtualAccount:
        """The Virtual Account of that name in the path's account; raises as above."""
        permission = self.declared if isinstance(self.declared, Permission) else Permission.VIEW
        return get_virtual_account(actor=self.actor, smart_account=self.smart_account, name=name, permission=permission)

    def find_virtual_accounts(self, names: list[str]) -> list[VirtualAccount]:
        """Those named; all on which the actor holds the permission where none is named."""
        if names:
            return [self.find_virtual_account(name) for name in dict.fromkeys(names)]
        permission = self.declared if isinstance(self.declared, Permission) else Permission.VIEW
        of_account = VirtualAccount.objects.live().filter(smart_account=self.smart_account)
        return list(of_account.visible_to(self.actor, permission).order_by("name"))
