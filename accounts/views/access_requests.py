"""Access requests that the administrators of a Smart Account decide."""

from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.utils.functional import cached_property

from accounts.forms import DeclineForm, RoleForm
from accounts.models import AccessRequest
from accounts.services.access_requests import approve_request, decline_request
from accounts.states import RequestStatus
from accounts.tables import RequestTable
from accounts.views.manage import ManageAction, ManageView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission, Role
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView


class RequestFilter(TableFilter):
    search_fields = ("requester__email", "requester__name", "note")
    status = ChoiceFilter(
        label="Status", empty_label="any", choices=[(status.value, status.badge.label) for status in RequestStatus]
    )


class AccessRequests(ManageView, TableView):
    permission = Permission.APPROVE_ACCESS
    template_name = "accounts/access_requests.html"
    table_class = RequestTable
    filter_class = RequestFilter

    def get_queryset(self) -> QuerySet[AccessRequest]:
        rows = AccessRequest.objects.decided_by_actor(self.actor).filter(smart_account=self.smart_account)
        return rows.select_related("requester", "decided_by", "smart_account")


class RequestAction(ManageAction):
    permission = Permission.APPROVE_ACCESS
    back_to = "access-requests"

    @cached_property
    def access_request(self) -> AccessRequest:
        rows = AccessRequest.objects.decided_by_actor(self.actor).filter(smart_account=self.smart_account)
        found = rows.select_related("requester").filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such request.")
        return found


class ApproveRequest(RequestAction):
    page_title = "Approve the request"
    submit_label = "Approve"
    form_class = RoleForm

    def get_explanation(self) -> str:
        return f"{self.access_request.requester.label} gets the role you choose and is told by e-mail."

    def get_initial(self) -> dict[str, Any]:
        return {"role": Role.SA_VIEWER.value}

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"roles": self.grantable_roles(), "virtual_accounts": self.managed_virtual_accounts()}

    def perform(self, form: forms.Form) -> str:
        wanted = cast(RoleForm, form)
        approve_request(
            actor=self.actor,
            access_request=self.access_request,
            role=wanted.chosen_role(),
            virtual_account=wanted.chosen_virtual_account(),
            now=self.now,
        )
        return f"{self.access_request.requester.email} is now {wanted.chosen_role().label}."


class DeclineRequest(RequestAction):
    page_title = "Decline the request"
    submit_label = "Decline"
    danger = True
    form_class = DeclineForm

    def perform(self, form: forms.Form) -> str:
        reason = form.cleaned_data["reason"]
        decline_request(actor=self.actor, access_request=self.access_request, reason=reason, now=self.now)
        return f"The request of {self.access_request.requester.email} was declined."
