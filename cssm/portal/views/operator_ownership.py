"""The operator's view of what is owned: every purchase line, what is left of it, and setting wrong things right."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property

from cssm.common.errors import NotFound
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import ConfirmAction, Crumb, FormAction
from cssm.portal.forms import CorrectionForm, TerminationForm
from cssm.portal.ownership_tables import CheckTable, LineTable
from cssm.portal.views.operator import OperatorView
from licensing.models import PoolCheck, PurchaseLine
from licensing.services.ownership.corrections import correct_line, terminate_licenses
from licensing.services.pools.checks import last_check, request_check
from licensing.services.pools.rebuild import rebuild_pools
from licensing.states import LicenseType, LineSource, Precedence


class LineFilter(TableFilter):
    search_fields = (
        "license__display_name",
        "license__tag",
        "smart_account__domain",
        "virtual_account__name",
        "order__order_ref",
        "subscription_id",
    )
    license_type = ChoiceFilter(
        label="Type", empty_label="any", choices=[(kind.value, kind.label) for kind in LicenseType]
    )
    source = ChoiceFilter(label="Source", empty_label="any", choices=[(each.value, each.label) for each in LineSource])


class Lines(OperatorView, TableView):
    """What was delivered, transferred or corrected, newest first, with what is left of it."""

    page_title = "Operator area"
    table_class = LineTable
    filter_class = LineFilter
    template_name = "portal/operator_table.html"

    def get_queryset(self) -> QuerySet[PurchaseLine]:
        lines = PurchaseLine.objects.visible_to(self.actor).with_remaining()
        return lines.select_related("license", "smart_account", "virtual_account", "order", "record")

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now}


class LineAction(OperatorView, FormAction):
    @cached_property
    def line(self) -> PurchaseLine:
        lines = PurchaseLine.objects.visible_to(self.actor).with_remaining()
        found = lines.select_related("license", "virtual_account__smart_account").filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such line.")
        return found

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("Licenses owned", reverse("operator-lines"))]

    def get_success_url(self) -> str:
        return reverse("operator-lines")

    def get_explanation(self) -> str:
        line = self.line
        account = f"{line.virtual_account.name} of {line.virtual_account.smart_account.name}"
        return f"{line.remaining} {line.license.display_name} are left of this line in {account}."


class TerminateLicenses(LineAction):
    page_title = "Terminate licenses"
    form_class = TerminationForm
    submit_label = "Terminate"
    danger = True

    def get_consequences(self) -> list[str]:
        return ["They count no more from now on. Only what is free can be terminated.", "It cannot be undone."]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        line, quantity = self.line, form.cleaned_data["quantity"]
        terminate_licenses(
            actor=self.actor,
            virtual_account=line.virtual_account,
            license=line.license,
            quantity=quantity,
            license_type=LicenseType(line.license_type),
            precedence=Precedence(form.cleaned_data["precedence"]),
            reason=form.cleaned_data["reason"],
            key=form.cleaned_data["key"],
            now=self.now,
        )
        return f"{quantity} {line.license.display_name} were terminated."


class CorrectLine(LineAction):
    page_title = "Correct the line"
    form_class = CorrectionForm
    submit_label = "Correct"
    danger = True

    def get_consequences(self) -> list[str]:
        return [
            "The record stays as it is; a correction is added to it with your reason.",
            "Taking away what never was there may leave the account short.",
        ]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        correct_line(
            actor=self.actor,
            line=self.line,
            quantity=form.cleaned_data["quantity"],
            reason=form.cleaned_data["reason"],
            key=form.cleaned_data["key"],
            now=self.now,
        )
        return f"The line was corrected by {form.cleaned_data['quantity']:+d}."


class Figures(OperatorView, TableView):
    """Whether all figures follow from the records, night by night."""

    page_title = "Operator area"
    table_class = CheckTable
    template_name = "portal/operator_figures.html"

    def get_queryset(self) -> QuerySet[PoolCheck]:
        return PoolCheck.objects.all()

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "last": last_check()}


class FigureAction(OperatorView, ConfirmAction):
    danger = False

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("Figures", reverse("operator-figures"))]

    def get_success_url(self) -> str:
        return reverse("operator-figures")


class CheckNow(FigureAction):
    page_title = "Check all figures"
    submit_label = "Check"
    explanation = "Every figure is compared with the records it follows from. Nothing is changed."

    def perform(self, form: forms.Form) -> str | HttpResponse:
        check = request_check(actor=self.actor, now=self.now)
        return f"{check.pools} pools were compared; {check.difference_count or 'no'} differences."


class SetRight(FigureAction):
    page_title = "Set the figures right"
    submit_label = "Set right"
    explanation = "Figures that differ from the records are made anew from them. The records stay as they are."

    def get_consequences(self) -> list[str]:
        return [
            "Each pool that is changed gets an event in the log of its account.",
            "Accounts whose compliance was shown wrongly are told of the change.",
        ]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        found = rebuild_pools(actor=self.actor, now=self.now)
        request_check(actor=self.actor, now=self.now)
        return f"{len(found) or 'No'} figures were set right."
