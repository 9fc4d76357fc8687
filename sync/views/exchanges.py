"""One exchange: how far its file is while it is worked on, what it changes or would change, both of its files."""

from datetime import timedelta
from typing import Any, Final, NamedTuple

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.views.base import AccountView
from cssm.common.downloads import send_file
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.rows import LazyTableData
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import ConfirmAction, Crumb, PageView
from sync.models import Exchange
from sync.models.exchanges import FILES_KEPT_FOR
from sync.services.changes import ChangedRows
from sync.services.comparisons import apply_compared
from sync.services.exchanges import get_exchange, name_sender, open_file, size_of_file
from sync.services.progress import measure_progress
from sync.services.queue import cancel_exchange
from sync.services.storage import file_name
from sync.states import Change, ExchangeKind, ExchangeState, Side
from sync.tables.files import ChangedInstanceTable, LicenseDifferenceTable, badge_of_compliance

SHOWN_LICENSES: Final = 25
YAML: Final = "application/yaml"


class Figure(NamedTuple):
    """One count of the difference; it leads to the lines of that kind, to all of them where `change` is empty."""

    label: str
    value: int
    change: str
    tone: str


class ExchangeAccountView(AccountView):
    """Below `…/onprem/<uuid>/exchanges/<exchange>/`. The permission must hold where the server is registered."""

    exchange: Exchange

    def require_permission(self) -> None:
        super().require_permission()
        permission = self.permission if isinstance(self.permission, Permission) else Permission.VIEW
        key = self.kwargs["exchange"]
        self.exchange = get_exchange(actor=self.actor, smart_account=self.smart_account, key=key, permission=permission)
        if self.exchange.server.uuid != self.kwargs["uuid"]:
            raise NotFound("There is no such exchange with this on-prem server.")

    def may(self, permission: Permission) -> bool:
        server = self.exchange.server
        return self.actor.may(
            permission, smart_account_id=server.smart_account_id, virtual_account_id=server.virtual_account_id
        )

    @property
    def exchange_url(self) -> str:
        return exchange_url(self.account_url, self.exchange)

    @property
    def title(self) -> str:
        return f"{ExchangeKind(self.exchange.kind).label} {self.exchange.pk}"

    def get_crumbs(self) -> list[Crumb]:
        server = self.exchange.server
        return [
            *super().get_crumbs(),
            Crumb("On-Prem Accounts", f"{self.account_url}onprem/"),
            Crumb(server.name, f"{self.account_url}onprem/{server.uuid}/"),
        ]

    def get_success_url(self) -> str:
        return self.exchange_url

    def get_progress(self) -> dict[str, Any]:
        progress = measure_progress(self.exchange, now=self.now)
        return {
            "progress": progress,
            "phase": progress.state.badge,
            "time_left": "" if progress.time_left is None else say_duration(progress.time_left),
            "progress_url": f"{self.exchange_url}progress/",
            "cancel_url": f"{self.exchange_url}cancel/" if self.may(Permission.MANAGE_ASSETS) else "",
            "exchange_url": self.exchange_url,
        }


class ExchangePage(ExchangeAccountView, PageView):
    permission = Permission.VIEW
    template_name = "sync/files/exchange.html"

    def get_page_title(self) -> str:
        return self.title

    def get_context(self) -> dict[str, Any]:
        exchange, state = self.exchange, ExchangeState(self.exchange.state)
        may_manage = self.may(Permission.MANAGE_ASSETS)
        return {
            **super().get_context(),
            "exchange": exchange,
            "exchange_url": self.exchange_url,
            "badge_value": None if state.is_open else state.badge,
            "state": state.value,
            "facts": self._facts(),
            **(self.get_progress() if state.is_open else {}),
            **self._difference(),
            "may_manage": may_manage,
            "may_apply": may_manage and state is ExchangeState.COMPARED and exchange.files_deleted_at is None,
            "files_kept_until": exchange.created_at + FILES_KEPT_FOR,
            "has_response": state is ExchangeState.APPLIED,
            "is_registration": exchange.kind == ExchangeKind.REGISTRATION,
        }

    def _facts(self) -> list[tuple[str, Any]]:
        exchange, server = self.exchange, self.exchange.server
        reach = {True: "Full: what it does not name is removed", False: "Incremental: what it does not name stays"}
        facts: list[tuple[str, Any]] = [
            ("On-prem server", server.name),
            ("Virtual Account", server.virtual_account.name),
            ("Uploaded by", name_sender(exchange)),
            ("Size", f"{exchange.size:,} bytes"),
        ]
        if exchange.is_full is not None:
            facts.insert(2, ("Synchronization", reach[exchange.is_full]))
        return facts

    def _difference(self) -> dict[str, Any]:
        difference = self.exchange.difference
        if not difference:
            return {}
        licenses = [{**row, "badge": badge_of_compliance(row["status"])} for row in difference["licenses"]]
        return {
            "difference": difference,
            "figures": read_figures(difference),
            "named": difference["instances"]["named"],
            "accounts": difference["virtualAccounts"],
            "licenses": licenses[:SHOWN_LICENSES],
            "more_licenses": max(0, len(licenses) - SHOWN_LICENSES),
            "short_count": sum(row["badge"].label != "In Compliance" for row in licenses),
        }


class ExchangeProgress(ExchangeAccountView, PageView):
    """Asked for every other second by a page that shows it; leads to the result once there is one."""

    permission = Permission.VIEW
    template_name = "sync/files/_progress.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.wants_part or not ExchangeState(self.exchange.state).is_open:
            return self.redirect(self.exchange_url)
        return self.render_part(self.template_name, self.get_progress())


class ChangeFilter(TableFilter):
    """Which lines of the list; the rows are no table of the database, so nothing is asked of it."""

    search_fields = ("name",)
    change = ChoiceFilter(
        label="Change",
        method="keep",
        choices=[(change.value, change.label) for change in Change],
        empty_label="All",
    )

    def search(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset

    def keep(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset


class DifferenceTable(ExchangeAccountView, TableView):
    """A long part of the difference, as the one table, with its exports."""

    permission = Permission.VIEW
    template_name = "sync/files/difference.html"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.title, self.exchange_url)]

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "gone": self.exchange.files_deleted_at is not None}


class ExchangeInstances(DifferenceTable):
    page_title = "Product instances that the file changes"
    table_class, filter_class = ChangedInstanceTable, ChangeFilter

    def get_queryset(self) -> QuerySet[Exchange]:
        return Exchange.objects.filter(pk=self.exchange.pk)

    def get_data(self, rows: QuerySet[Any], filterset: TableFilter) -> LazyTableData:
        wanted = filterset.form.cleaned_data if filterset.form.is_valid() else {}
        return LazyTableData(ChangedRows(self.exchange, wanted.get("change") or "", wanted.get("q") or ""))

    def get_export_name(self) -> str:
        return f"exchange-{self.exchange.pk}-instances"


class ExchangeLicenses(DifferenceTable):
    page_title = "Licenses whose use the file changes"
    table_class = LicenseDifferenceTable

    def get_queryset(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.exchange.difference.get("licenses", [])
        return rows

    def get_export_name(self) -> str:
        return f"exchange-{self.exchange.pk}-licenses"


class ExchangeFile(ExchangeAccountView):
    """One of the two files: they hold certificates and names of devices, so they are for whoever manages the server."""

    permission = Permission.MANAGE_ASSETS

    def get(self, request: HttpRequest, *args: Any, side: str, **kwargs: Any) -> HttpResponseBase:
        chosen, exchange = Side(side), self.exchange
        pieces, size = open_file(exchange, chosen), size_of_file(exchange, chosen)
        return send_file(pieces, name=file_name(exchange, chosen), size=size, content_type=YAML)


class CancelExchange(ExchangeAccountView, ConfirmAction):
    permission = Permission.MANAGE_ASSETS
    page_title = "Cancel this file"
    submit_label = "Cancel the file"
    explanation = "Nothing of it has been applied. The file stays as it is on the server, and can be uploaded again."

    def perform(self, form: forms.Form) -> str | HttpResponse:
        cancel_exchange(actor=self.actor, exchange=self.exchange, now=self.now)
        return "The file is given up. Nothing was changed."


class ApplyExchange(ExchangeAccountView, ConfirmAction):
    permission = Permission.MANAGE_ASSETS
    page_title = "Apply this file"
    submit_label = "Apply"
    danger = False
    explanation = "The file is verified once more and applied as a whole, or not at all."

    def get_consequences(self) -> list[str]:
        figures = read_figures(self.exchange.difference) if self.exchange.difference else []
        lines = [f"{figure.label}: {figure.value:,}" for figure in figures if figure.value]
        return lines or ["When it was compared, it changed no product instance."]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        applied = apply_compared(actor=self.actor, exchange=self.exchange, now=self.now)
        return self.redirect(exchange_url(self.account_url, applied))


def exchange_url(account_url: str, exchange: Exchange) -> str:
    return f"{account_url}onprem/{exchange.server.uuid}/exchanges/{exchange.pk}/"


def read_figures(difference: dict[str, Any]) -> list[Figure]:
    counts, uncounted = difference["instances"], difference["markedCount"]
    return [
        Figure("Added", counts["added"], Change.ADDED.value, ""),
        Figure("Added again", counts["returned"], Change.RETURNED.value, ""),
        Figure("Removed", counts["removed"], Change.REMOVED.value, "warn" if counts["removed"] else ""),
        Figure("Changed", counts["changed"] - counts["moved"], Change.CHANGED.value, ""),
        Figure("Moved", counts["moved"], Change.MOVED.value, ""),
        Figure("With other use", counts["useChanged"], "", ""),
        Figure("Not counted", uncounted, Change.NOT_COUNTED.value, "warn" if uncounted else ""),
    ]


def say_duration(left: timedelta) -> str:
    """Roughly, as an estimate deserves."""
    seconds = int(left.total_seconds())
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds, -1)} seconds"
    return f"about {round(seconds / 60)} minutes"
