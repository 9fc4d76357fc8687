"""Reserving for many products at once: codes pasted or as a file, one choice of licenses or one per row, one ZIP."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from cssm.common.exports import BOM
from cssm.common.permissions import Permission
from cssm.common.wizards import Step, WizardView
from licensing.codecs.reservation_csv import CodeRow, write_example
from licensing.forms.reservations import CodesForm, LicensesForm
from licensing.models import License, Reservation
from licensing.services.reservations.bulk import Outcome, Row, reserve_many, zip_codes
from licensing.services.reservations.bulk_rows import resolve_rows
from licensing.services.reservations.contents import Wanted, check_wanted
from licensing.services.reservations.issuing import show_code
from licensing.services.reservations.requests import glance_at
from licensing.services.reservations.totals import Total, add_up_wanted
from licensing.states import LicenseType, ReservationKind
from licensing.views.long_runs import LongRun, RunPage
from licensing.views.reserve import SHOWN_ROWS, ReserveView


class ManyView(ReserveView, LongRun):
    """The job is the text with the codes, and the licenses chosen for those that name none."""

    @property
    def many_url(self) -> str:
        return f"{self.reserve_url}many/"

    @property
    def job_key(self) -> str:
        return f"reserve-many:{self.virtual_account.pk}"

    def resolve(self, rows: Sequence[CodeRow], chosen: Sequence[Wanted]) -> list[Row]:
        return resolve_rows(actor=self.actor, virtual_account=self.virtual_account, rows=rows, chosen=chosen)

    def read_rows(self, job: dict[str, Any]) -> list[Row]:
        return self.resolve(CodesForm({"text": job["text"]}).rows(), _chosen_of(job["chosen"]))

    def do_row(self, number: int, row: Row) -> dict[str, Any]:
        (outcome,) = reserve_many(actor=self.actor, virtual_account=self.virtual_account, rows=[row], now=self.now)
        return _as_result(outcome)


class ReserveMany(ManyView, WizardView):
    page_title = "License reservation for many products"
    submit_label = "Reserve"
    replaced_by_file = "text"
    body_templates = {
        "codes": "licensing/_reserve_many_codes.html",
        "licenses": "licensing/_reserve_licenses.html",
        "review": "licensing/_reserve_many_review.html",
    }

    @property
    def steps(self) -> tuple[Step, ...]:  # type: ignore[override]  # licenses are chosen only for those that name none
        codes = Step("codes", "Request codes", CodesForm)
        text = self._stored().get("codes", {}).get("text", [""])[0]
        rows = CodesForm({"text": text}).rows()
        needs_none = bool(rows) and not any(_needs_choice(row) for row in rows)
        return (codes,) if needs_none else (codes, Step("licenses", "Licenses for each", LicensesForm))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().get(request, *args, **kwargs) if self.is_switched_on else self.show_switched_off()

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {"offers": self.offers} if step.key == "licenses" else {}

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        if step.key == "codes":
            return {"text": [form.cleaned_data["text"]]}
        return {name: values for name, values in super().keep(step, form).items() if any(values)}

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        if step.key == "licenses":
            check_wanted(self.smart_account, answers["licenses"]["wanted"])

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        return [("Virtual Account", self.virtual_account.name), ("Request codes", f"{len(answers['codes']['rows']):,}")]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == "codes":
            return {"example_url": f"{self.many_url}example.csv"}
        if step.key == "licenses":
            without = sum(_needs_choice(row) for row in answers["codes"]["rows"])
            return {"wide": True, "for_each": without}
        rows = self.resolve(answers["codes"]["rows"], answers.get("licenses", {}).get("wanted", ()))
        described, wrong_rows = _describe(rows)
        totals: list[Total] = add_up_wanted(rows=[row for row, _, wrong in described if not wrong], offers=self.offers)
        return {
            "wide": True,
            "rows": described[:SHOWN_ROWS],
            "wrong_rows": wrong_rows,
            "more_rows": max(0, len(rows) - SHOWN_ROWS),
            "totals": totals,
            "is_short": any(total.is_short for total in totals),
        }

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        chosen = answers.get("licenses", {}).get("wanted", ())
        job = {
            "text": answers["codes"]["text"],
            "chosen": [(each.license.pk, each.quantity, each.license_type or "") for each in chosen],
        }
        self.advance(job)
        return self.redirect(f"{self.many_url}run/")


class RunMany(ManyView, RunPage):
    page_title = "License reservation for many products"
    template_name = "licensing/reserve_many_result.html"
    progress_label = "Reserving"

    @property
    def begin_url(self) -> str:
        return self.many_url

    def get_job_context(self, job: dict[str, Any]) -> dict[str, Any]:
        return {
            **super().get_job_context(job),
            "reserved": sum(bool(result["piid"]) for result in job["results"]),
            "zip_url": f"{self.many_url}codes.zip",
            "reservations_url": f"{self.va_url}reservations/",
            "back_url": self.get_success_url(),
            "again_url": self.many_url,
        }


class ManyCodes(ManyView):
    """The authorization codes of the last run as one ZIP."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        piids = [result["piid"] for result in (self.job or {}).get("results", []) if result["piid"]]
        own = Reservation.objects.visible_to(self.actor, Permission.MANAGE_ASSETS).active()
        found = own.filter(smart_account=self.smart_account, instance__piid__in=piids).select_related("instance")
        reservations = list(found.order_by("pk"))
        if not reservations:
            messages.info(request, "There are no authorization codes to download. Reserve first.")
            return self.redirect(self.many_url)
        return zip_response(zip_codes([show_code(actor=self.actor, reservation=each) for each in reservations]))


class ManyExample(ManyView):
    """A file that shows the columns."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = HttpResponse(BOM + write_example(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="reservations-example.csv"'
        return response


def zip_response(data: bytes) -> HttpResponse:
    response = HttpResponse(data, content_type="application/zip", status=HTTPStatus.OK)
    response["Content-Disposition"] = 'attachment; filename="authorization-codes.zip"'
    response["Cache-Control"] = "no-store"
    return response


def _needs_choice(row: CodeRow) -> bool:
    return not row.licenses and not row.errors and row.request_code[:1].upper() != ReservationKind.UNIVERSAL.letter


def _chosen_of(stored: Sequence[tuple[int, int, str]]) -> list[Wanted]:
    licenses = License.objects.in_bulk([pk for pk, _, _ in stored])
    return [
        Wanted(licenses[pk], quantity, LicenseType(kind) if kind else None, number=number)
        for number, (pk, quantity, kind) in enumerate(stored, start=1)
    ]


def _describe(rows: Sequence[Row]) -> tuple[list[tuple[Row, str, str]], int]:
    """Each row with its product and what is wrong with it, as far as can be told at a glance; and how many are wrong.

    Of more than are shown those that are wrong come first.
    """
    seen = zip(rows, glance_at(row.request_code for row in rows), strict=True)
    described = [(row, udi, wrong or (row.error.message if row.error else "")) for row, (udi, wrong) in seen]
    if len(described) > SHOWN_ROWS:
        described.sort(key=lambda each: not each[2])
    return described, sum(bool(wrong) for _, _, wrong in described)


def _as_result(outcome: Outcome) -> dict[str, Any]:
    issued, error = outcome.issued, outcome.error
    return {
        "text": outcome.text[:300],
        "udi": issued.reservation.udi if issued else "",
        "piid": str(issued.reservation.instance.piid) if issued else "",
        "is_new": bool(issued and issued.is_new),
        "message": error.message if error else "",
        "code": error.code if error else "",
    }
