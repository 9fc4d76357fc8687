"""What concerns oneself: one's profile, and one's requests for an account."""

from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.urls import reverse

from accounts.forms import AccessForm, NewAccountForm, ProfileForm
from accounts.models import AccessRequest, User
from accounts.services.access_requests import request_access, request_new_account
from accounts.services.users import change_profile
from accounts.tables import OwnRequestTable
from cssm.common.permissions import Access
from cssm.common.table_views import TableView
from cssm.common.views import FormAction


class Profile(FormAction):
    permission = Access.SIGNED_IN
    page_title = "Profile and security"
    page_template = "accounts/profile.html"
    form_class = ProfileForm

    def get_initial(self) -> dict[str, Any]:
        user = cast(User, self.request.user)
        return {"name": user.name, "time_zone": user.time_zone}

    def get_success_url(self) -> str:
        return reverse("profile")

    def perform(self, form: forms.Form) -> str:
        change_profile(
            actor=self.actor, name=form.cleaned_data["name"], time_zone=form.cleaned_data["time_zone"], now=self.now
        )
        return "Your profile was saved."


class OwnRequests(TableView):
    permission = Access.SIGNED_IN
    page_title = "Your requests"
    template_name = "accounts/own_requests.html"
    table_class = OwnRequestTable

    def get_queryset(self) -> QuerySet[AccessRequest]:
        return AccessRequest.objects.made_by(self.actor)


class RequestAction(FormAction):
    permission = Access.SIGNED_IN
    submit_label = "Send the request"

    def get_success_url(self) -> str:
        return reverse("requests")


class RequestNewAccount(RequestAction):
    page_title = "Ask for a new Smart Account"
    explanation = "Who runs this portal decides. You become the account's administrator and are told by e-mail."
    form_class = NewAccountForm

    def perform(self, form: forms.Form) -> str:
        row = request_new_account(actor=self.actor, now=self.now, **form.cleaned_data)
        return f"Your request for {row.domain} was sent."


class RequestAccess(RequestAction):
    page_title = "Ask for access to a Smart Account"
    explanation = "The account's administrators decide and choose your role. You are told by e-mail."
    form_class = AccessForm

    def perform(self, form: forms.Form) -> str:
        row = request_access(actor=self.actor, now=self.now, **form.cleaned_data)
        return f"Your request for access to {row.domain} was sent."
