"""Transferring licenses from the Licenses tab: entered line by line, or in a dialog, or as a file; then reviewed."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import cached_property

from accounts.views.base import VirtualAccountView
from cssm.common.errors import DomainError, Invalid, NotFound
from cssm.common.forms import add_domain_error
from cssm.common.permissions import Permission
from cssm.common.views import MAX_SELECTED, Crumb, FormAction
from cssm.common.wizards import REVIEW, Step, WizardView, start_wizard
from licensing.codecs.transfer_csv import write_requests
from licensing.codecs.transfer_lines import NAME_LIMIT, LineError, TransferRequest
from licensing.forms.transfers import (
    FileForm,
    LinesForm,
    OneLicenseForm,
    Row,
    line_errors_of,
    read_rows,
    rows_as_posted,
    whole,
)
from licensing.models import License, OwnershipRecord, Pool
from licensing.services.ownership.requests import list_targets, prepare_lines, resolve_lines
from licensing.services.ownership.transfer_preview import PoolOutlook
from licensing.services.ownership.transfers import transfer_licenses
from licensing.states import RecordKind

SHOWN_ROWS = 200
CHOOSE_FIRST = "Choose the licenses to transfer first."


def show_line_errors(form: forms.Form, error: DomainError) -> None:
    """Beside the lines they concern, where the form has lines."""
    found = line_errors_of(error)
    if found and isinstance(form, LinesForm | FileForm | OneLicenseForm):
        form.add_line_errors(found)
    else:
        add_domain_error(form, error)


class TransferView(VirtualAccountView):
    """What the pages about a transfer out of this Virtual Account have in common."""

    permission = Permission.MANAGE_ASSETS

    @property
    def wizard_url(self) -> str:
        return f"{self.va_url}licenses/transfer/"

    def get_success_url(self) -> str:
        return self.tab_url("licenses")

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Licenses", self.tab_url("licenses"))]

    @cached_property
    def targets(self) -> list[str]:
        return [account.name for account in list_targets(actor=self.actor, source=self.virtual_account)]

    def find_pools(self, keys: Sequence[int]) -> dict[int, Pool]:
        """With live figures, by id; what is not of this Virtual Account is none."""
        own = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account, pk__in=keys)
        return {pool.pk: pool for pool in own.select_related("license").with_figures(self.now)}

    def preview(self, requests: Sequence[TransferRequest], errors: Sequence[LineError] = ()) -> list[PoolOutlook]:
        """`errors` are those of reading the lines.

        Raises `Invalid` or `Conflict`, also where it is the target that is wrong: that is mended in the form.
        """
        try:
            return prepare_lines(
                actor=self.actor, source=self.virtual_account, requests=requests, errors=errors, now=self.now
            )[1]
        except DomainError as error:
            if not error.details.get("errors"):
                raise
            raise Invalid(error.message, code=error.code, where=error.where, details=error.details) from error


class TransferWizard(TransferView, WizardView):
    """Its only step of its own gives `requests`."""

    page_title = "Transfer licenses"
    submit_label = "Transfer"

    def requests_of(self, answers: dict[str, dict[str, Any]]) -> list[TransferRequest]:
        requests: list[TransferRequest] = answers[self.steps[0].key]["requests"]
        return requests

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        self.preview(self.requests_of(answers), answers[step.key].get("errors", ()))

    def show_refusal(self, form: forms.Form, error: DomainError) -> None:
        show_line_errors(form, error)

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        requests = self.requests_of(answers)
        quantity = sum(request.quantity for request in requests)
        return [("From", self.virtual_account.name), ("Lines", f"{len(requests):,}"), ("Licenses", f"{quantity:,}")]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        context: dict[str, Any] = {"wide": True, "file_url": f"{self.wizard_url}file/"}
        if step is not REVIEW:
            return context
        requests = self.requests_of(answers)
        shown = requests[:SHOWN_ROWS]
        names = dict(License.objects.filter(tag__in=[each.tag for each in shown]).values_list("tag", "display_name"))
        context |= {
            "requests": [(each, each.license or names.get(each.tag, each.tag)) for each in shown],
            "more_requests": max(0, len(requests) - SHOWN_ROWS),
        }
        try:
            outlook = self.preview(requests)
        except DomainError as error:
            return {**context, "blocked": True, "refused": line_errors_of(error), "reason": error.message}
        rows = [(row, row.before.status.badge, row.after.status.badge) for row in outlook[:SHOWN_ROWS]]
        return {**context, "outlook": rows, "more_outlook": max(0, len(outlook) - SHOWN_ROWS)}

    def find_done(self, key: str) -> str:
        records = OwnershipRecord.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        record = records.filter(kind=RecordKind.TRANSFER, key=key).first()
        return f"{self.va_url}licenses/transfers/{record.pk}/" if record else ""

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        lines = resolve_lines(actor=self.actor, source=self.virtual_account, requests=self.requests_of(answers))
        record = transfer_licenses(
            actor=self.actor, source=self.virtual_account, lines=lines, key=self.key, now=self.now
        )
        return self.redirect(f"{self.va_url}licenses/transfers/{record.pk}/")


class TransferLicenses(TransferWizard):
    """A line per license and target.

    `?license=POOL[,POOL…]&quantity=&target=`, or rows chosen in the table, begin it anew.
    """

    steps = (Step("lines", "Lines", LinesForm),)
    body_templates = {"lines": "licensing/_transfer_lines.html", "review": "licensing/_transfer_review.html"}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "license" in request.GET:
            keys = [whole(key) for key in request.GET["license"].split(",")[:MAX_SELECTED]]
            return self._begin(keys, request.GET.get("quantity", "")[:40], request.GET.get("target", "")[:NAME_LIMIT])
        if not self._rows and not self._stored():
            messages.info(request, CHOOSE_FIRST)
            return self.redirect(self.get_success_url())
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "open" in request.POST:
            return self._begin([whole(key) for key in request.POST.getlist("selected")[:MAX_SELECTED]])
        if "add" in request.POST:
            return self._add_row(whole(request.POST["add"]))
        return super().post(request, *args, **kwargs)

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step is REVIEW:
            return {}
        posted = {name: values[0] for name, values in self._stored().get("lines", {}).items() if values}
        if self.request.method == "POST" and self.request.GET.get("step") != REVIEW.key:
            posted = self.request.POST.dict()
        rows = read_rows(posted) or self._rows
        return {"pools": self.find_pools([row.pool for row in rows]), "targets": self.targets, "rows": rows}

    @property
    def _rows_key(self) -> str:
        return f"wizard-rows:{self.request.path}"

    @property
    def _rows(self) -> list[Row]:
        return [Row(*row) for row in self.request.session.get(self._rows_key, [])]

    def _begin(self, keys: Sequence[int], quantity: str = "", target: str = "") -> HttpResponse:
        pools = self.find_pools(keys)
        if not pools:
            messages.warning(self.request, CHOOSE_FIRST)
            return self.redirect(self.get_success_url())
        target = target if target in self.targets else ""
        chosen = [Row(key, quantity, target) for key in dict.fromkeys(keys) if key in pools]
        self.request.session[self._rows_key] = [list(row) for row in chosen]
        start_wizard(self.request, self.wizard_url, {})
        return self.redirect(self.wizard_url)

    def _add_row(self, number: int) -> HttpResponse:
        """Another line for the license of that line, below it; what was filled in stays."""
        rows = read_rows(self.request.POST.dict())
        if 1 <= number <= len(rows):
            rows.insert(number, Row(rows[number - 1].pool))
        pools = self.find_pools([row.pool for row in rows])
        initial = {"all_to": self.request.POST.get("all_to", "")}
        form = LinesForm(None, pools=pools, targets=self.targets, rows=rows, focus=number + 1, initial=initial)
        return self._show(self.steps[0], form, {})


class TransferByFile(TransferWizard):
    page_title = "Transfer licenses by file"
    replaced_by_file = "text"
    steps = (Step("file", "File", FileForm),)
    body_templates = {"file": "licensing/_transfer_file.html", "review": "licensing/_transfer_review.html"}

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        """The lines that are to be transferred; what was passed over in the file is not kept."""
        return {"text": [write_requests(form.cleaned_data["requests"])]}

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        context = super().get_step_context(step, form, answers)
        return {**context, "template_url": f"{self.wizard_url}template.csv"}


class TransferOne(TransferView, FormAction):
    """The dialog of one license; it leads to the review of the wizard."""

    form_class = OneLicenseForm
    submit_label = "Continue"

    def authorize(self) -> None:
        super().authorize()
        pool = self.find_pools([self.kwargs["pool"]]).get(self.kwargs["pool"])
        if pool is None:
            raise NotFound("There is no such license in this Virtual Account.")
        self.pool = pool

    def get_page_title(self) -> str:
        return f"Transfer {self.pool.license.display_name}"

    def get_explanation(self) -> str:
        if not self.targets:
            return "There is no other Virtual Account that you may transfer to."
        return (
            f"{self.pool.now_free:,} of {self.pool.now_purchased:,} in {self.virtual_account.name} are free."
            " Next you see what compliance becomes on both sides; nothing moves before you confirm."
        )

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"targets": self.targets, "tag": self.pool.license.tag}

    def perform(self, form: forms.Form) -> HttpResponse:
        requests = form.cleaned_data["requests"]
        try:
            self.preview(requests)
        except DomainError as error:
            if not line_errors_of(error):
                raise
            show_line_errors(form, error)
            return self.show(form, status=422)
        answers = {"lines": rows_as_posted(requests, {self.pool.license.tag: self.pool.pk})}
        start_wizard(self.request, self.wizard_url, answers)
        return self.redirect(f"{self.wizard_url}?step={REVIEW.key}")
