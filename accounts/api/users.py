"""Who holds which role on an account: listed, given, changed, taken."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import Membership, VirtualAccount
from accounts.querysets import MembershipQuerySet
from accounts.services.members import add_member, change_role, remove_member
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, PageQuery
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission, Role


class UserApiView(AccountApiView):
    """Managed by an SA_ADMIN for the whole account, by a VA_ADMIN for the Virtual Account."""

    permission = Permission.MANAGE_VA_USERS

    def members(self) -> MembershipQuerySet:
        of_account = Membership.objects.filter(smart_account=self.smart_account).visible_to(self.actor)
        return of_account.select_related("user", "virtual_account")

    def find_member(self, wanted: dict[str, Any]) -> Membership:
        """The role that the body names. Raises `NotFound`, also for one that the actor does not manage."""
        row = (
            self.members()
            .filter(
                user__email=wanted["email"].strip().lower(),
                role=wanted["role"],
                virtual_account=self.virtual_account_of(wanted),
            )
            .first()
        )
        if row is None:
            raise NotFound("Nobody of that address holds this role here.", where="email")
        return row

    def virtual_account_of(self, wanted: dict[str, Any]) -> VirtualAccount | None:
        return self.find_virtual_account(wanted["virtualAccount"]) if "virtualAccount" in wanted else None


class UsersView(UserApiView):
    @reads("listUsers", "Users and their roles", shapes.UsersAnswer, query=PageQuery)
    def get(self, request: Request, domain: str) -> Response:
        return self.success_page("users", self.members().order_by("user__email", "pk"), self.read_page(), show_member)

    @changes("addUser", "Give somebody a role", shapes.UserAnswer, body=shapes.NewMember)
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(shapes.NewMember)
        member = add_member(
            actor=self.actor,
            smart_account=self.smart_account,
            email=wanted["email"],
            role=Role(wanted["role"]),
            virtual_account=self.virtual_account_of(wanted),
            name=wanted["name"],
            now=self.now,
        )
        return self.success(user=show_member(member))


class RoleChangeView(UserApiView):
    @changes("changeRole", "Replace a role by another", shapes.UserAnswer, body=shapes.RoleChange)
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(shapes.RoleChange)
        member = self.find_member(wanted)
        changed = change_role(actor=self.actor, membership=member, role=Role(wanted["newRole"]), now=self.now)
        return self.success(user=show_member(changed))


class UserRemovalView(UserApiView):
    @changes("removeUser", "Take a role away", Answer, body=shapes.MemberRequest)
    def post(self, request: Request, domain: str) -> Response:
        member = self.find_member(self.read_body(shapes.MemberRequest))
        remove_member(actor=self.actor, membership=member, now=self.now)
        return self.success()


def show_member(row: Membership) -> dict[str, Any]:
    return {
        "email": row.user.email,
        "name": row.user.name,
        "role": row.role,
        "virtualAccount": row.virtual_account.name if row.virtual_account is not None else None,
    }
