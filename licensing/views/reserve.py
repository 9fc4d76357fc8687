"""Reserving licenses for one product: its request code, the licenses, what comes of it, the code to install."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import cached_property

from accounts.views.base import VirtualAccountView
from cssm.common.errors import DomainError, Invalid
from cssm.common.permissions import Permission
from cssm.common.views import Crumb
from cssm.common.wizards import Step, WizardView
from licensing.forms.reservations import LicensesForm, RequestCodeForm
from licensing.models import AuthorizedLicense, Reservation
from licensing.services.reservations.issuing import latest_code
from licensing.services.reservations.offers import Offer, list_offers
from licensing.services.reservations.outlook import Checked, check_request, preview_pools
from licensing.services.reservations.reserve import preview_reservation, reserve_licenses
from licensing.states import ReservationKind
from licensing.views.code_checks import PARTS, answer_check

SHOWN_ROWS: Final = 200
SWITCHED_OFF: Final = (
    "License reservation is not switched on for this Smart Account. The operator of this installation can switch it on."
)
USED_BEFORE: Final = "This request code was used before. This is the authorization code that was issued for it."


class ReserveView(VirtualAccountView):
    """What the pages about reserving in this Virtual Account have in common."""

    permission = Permission.MANAGE_ASSETS

    @property
    def reserve_url(self) -> str:
        return f"{self.va_url}licenses/reserve/"

    def get_success_url(self) -> str:
        return self.tab_url("licenses")

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Licenses", self.tab_url("licenses"))]

    @property
    def is_switched_on(self) -> bool:
        return self.smart_account.slr_enabled or self.smart_account.plr_enabled

    def show_switched_off(self) -> HttpResponse:
        context = {"title": "License reservation is not switched on", "hint": SWITCHED_OFF}
        return self.render("licensing/reservation_off.html", {**context, "back_url": self.get_success_url()})

    @cached_property
    def offers(self) -> list[Offer]:
        return list_offers(actor=self.actor, virtual_account=self.virtual_account, now=self.now)

    def code_url(self, reservation: Reservation, code_id: int) -> str:
        return f"{self.va_url}reservations/{reservation.instance.piid}/codes/{code_id}/"

    def go_to_earlier(self, earlier: Reservation) -> HttpResponse:
        """The authorization of a request code that was used before, wherever that is."""
        place = earlier.virtual_account
        self.actor.require(
            Permission.MANAGE_ASSETS, smart_account_id=place.smart_account_id, virtual_account_id=place.pk
        )
        messages.info(self.request, USED_BEFORE)
        self.virtual_account = place
        return self.redirect(self.code_url(earlier, latest_code(earlier).pk))


class CheckRequestCode(ReserveView):
    """What can be told of a request code while it is typed; a part for htmx."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.render_part("licensing/_code_check.html")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return answer_check(self, request.POST.get("request_code", ""), self.check)

    def check(self, typed: str) -> dict[str, Any]:
        checked = check_request(
            actor=self.actor, virtual_account=self.virtual_account, request_code=typed, now=self.now
        )
        return tell_of(checked, typed)


class ReserveLicenses(ReserveView, WizardView):
    """`?code=` begins it with a request code entered already."""

    page_title = "License reservation"
    submit_label = "Reserve and show the authorization code"
    body_templates = {
        "code": "licensing/_reserve_code.html",
        "licenses": "licensing/_reserve_licenses.html",
        "review": "licensing/_reserve_review.html",
    }

    @property
    def steps(self) -> tuple[Step, ...]:  # type: ignore[override]  # a universal reservation names no licenses
        code = Step("code", "Request code", RequestCodeForm)
        typed = self._stored().get("code", {}).get("request_code", [""])[0]
        is_universal = typed.strip()[:1].upper() == ReservationKind.UNIVERSAL.letter
        return (code,) if is_universal else (code, Step("licenses", "Licenses", LicensesForm))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().get(request, *args, **kwargs) if self.is_switched_on else self.show_switched_off()

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.earlier: Reservation | None = None
        response = super().post(request, *args, **kwargs)
        return response if self.earlier is None else self.go_to_earlier(self.earlier)

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == "code":
            return {"check_url": f"{self.reserve_url}check/"}
        return {"offers": self.offers} if step.key == "licenses" else {}

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        if step.key == "code":
            return {"request_code": [self.check_code(form.cleaned_data["request_code"]).request.text]}
        return {name: values for name, values in super().keep(step, form).items() if any(values)}

    def check_code(self, request_code: str) -> Checked:
        return check_request(
            actor=self.actor, virtual_account=self.virtual_account, request_code=request_code, now=self.now
        )

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        if step.key == "code":
            self.earlier = self.check_code(answers["code"]["request_code"]).earlier
        else:
            self.preview(answers)

    def preview(self, answers: dict[str, dict[str, Any]]) -> Any:
        return preview_reservation(
            actor=self.actor,
            virtual_account=self.virtual_account,
            request_code=answers["code"]["request_code"],
            licenses=answers.get("licenses", {}).get("wanted", ()),
            now=self.now,
        )

    def show_refusal(self, form: forms.Form, error: DomainError) -> None:
        if isinstance(form, LicensesForm) and error.details.get("errors"):
            form.add_refusal(error)
        elif isinstance(form, RequestCodeForm) and (part := PARTS.get(error.details.get("part", ""))):
            super().show_refusal(form, Invalid(f"{part}: {error.message}", code=error.code, where=error.where))
        else:
            super().show_refusal(form, error)

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        checked = self.check_code(answers["code"]["request_code"])
        return [*facts_of(checked), ("Virtual Account", self.virtual_account.name)]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == "code":
            return {"bulk_url": f"{self.reserve_url}many/"}
        checked = self.check_code(answers["code"]["request_code"])
        if step.key == "licenses":
            return {"wide": True, "checked": checked, "virtual_account": self.virtual_account}
        context: dict[str, Any] = {"wide": True, "checked": checked}
        try:
            plan = self.preview(answers)
        except DomainError as error:
            return {**context, "blocked": True, "reason": error.message}
        outlook = preview_pools(virtual_account=self.virtual_account, after=plan.contents, now=self.now)
        rows = [(row, row.before.status.badge, row.after.status.badge) for row in outlook[:SHOWN_ROWS]]
        contents = describe_contents([content.as_row() for content in plan.contents])
        return {**context, "outlook": rows, "more_outlook": len(outlook) - len(rows), "contents": contents}

    def find_done(self, key: str) -> str:
        done, url = self.request.session.get(f"reserved:{self.request.path}", ("", ""))
        return url if done == key else ""

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        issued = reserve_licenses(
            actor=self.actor,
            virtual_account=self.virtual_account,
            request_code=answers["code"]["request_code"],
            licenses=answers.get("licenses", {}).get("wanted", ()),
            now=self.now,
        )
        if not issued.is_new:
            return self.go_to_earlier(issued.reservation)
        url = self.code_url(issued.reservation, issued.code.pk)
        self.request.session[f"reserved:{self.request.path}"] = (self.key, url)
        return self.redirect(url)


def tell_of(checked: Checked, typed: str) -> dict[str, Any]:
    """For the part that tells of a request code while it is typed."""
    typed_as_is = "".join(typed.split()) == checked.request.text
    return {
        "verdict": "This is a whole request code.",
        "checked": checked,
        "facts": facts_of(checked),
        "read_as": "" if typed_as_is else checked.request.text,
    }


def product_of(checked: Checked) -> list[tuple[str, Any]]:
    udi = checked.request.code.udi
    return [("Product ID", udi.pid), ("Serial number", udi.serial), ("Software", checked.request.software.tag)]


def facts_of(checked: Checked) -> list[tuple[str, Any]]:
    is_universal = checked.request.code.kind is ReservationKind.UNIVERSAL
    kind = (
        "Universal (permanent): entitles the product to everything"
        if is_universal
        else "Specific: entitles the product to the licenses you choose"
    )
    return [*product_of(checked), ("Reservation", kind)]


def describe_contents(rows: list[AuthorizedLicense]) -> list[dict[str, Any]]:
    """What a code entitles to, one row per license, type, term and subscription."""
    return [
        {
            "license": row.license,
            "quantity": row.quantity,
            "type": row.get_license_type_display(),
            "start": row.start,
            "end": row.end,
            "subscription_id": row.subscription_id,
        }
        for row in rows
    ]
