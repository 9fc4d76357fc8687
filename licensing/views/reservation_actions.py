"""What can be done with a reservation: entering the codes that its product shows, withdrawing, rehosting."""

from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse

from cssm.common.errors import DomainError, Invalid
from cssm.common.views import ConfirmAction, Crumb, FormAction
from licensing.forms.reservations import ConfirmationForm, RequestCodeForm, ReturnForm
from licensing.models import AuthorizationCode, Reservation
from licensing.services.reservations.confirmation import check_confirmation, confirm_installation
from licensing.services.reservations.contents import contents_of, summarise
from licensing.services.reservations.moves import outstanding_codes
from licensing.services.reservations.rehost import check_rehost, count_open_rehosts, rehost_reservation
from licensing.services.reservations.returns import check_return, return_reservation
from licensing.services.reservations.updates import cancel_update
from licensing.states import ReservationKind, ReservationState
from licensing.views.code_checks import PARTS, ChecksCode
from licensing.views.reservations import ReservationView
from licensing.views.reserve import product_of, tell_of

SHARED: Final = (
    "There are not enough free licenses for both products: they share those of the failed one until its return code is"
    " entered."
)


class ReservationAction(ReservationView, FormAction):
    """A dialog about one reservation."""

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.reservation.udi, self.reservation_url)]


class EnterConfirmation(ReservationAction, ChecksCode):
    page_title = "Enter the confirmation code"
    form_class = ConfirmationForm
    submit_label = "Confirm"

    def get_explanation(self) -> str:
        return f"It shows that {self.reservation.udi} has installed its authorization code."

    def get_consequences(self) -> list[str]:
        codes = outstanding_codes(self.reservation)
        if len(codes) < 2:
            return []
        return [
            f"With the code of the newest authorization, the product has: {_summary_of(codes[-1])}.",
            "What it does not have any more is released then, and not before: until it has the new authorization, the"
            " product may still use what was taken away.",
        ]

    def check(self, typed: str) -> dict[str, Any]:
        code = check_confirmation(actor=self.actor, reservation=self.reservation, confirmation_code=typed)
        if code.confirmed_at is not None:
            return {"verdict": "This confirmation code was entered before."}
        is_newest = code == outstanding_codes(self.reservation)[-1]
        which = "the newest authorization code" if is_newest else "an earlier authorization code, not the newest"
        return {"verdict": f"This confirms {which}: {_summary_of(code)}."}

    def perform(self, form: Any) -> str:
        reservation = confirm_installation(
            actor=self.actor,
            reservation=self.reservation,
            confirmation_code=form.cleaned_data["code"],
            now=self.now,
        )
        released = released_by(reservation)
        return f"{reservation.udi} has its authorization code." + (f" {released:,} were released." if released else "")


class EnterReturn(ReservationAction, ChecksCode):
    page_title = "Enter the return code"
    form_class = ReturnForm
    submit_label = "Return the licenses"

    def get_explanation(self) -> str:
        return f"It shows that {self.reservation.udi} has given its reservation up. Everything it holds is free again."

    def get_consequences(self) -> list[str]:
        if self.reservation.state == ReservationState.REHOSTED:
            return ["This is the failed product that was replaced. Its replacement keeps its own reservation."]
        return [
            "The reservation ends, and the product instance with it. This cannot be undone; the product can be reserved"
            " for again with a new request code.",
            "A return code proves that someone holds the authorization code, not that the product forgot it: enter only"
            " what the product itself shows.",
        ]

    def check(self, typed: str) -> dict[str, Any]:
        check_return(actor=self.actor, reservation=self.reservation, return_code=typed)
        return {"verdict": f"This is the return code of {self.reservation.udi}."}

    def perform(self, form: Any) -> str:
        reservation = return_reservation(
            actor=self.actor, reservation=self.reservation, return_code=form.cleaned_data["code"], now=self.now
        )
        return (
            f"The reservation of {reservation.udi} was returned. {released_by(reservation):,} licenses were released."
        )


class CancelUpdate(ReservationAction, ConfirmAction):
    page_title = "Withdraw the change?"
    submit_label = "Withdraw"

    def get_explanation(self) -> str:
        codes = outstanding_codes(self.reservation)
        if len(codes) < 2:
            return f"No change of the reservation of {self.reservation.udi} is pending."
        return f"The reservation stays as it was: {_summary_of(codes[-2])}. What the change had added is free again."

    def get_consequences(self) -> list[str]:
        return [
            "Do this only if the newest authorization code was not installed on the product. If it was, enter its"
            " confirmation code instead, and change the reservation again.",
        ]

    def perform(self, form: Any) -> str:
        cancel_update(actor=self.actor, reservation=self.reservation, now=self.now)
        return "The change was withdrawn."


class Rehost(ReservationAction, ChecksCode):
    page_title = "Rehost from a failed product"
    form_class = RequestCodeForm
    submit_label = "Rehost and show the code"
    danger = True

    def get_explanation(self) -> str:
        return (
            f"For when {self.reservation.udi} failed and can show no return code: enter the request code of the product"
            " that replaces it. The replacement gets the same licenses."
        )

    def get_consequences(self) -> list[str]:
        used, limit = count_open_rehosts(self.virtual_account), settings.REHOST_LIMIT
        return [
            "The authorization of the failed product may still work somewhere. So its licenses stay reserved until its"
            " return code is entered, should it be found again.",
            "Where there are enough free licenses, both products are covered. Where there are not, the two share them,"
            f" and only {limit} such rehosts may be open in a Virtual Account: here it is {used} of {limit} now.",
            "Where the failed product can still show a return code, enter that instead and reserve for the new one.",
        ]

    def check(self, typed: str) -> dict[str, Any]:
        outlook = check_rehost(actor=self.actor, reservation=self.reservation, request_code=typed, now=self.now)
        told = {**tell_of(outlook.checked, typed), "facts": product_of(outlook.checked)}
        if outlook.checked.earlier is not None:
            return told
        if outlook.is_covered:
            return {**told, "outcome_tone": "info", "outcome": "There are enough free licenses for both products."}
        return {**told, "outcome_tone": "warn", "outcome": SHARED}

    def perform(self, form: Any) -> HttpResponse:
        try:
            issued = rehost_reservation(
                actor=self.actor,
                reservation=self.reservation,
                request_code=form.cleaned_data["request_code"],
                now=self.now,
            )
        except Invalid as error:
            raise _with_part(error) from error
        messages.success(self.request, f"{self.reservation.udi} was replaced by {issued.reservation.udi}.")
        piid = issued.reservation.instance.piid
        return self.redirect(f"{self.va_url}reservations/{piid}/codes/{issued.code.pk}/")


def released_by(reservation: Reservation) -> int:
    """By the last thing that happened to it."""
    last = reservation.transitions.order_by("-pk").first()
    return last.released if last else 0


def _summary_of(code: AuthorizationCode) -> str:
    contents = contents_of(code)
    if not contents and code.reservation.kind == ReservationKind.UNIVERSAL:
        return "everything"
    return summarise(contents)


def _with_part(error: Invalid) -> DomainError:
    part = PARTS.get(error.details.get("part", ""))
    return Invalid(f"{part}: {error.message}", code=error.code, where=error.where) if part else error
