"""The operator area: who runs this installation sees its accounts, requests, keys and background work."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from django import forms
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property

from accounts.models import AccessRequest, Event, SmartAccount
from accounts.services.access_requests import approve_request, decline_request
from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus, RequestKind, RequestStatus
from alerts.models import Delivery
from cssm.common.errors import NotFound
from cssm.common.models import Lease
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.text import Badge, Tone, mark
from cssm.common.views import ConfirmAction, Crumb, FormAction, PageView, PortalView
from cssm.portal.forms import DeclineForm, FlagsForm
from cssm.portal.readiness import check_parts
from cssm.portal.tables import AccountTable, RequestTable
from licensing.services.pools.checks import last_check
from pki.models import CaLogEntry

READY = Badge(mark("Works"), Tone.OK)
NOT_READY = Badge(mark("Does not work"), Tone.BAD)


@dataclass(frozen=True, slots=True)
class Tab:
    label: str
    url: str
    current: bool
    count: int | None = None


class Work(NamedTuple):
    """Rows that wait for a job."""

    label: str
    waiting: int


class OperatorView(PortalView):
    permission = Permission.OPERATE

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "tabs": self._tabs()}

    def _tabs(self) -> list[Tab]:
        pending = AccessRequest.objects.pending().filter(kind=RequestKind.NEW_ACCOUNT).count()
        check = last_check()
        tabs = (
            ("Accounts", "operator", None),
            ("Requests", "operator-requests", pending or None),
            ("Authorities and keys", "operator-keys", None),
            ("Licenses owned", "operator-lines", None),
            ("Hierarchy", "operator-families", None),
            ("Figures", "operator-figures", (check and check.difference_count) or None),
            ("On-prem servers", "operator-onprem", None),
            ("Background work", "operator-jobs", None),
        )
        here = self.request.path
        return [Tab(label, reverse(name), reverse(name) == here, count) for label, name, count in tabs]


class AccountFilter(TableFilter):
    search_fields = ("name", "domain")
    export_status = ChoiceFilter(
        label="Export", empty_label="any", choices=[(status.value, status.value) for status in ExportStatus]
    )


class Accounts(OperatorView, TableView):
    page_title = "Operator area"
    table_class = AccountTable
    filter_class = AccountFilter
    template_name = "portal/operator_table.html"

    def get_queryset(self) -> QuerySet[SmartAccount]:
        living = Count("virtual_accounts", filter=Q(virtual_accounts__deleted_at__isnull=True))
        return SmartAccount.objects.visible_to(self.actor).annotate(virtual_account_count=living)


class AccountFlags(OperatorView, FormAction):
    """What only the operator decides about an account."""

    page_title = "Settings of the account"
    form_class = FlagsForm

    @cached_property
    def smart_account(self) -> SmartAccount:
        account = SmartAccount.objects.filter(domain=self.kwargs["domain"].lower()).first()
        if account is None:
            raise NotFound("There is no such Smart Account.")
        return account

    def get_page_title(self) -> str:
        return f"Settings of {self.smart_account.name}"

    def get_initial(self) -> dict[str, Any]:
        account = self.smart_account
        return {"slr": account.slr_enabled, "plr": account.plr_enabled, "export_status": account.export_status}

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator"))]

    def get_success_url(self) -> str:
        return reverse("operator")

    def perform(self, form: forms.Form) -> str | HttpResponse:
        set_account_flags(
            actor=self.actor,
            smart_account=self.smart_account,
            slr=form.cleaned_data["slr"],
            plr=form.cleaned_data["plr"],
            export_status=ExportStatus(form.cleaned_data["export_status"]),
            now=self.now,
        )
        return f"The settings of {self.smart_account.name} were saved."


class RequestFilter(TableFilter):
    search_fields = ("domain", "name", "requester__email")
    status = ChoiceFilter(
        label="Status", empty_label="any", choices=[(status.value, status.badge.label) for status in RequestStatus]
    )


class Requests(OperatorView, TableView):
    page_title = "Operator area"
    table_class = RequestTable
    filter_class = RequestFilter
    template_name = "portal/operator_table.html"

    def get_queryset(self) -> QuerySet[AccessRequest]:
        return AccessRequest.objects.filter(kind=RequestKind.NEW_ACCOUNT).select_related("requester")


class RequestDecision(OperatorView):
    @cached_property
    def access_request(self) -> AccessRequest:
        wanted = AccessRequest.objects.select_related("requester").filter(
            pk=self.kwargs["pk"], kind=RequestKind.NEW_ACCOUNT
        )
        found = wanted.first()
        if found is None:
            raise NotFound("There is no such request.")
        return found

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("Requests", reverse("operator-requests"))]

    def get_success_url(self) -> str:
        return reverse("operator-requests")


class ApproveRequest(RequestDecision, ConfirmAction):
    page_title = "Approve the request"
    submit_label = "Create the account"
    danger = False

    def get_explanation(self) -> str:
        wanted = self.access_request
        return f"{wanted.requester} asks for the Smart Account {wanted.name} ({wanted.domain})."

    def get_consequences(self) -> list[str]:
        return [
            f"The Smart Account {self.access_request.domain} is created with a Virtual Account DEFAULT.",
            f"{self.access_request.requester} becomes its administrator and is told by e-mail.",
        ]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        approve_request(actor=self.actor, access_request=self.access_request, now=self.now)
        return f"The Smart Account {self.access_request.domain} was created."


class DeclineRequest(RequestDecision, FormAction):
    page_title = "Decline the request"
    form_class = DeclineForm
    submit_label = "Decline"
    danger = True

    def get_explanation(self) -> str:
        return f"{self.access_request.requester} asks for the Smart Account {self.access_request.domain}."

    def perform(self, form: forms.Form) -> str | HttpResponse:
        decline_request(
            actor=self.actor,
            access_request=self.access_request,
            reason=form.cleaned_data["reason"],
            now=self.now,
        )
        return "The request was declined."


class Jobs(OperatorView, PageView):
    page_title = "Operator area"
    template_name = "portal/operator_jobs.html"

    def get_context(self) -> dict[str, Any]:
        return {
            **super().get_context(),
            "parts": check_parts(),
            "ready": READY,
            "not_ready": NOT_READY,
            "work": [
                Work("Events not yet sealed", Event.objects.unsealed().count()),
                Work("Entries of the CA log not yet sealed", CaLogEntry.objects.filter(batch=None).count()),
                Work("E-mails and summaries due", Delivery.objects.due(self.now).count()),
                Work("Answers to requesters due", AccessRequest.objects.filter(mail_due_at__lte=self.now).count()),
            ],
            "leases": Lease.objects.order_by("name"),
        }
