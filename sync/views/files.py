"""The file inbox: files of many on-prem servers at once, each told what became of it, and all that came before."""

from collections import Counter
from time import monotonic
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase

from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.text import Badge, Tone
from cssm.common.views import Crumb
from sync.models import Exchange
from sync.services.exchanges import list_exchanges
from sync.services.inbox import Received, take_file
from sync.states import ExchangeState, ReceivedKind
from sync.tables.files import ExchangeTable
from sync.views.exchanges import exchange_url

MOST_FILES: Final = 100
"""Of one form sent without script (Django's own limit); with script each file is sent by itself."""

SECONDS_DIRECT: Final = 10.0
"""What is left of a form by then is worked on in the background, so that its sender need not wait."""


class ShownFile(NamedTuple):
    """One file with what became of it, in words."""

    received: Received
    badge: Badge
    message: str
    url: str


class ExchangeFilter(TableFilter):
    search_fields = ("server__name", "server__virtual_account__name")
    state = ChoiceFilter(
        label="Status", choices=[(state.value, state.label) for state in ExchangeState], empty_label="All"
    )


class FileInbox(AccountView, TableView):
    """GET shows the form and what came before; POST takes the files, one or many, and tells of each."""

    permission = Permission.MANAGE_ASSETS
    page_title = "Upload files of on-prem servers"
    template_name = "sync/files/inbox.html"
    table_class, filter_class = ExchangeTable, ExchangeFilter

    def get_queryset(self) -> QuerySet[Exchange]:
        return list_exchanges(actor=self.actor, smart_account=self.smart_account)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url}

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("On-Prem Accounts", f"{self.account_url}onprem/")]

    def get_context(self) -> dict[str, Any]:
        return {
            **super().get_context(),
            "lead": "Synchronization files as the servers wrote them, plain or gzip, of any number of servers.",
            "account_url": self.account_url,
            "upload_url": self.request.path,
            "registration_url": f"{self.account_url}onprem/new/",
            "most_files": MOST_FILES,
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        started, shown = monotonic(), []
        for file in request.FILES.getlist("files"):
            shown.append(self._take(file, in_background=monotonic() - started > SECONDS_DIRECT))
        if self.wants_part:
            return self.render_part("sync/files/_received.html", {"received": shown})
        self.received = shown
        self.nothing_chosen = not shown
        return super().get(request, *args, **kwargs)

    def render(self, template: str = "", context: dict[str, Any] | None = None, **options: Any) -> Any:
        received: list[ShownFile] = getattr(self, "received", [])
        more = {
            "received": received,
            "tally": count_outcomes(received),
            "nothing_chosen": getattr(self, "nothing_chosen", False),
        }
        return super().render(template, {**more, **(context or {})}, **options)

    def _take(self, file: Any, *, in_background: bool) -> ShownFile:
        received = take_file(
            actor=self.actor,
            smart_account=self.smart_account,
            name=(file.name or "")[:200],
            chunks=file.chunks(),
            dry_run="dry_run" in self.request.POST,
            in_background=in_background,
            now=self.now,
        )
        badge, message = tell_outcome(received)
        url = exchange_url(self.account_url, received.exchange) if received.exchange is not None else ""
        return ShownFile(received, badge, message, url)


def count_outcomes(shown: list[ShownFile]) -> str:
    """ "15 files: 7 Applied · 8 Refused"; nothing of none."""
    counts = Counter(file.badge.label for file in shown)
    parts = " · ".join(f"{number} {label}" for label, number in counts.items())
    return f"{len(shown)} file{'' if len(shown) == 1 else 's'}: {parts}" if shown else ""


def tell_outcome(received: Received) -> tuple[Badge, str]:
    """The state of one file, and a sentence."""
    if received.problems:
        return Badge("Refused", Tone.BAD), "Nothing was changed."
    exchange = received.exchange
    if exchange is None:
        if received.kind is ReceivedKind.REGISTRATION:
            return Badge("Not taken", Tone.WARN), "This file registers an on-prem server. Use New On-Prem for it."
        return Badge("Not taken", Tone.WARN), "Nothing was changed."
    state = ExchangeState(exchange.state)
    if received.is_repeat and not state.is_open:
        return state.badge, "The very same file was applied before; it changes nothing a second time."
    if state.is_open:
        return state.badge, "It is worked on in the background."
    counts = exchange.difference["instances"]
    figures = (
        f"{counts['added'] + counts['returned']:,} added, {counts['removed']:,} removed, {counts['changed']:,} changed"
    )
    if state is ExchangeState.COMPARED:
        return state.badge, f"Applying it would mean: {figures}. Nothing was changed yet."
    return state.badge, f"Product instances: {figures}. The response is ready."
