"""Changing what a reservation holds: another authorization code; what it takes away is released by its confirmation."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.functional import cached_property

from cssm.common.errors import DomainError
from cssm.common.views import Crumb
from cssm.common.wizards import Step, WizardView
from licensing.forms.reservations import LicensesForm
from licensing.models import AuthorizedLicense
from licensing.services.reservations.contents import Content
from licensing.services.reservations.holding import read_holds
from licensing.services.reservations.moves import outstanding_codes, require_active
from licensing.services.reservations.offers import Offer, list_offers
from licensing.services.reservations.outlook import preview_pools
from licensing.services.reservations.updates import preview_update, update_reservation
from licensing.states import LicenseType
from licensing.views.reservations import ReservationView
from licensing.views.reserve import SHOWN_ROWS, describe_contents


class UpdateReservation(ReservationView, WizardView):
    page_title = "Change a reservation"
    submit_label = "Change and show the new code"
    steps = (Step("licenses", "Licenses", LicensesForm),)
    body_templates = {"licenses": "licensing/_update_licenses.html", "review": "licensing/_update_review.html"}

    def authorize(self) -> None:
        super().authorize()
        require_active(self.reservation)

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.reservation.udi, self.reservation_url)]

    @cached_property
    def offers(self) -> list[Offer]:
        return list_offers(
            actor=self.actor, virtual_account=self.virtual_account, reservation=self.reservation, now=self.now
        )

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key != "licenses":
            return {}
        newest = outstanding_codes(self.reservation)[-1]
        counted = [Content(hold.license, hold.line, hold.quantity).as_row() for hold in read_holds(self.reservation)]
        return {"offers": self.offers, "held": _add_up(newest.contents.all()), "counted": _add_up(counted)}

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        return {name: values for name, values in super().keep(step, form).items() if any(values)}

    def preview(self, answers: dict[str, dict[str, Any]]) -> tuple[list[Content], list[Content]]:
        wanted = answers["licenses"]["wanted"]
        return preview_update(actor=self.actor, reservation=self.reservation, licenses=wanted, now=self.now)

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        self.preview(answers)

    def show_refusal(self, form: forms.Form, error: DomainError) -> None:
        if isinstance(form, LicensesForm) and error.details.get("errors"):
            form.add_refusal(error)
        else:
            super().show_refusal(form, error)

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        return [("Product", self.reservation.udi), ("Virtual Account", self.virtual_account.name)]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        context: dict[str, Any] = {"wide": True, "changing": True, "reservation": self.reservation}
        if step.key == "licenses":
            return context
        try:
            before, after = self.preview(answers)
        except DomainError as error:
            return {**context, "blocked": True, "reason": error.message}
        outlook = preview_pools(virtual_account=self.virtual_account, before=before, after=after, now=self.now)
        rows = [(row, row.before.status.badge, row.after.status.badge) for row in outlook[:SHOWN_ROWS]]
        return {
            **context,
            "outlook": rows,
            "more_outlook": len(outlook) - len(rows),
            "changes": _compare(before, after),
            "takes_away": any(old > new for _, old, new in _compare(before, after)),
            "contents": describe_contents([content.as_row() for content in after]),
        }

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        issued = update_reservation(
            actor=self.actor,
            reservation=self.reservation,
            licenses=answers["licenses"]["wanted"],
            now=self.now,
        )
        return self.redirect(f"{self.reservation_url}codes/{issued.code.pk}/")


def _add_up(rows: Iterable[AuthorizedLicense]) -> dict[tuple[int, LicenseType], int]:
    sums: dict[tuple[int, LicenseType], int] = {}
    for row in rows:
        key = (row.license_id, LicenseType(row.license_type))
        sums[key] = sums.get(key, 0) + row.quantity
    return sums


def _compare(before: list[Content], after: list[Content]) -> list[tuple[str, int, int]]:
    """(license and type, quantity before, quantity after) of what differs."""
    sums: dict[tuple[str, str], list[int]] = {}
    for position, contents in enumerate((before, after)):
        for content in contents:
            row = content.as_row()
            key = (content.license.display_name, row.get_license_type_display())
            sums.setdefault(key, [0, 0])[position] += content.quantity
    return [(f"{name}, {kind}", old, new) for (name, kind), (old, new) in sums.items() if old != new]
