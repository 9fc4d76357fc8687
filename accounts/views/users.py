"""The users of a Smart Account and their roles."""

from typing import Any, cast

from django import forms
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils.functional import cached_property

from accounts.forms import AddUserForm, ChangeRoleForm
from accounts.models import Membership
from accounts.services.members import add_member, change_role, remove_member
from accounts.tables import MemberTable
from accounts.views.manage import ManageAction, ManageView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission, Role
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import ConfirmAction


class MemberFilter(TableFilter):
    search_fields = ("user__email", "user__name", "virtual_account__name")
    role = ChoiceFilter(label="Role", empty_label="any", choices=[(role.value, role.label) for role in Role])


class Users(ManageView, TableView):
    permission = Permission.MANAGE_VA_USERS
    template_name = "accounts/users.html"
    table_class = MemberTable
    filter_class = MemberFilter

    def get_queryset(self) -> QuerySet[Membership]:
        rows = Membership.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        # One's own role has no buttons: nobody changes it.
        own = ExpressionWrapper(Q(user=int(self.actor.id)), output_field=BooleanField())
        return rows.select_related("user", "virtual_account", "smart_account").annotate(is_own=own)


class AddUser(ManageAction):
    permission = Permission.MANAGE_VA_USERS
    back_to = "users"
    page_title = "Add a user"
    submit_label = "Add"
    form_class = AddUserForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"roles": self.grantable_roles(), "virtual_accounts": self.managed_virtual_accounts()}

    def perform(self, form: forms.Form) -> str:
        wanted = cast(AddUserForm, form)
        member = add_member(
            actor=self.actor,
            smart_account=self.smart_account,
            email=wanted.cleaned_data["email"],
            name=wanted.cleaned_data["name"],
            role=wanted.chosen_role(),
            virtual_account=wanted.chosen_virtual_account(),
            now=self.now,
        )
        return f"{member.user.email} is now {wanted.chosen_role().label}."


class MemberAction(ManageAction):
    permission = Permission.MANAGE_VA_USERS
    back_to = "users"

    @cached_property
    def membership(self) -> Membership:
        rows = Membership.objects.visible_to(self.actor).filter(smart_account=self.smart_account, pk=self.kwargs["pk"])
        found = rows.select_related("user", "virtual_account", "smart_account").first()
        if found is None:
            raise NotFound("There is no such user, or you do not manage them.")
        return found


class ChangeRole(MemberAction):
    form_class = ChangeRoleForm

    def get_page_title(self) -> str:
        return f"Role of {self.membership.user.email}"

    def get_initial(self) -> dict[str, Any]:
        return {"role": self.membership.role}

    def get_form_kwargs(self) -> dict[str, Any]:
        fits = Role(self.membership.role).is_virtual_account_role
        return {"roles": [role for role in self.grantable_roles() if role.is_virtual_account_role == fits]}

    def perform(self, form: forms.Form) -> str:
        role = Role(form.cleaned_data["role"])
        change_role(actor=self.actor, membership=self.membership, role=role, now=self.now)
        return f"{self.membership.user.email} is now {role.label}."


class RemoveUser(MemberAction, ConfirmAction):
    page_title = "Remove the role"
    submit_label = "Remove"

    def get_explanation(self) -> str:
        place = self.membership.virtual_account or self.smart_account.name
        return f"{self.membership.user.email} will no longer be {Role(self.membership.role).label} of {place}."

    def perform(self, form: forms.Form) -> str:
        email = self.membership.user.email
        remove_member(actor=self.actor, membership=self.membership, now=self.now)
        return f"The role of {email} was removed."
