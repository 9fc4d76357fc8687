"""The page of one reservation, and its authorization codes for those who may install them."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import cached_property
from django.utils.translation import gettext

from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.text import Badge, Tone, mark
from cssm.common.views import Crumb, PageView
from licensing.models import AuthorizationCode, Reservation, ReservationTransition
from licensing.services.reservations.contents import summarise
from licensing.services.reservations.issuing import Issued, show_code
from licensing.services.reservations.waiting import waiting_of, with_waiting
from licensing.states import (
    ACTIVE_RESERVATIONS,
    AuthorizationState,
    ReservationCause,
    ReservationKind,
    ReservationState,
)
from licensing.views.reserve import describe_contents

SHOWN_ROWS: Final = 100
CAUSES: Final = {
    ReservationCause.REQUEST: "Reserved",
    ReservationCause.CONFIRMATION: "Confirmation code entered",
    ReservationCause.UPDATE: "Changed: another code issued",
    ReservationCause.CANCELLATION: "Change withdrawn",
    ReservationCause.RETURN: "Return code entered",
    ReservationCause.REHOST: "Rehosted",
    ReservationCause.TERM: "All terms ended",
    ReservationCause.ENDING: "The registration ended",
}
ENDED: Final = Badge(mark("Ended"), Tone.MUTED)
SHOWABLE: Final = ACTIVE_RESERVATIONS | {ReservationState.REHOSTED}


class Action(NamedTuple):
    label: str
    url: str
    in_dialog: bool = True


class ReservationView(VirtualAccountView):
    """A page about the reservation of one product in this Virtual Account; `piid` is the product's."""

    permission = Permission.MANAGE_ASSETS

    def authorize(self) -> None:
        super().authorize()
        own = Reservation.objects.visible_to(self.actor).requested().filter(virtual_account=self.virtual_account)
        found = own.select_related("instance", "smart_account", "virtual_account", "rehosted_from__instance")
        reservation = with_waiting(found.filter(instance__piid=self.kwargs["piid"])).first()
        if reservation is None:
            raise NotFound("There is no such reservation in this Virtual Account.")
        self.reservation = reservation

    @property
    def reservation_url(self) -> str:
        return f"{self.va_url}reservations/{self.reservation.instance.piid}/"

    @property
    def board_url(self) -> str:
        return f"{self.account_url}inventory/all/reservations/"

    def get_success_url(self) -> str:
        return self.reservation_url

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Product Instances", self.tab_url("instances"))]

    @cached_property
    def codes(self) -> list[AuthorizationCode]:
        """All that were issued, the newest first."""
        codes = AuthorizationCode.objects.filter(reservation=self.reservation).order_by("-timestamp")
        return list(codes.prefetch_related("contents__license", "contents__line"))


class ReservationPage(ReservationView, PageView):
    permission = Permission.VIEW
    template_name = "licensing/reservation.html"

    def get_page_title(self) -> str:
        return f"Reservation of {self.reservation.udi}"

    def get_context(self) -> dict[str, Any]:
        reservation = self.reservation
        state = ReservationState(reservation.state)
        outstanding = [code for code in self.codes if code.state == AuthorizationState.OUTSTANDING]
        newest = outstanding[0] if outstanding else None
        may_manage = self.may(Permission.MANAGE_ASSETS)
        transitions = reservation.transitions.order_by("-pk")[:SHOWN_ROWS]
        return {
            **super().get_context(),
            "reservation": reservation,
            "state": state.badge,
            "waiting": waiting_of(reservation),
            "facts": self._facts(),
            "contents": describe_contents(list(newest.contents.all())) if newest else [],
            "held": reservation.holds.counting_at(self.now).select_related("license", "line").order_by("pk"),
            "is_universal": reservation.kind == ReservationKind.UNIVERSAL,
            "codes": [self._describe(code) for code in self.codes],
            "transitions": [
                (
                    row,
                    _name_cause(row),
                    ReservationState(row.old).badge if row.old else None,
                    ReservationState(row.new).badge,
                )
                for row in transitions
            ],
            **self._rehosts(),
            "actions": list_actions(reservation, outstanding, self.reservation_url) if may_manage else [],
            "may_manage": may_manage,
            "reservation_url": self.reservation_url,
            "va_url": self.va_url,
            "board_url": self.board_url,
        }

    def _describe(self, code: AuthorizationCode) -> tuple[AuthorizationCode, Badge, str, bool]:
        """With its state, what it entitles to, and whether it can be shown."""
        state = AuthorizationState(code.state)
        is_showable = state is AuthorizationState.OUTSTANDING and self.reservation.state in SHOWABLE
        is_over = state is AuthorizationState.OUTSTANDING and not is_showable
        contents = list(code.contents.all())
        is_everything = not contents and self.reservation.kind == ReservationKind.UNIVERSAL
        entitles = gettext("everything") if is_everything else summarise(contents)
        return code, ENDED if is_over else state.badge, entitles, is_showable

    def _rehosts(self) -> dict[str, Any]:
        """The product that this one replaces, and the one that replaced it, where they are now."""
        found = Reservation.objects.visible_to(self.actor).select_related("instance", "virtual_account")
        failed = found.filter(rehosted_to=self.reservation).first()
        heir = found.filter(rehosted_from=self.reservation).first()
        return {
            "rehosted_from": failed,
            "rehosted_from_url": reservation_url(self.account_url, failed) if failed else "",
            "rehosted_to": heir,
            "rehosted_to_url": reservation_url(self.account_url, heir) if heir else "",
        }

    def _facts(self) -> list[tuple[str, Any]]:
        reservation, instance = self.reservation, self.reservation.instance
        return [
            ("Product ID", instance.udi_pid),
            ("Serial number", instance.udi_serial_number),
            ("Software tag", instance.software_tag),
            ("Instance ID (PIID)", instance.piid),
            ("Kind", ReservationKind(reservation.kind).label),
            ("Request code", reservation.request_code if self.may(Permission.MANAGE_ASSETS) else "–"),
        ]


class ShowCode(ReservationView, PageView):
    """An authorization code that may be in the product: to be copied, or saved as `AC_<SN>.xml`."""

    page_title = "Authorization code"

    def authorize(self) -> None:
        super().authorize()
        codes = AuthorizationCode.objects.outstanding().filter(reservation=self.reservation, pk=self.kwargs["code"])
        code = codes.select_related("reservation__instance").first()
        if code is None or self.reservation.state not in SHOWABLE:
            raise NotFound(
                "This authorization code is of no use any more: another one has taken its place, or it ended."
            )
        self.code = code

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.reservation.udi, self.reservation_url)]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        issued = show_code(actor=self.actor, reservation=self.reservation, code=self.code)
        response = _download(issued) if "download" in request.GET else self._show(issued)
        response["Cache-Control"] = "no-store"
        return response

    def _show(self, issued: Issued) -> HttpResponse:
        context = {
            "value": issued.text,
            "file_name": issued.file_name,
            "issued_at": issued.code.created_at,
            "udi": self.reservation.udi,
            "is_universal": self.reservation.kind == ReservationKind.UNIVERSAL,
            "takes_away": issued.code.takes_away,
            "reservation_url": self.reservation_url,
            "download_url": f"{quote(self.request.path)}?download",
            "reserve_url": f"{self.va_url}licenses/reserve/",
        }
        template = "licensing/_reservation_code_dialog.html" if self.wants_part else "licensing/reservation_code.html"
        return self.render(template, context)


def list_actions(reservation: Reservation, outstanding: Sequence[AuthorizationCode], url: str) -> list[Action]:
    """What is possible in its state, the most likely next thing first."""
    state = ReservationState(reservation.state)
    give_back = Action("Enter return code", f"{url}return/")
    if not state.is_active:
        return [give_back] if state is ReservationState.REHOSTED else []
    newest = outstanding[0]
    actions = [] if newest.confirmed_at else [Action("Enter confirmation code", f"{url}confirm/")]
    if reservation.kind == ReservationKind.SPECIFIC and not reservation.is_shared:
        actions.append(Action("Change licenses", f"{url}update/", in_dialog=False))
    if len(outstanding) > 1:
        actions.append(Action("Withdraw the change", f"{url}cancel/"))
    actions.append(give_back)
    return actions if reservation.is_shared else [*actions, Action("Rehost from failed product", f"{url}rehost/")]


def reservation_url(account_url: str, reservation: Reservation) -> str:
    """The page of the reservation, below `/accounts/<domain>/`."""
    place = quote(reservation.virtual_account.name, safe="")
    return f"{account_url}inventory/{place}/reservations/{reservation.instance.piid}/"


def _name_cause(row: ReservationTransition) -> str:
    cause = ReservationCause(row.cause)
    if cause is ReservationCause.REHOST and row.old == row.new:
        return "The failed product's licenses passed on"
    return CAUSES[cause]


def _download(issued: Issued) -> HttpResponse:
    response = HttpResponse(issued.text, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{issued.file_name}"'
    return response
