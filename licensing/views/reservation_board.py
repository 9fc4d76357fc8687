"""The reservation board: every reserved product of an account, and what it waits for; returning and saving in bulk."""

from typing import Any, Final

from django import forms
from django.db.models import BigIntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.utils.functional import cached_property

from accounts.views.base import AccountView
from cssm.common.errors import Conflict, DomainError
from cssm.common.forms import ConfirmForm
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.tables import BulkAction
from cssm.common.views import Crumb, FormAction, SelectionAction
from licensing.codecs.reservation_csv import MOST_CODES
from licensing.forms.reservations import ReturnsForm
from licensing.models import Hold, Reservation
from licensing.querysets.reservations import ReservationQuerySet
from licensing.services.reservations.bulk import zip_codes
from licensing.services.reservations.bulk_returns import return_by_code
from licensing.services.reservations.issuing import show_code
from licensing.services.reservations.waiting import Waiting, with_waiting
from licensing.states import ACTIVE_RESERVATIONS, ReservationKind, ReservationState
from licensing.tables.reservations import ReservationTable
from licensing.views.account_tabs import AccountTab
from licensing.views.long_runs import LongRun, RunPage
from licensing.views.reservation_actions import released_by
from licensing.views.reservations import SHOWABLE
from licensing.views.reserve_many import zip_response
from licensing.views.subscriptions import VirtualAccountChoice

ENDED, ALL, ANYTHING = "ended", "all", "anything"
OPEN: Final = Q(state__in=ACTIVE_RESERVATIONS) | Q(state=ReservationState.REHOSTED)


class ReservationFilter(TableFilter):
    """Without a choice of state: those that are active, or of which something is still awaited."""

    search_fields = ("udi", "instance__software_tag", "virtual_account__name", "holds__license__display_name")

    virtual_account = VirtualAccountChoice()
    state = ChoiceFilter(
        label="State",
        method="with_state",
        choices=[(ALL, "All"), (ENDED, "Ended"), *((s.value, s.label) for s in ReservationState)],
        empty_label="Active",
    )
    waits_for = ChoiceFilter(
        label="Waits for",
        method="with_waiting",
        choices=[(ANYTHING, "Anything"), *((w.value, w.badge.label) for w in Waiting if w)],
        empty_label="All",
    )
    kind = ChoiceFilter(label="Kind", choices=[(k.value, k.label) for k in ReservationKind], empty_label="All")

    @property
    def qs(self) -> QuerySet[Reservation]:
        rows: QuerySet[Reservation] = super().qs
        rows = rows if self.data.get("state") else rows.filter(OPEN)
        return rows.distinct() if self.data.get("q") else rows

    def with_state(self, queryset: QuerySet[Reservation], name: str, value: str) -> QuerySet[Reservation]:
        if value == ALL:
            return queryset
        return queryset.exclude(OPEN) if value == ENDED else queryset.filter(state=value)

    def with_waiting(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.exclude(waits_for="") if value == ANYTHING else queryset.filter(waits_for=value)


class ReservationBoard(AccountTab, TableView):
    permission = Permission.VIEW
    tab = "all/reservations/"
    table_class = ReservationTable
    filter_class = ReservationFilter
    template_name = "licensing/account_tab.html"

    def get_queryset(self) -> ReservationQuerySet:
        holds = Hold.objects.counting_at(self.now)
        units = holds.filter(reservation=OuterRef("pk")).order_by().values("reservation")
        total = units.annotate(total=Sum("quantity")).values("total")
        own = Reservation.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        return with_waiting(
            own.select_related("instance", "virtual_account")
            .prefetch_related(Prefetch("holds", holds.select_related("license").order_by("pk"), to_attr="held"))
            .annotate(quantity=Coalesce(Subquery(total), Value(0), output_field=BigIntegerField()))
        )

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url}

    def get_bulk_actions(self) -> list[BulkAction]:
        url = f"{self.inventory_url}all/reservations/codes/"
        return [BulkAction("Download codes", url, "download")] if self.may(Permission.MANAGE_ASSETS) else []

    def get_context(self) -> dict[str, Any]:
        actions = "licensing/_board_actions.html" if self.may(Permission.MANAGE_ASSETS) else ""
        return {**super().get_context(), "table_actions": actions, "board_url": self.inventory_url + self.tab}


class BoardView(AccountView):
    """What is done from the board."""

    permission = Permission.MANAGE_ASSETS

    @property
    def board_url(self) -> str:
        return f"{self.account_url}inventory/all/reservations/"

    def get_success_url(self) -> str:
        return self.board_url

    def get_crumbs(self) -> list[Crumb]:
        inventory = Crumb("Inventory", f"{self.account_url}inventory/")
        return [*super().get_crumbs(), inventory, Crumb("Reservations", self.board_url)]


class DownloadCodes(BoardView, SelectionAction):
    """The authorization codes of the chosen reservations as one ZIP; of those that the person manages."""

    page_title = "Download authorization codes"
    form_class = ConfirmForm
    submit_label = "Download as ZIP"
    dialog_template = "licensing/_download_codes_dialog.html"

    @cached_property
    def chosen(self) -> list[Reservation]:
        keys = [int(key) for key in self.selected if key.isascii() and key.isdecimal() and len(key) < 19]
        managed = Reservation.objects.visible_to(self.actor, Permission.MANAGE_ASSETS)
        chosen = managed.filter(smart_account=self.smart_account, pk__in=keys, state__in=SHOWABLE)
        return list(chosen.select_related("instance").order_by("pk"))

    def get_explanation(self) -> str:
        return f"{len(self.chosen):,} of {len(self.selected):,} have an authorization code that you may see."

    def get_consequences(self) -> list[str]:
        return ["Keep the file as you would keep the codes: who has one can compute its product's return code."]

    def perform(self, form: Any) -> HttpResponse:
        if not self.chosen:
            raise Conflict("None of these has an authorization code that you may see.", code="NO_CODES")
        return zip_response(zip_codes([show_code(actor=self.actor, reservation=each) for each in self.chosen]))


class ReturnRun(BoardView, LongRun):
    """The job is a list of return codes."""

    @property
    def return_url(self) -> str:
        return f"{self.board_url}return/"

    @property
    def job_key(self) -> str:
        return f"return-many:{self.smart_account.pk}"

    def read_rows(self, job: dict[str, Any]) -> list[str]:
        codes: list[str] = job["codes"]
        return codes

    def do_row(self, number: int, row: str) -> dict[str, Any]:
        result = {"text": row[:100], "udi": "", "message": "", "code": "", "released": 0, "url": ""}
        try:
            done = return_by_code(actor=self.actor, smart_account=self.smart_account, return_code=row, now=self.now)
        except DomainError as error:
            return {**result, "message": error.message, "code": error.code}
        return {**result, "udi": done.udi, "released": released_by(done)}


class ReturnMany(ReturnRun, FormAction):
    page_title = "Enter many return codes"
    form_class = ReturnsForm
    submit_label = "Return the licenses"
    explanation = (
        "Each code ends the reservation of its product, in whichever Virtual Account that is, and frees what it holds."
        " Each has its own result: what is wrong with one leaves the others be."
    )

    def perform(self, form: Any) -> HttpResponse:
        codes = form.cleaned_data["codes"]
        if not 1 <= len(codes) <= MOST_CODES:
            message = f"Give 1 to {MOST_CODES:,} codes; these are {len(codes):,}. Split them."
            form.add_error("text", forms.ValidationError(message, code="TOO_MANY_LINES"))
            return self.show(form, status=422)
        self.advance({"codes": codes})
        return self.redirect(f"{self.return_url}run/")


class RunReturns(ReturnRun, RunPage):
    page_title = "Return codes"
    template_name = "licensing/returns_result.html"
    progress_label = "Returning"

    @property
    def begin_url(self) -> str:
        return self.return_url

    def get_job_context(self, job: dict[str, Any]) -> dict[str, Any]:
        returned = sum(bool(result["udi"]) for result in job["results"])
        return {
            **super().get_job_context(job),
            "returned": returned,
            "back_url": self.board_url,
            "again_url": self.return_url,
        }
