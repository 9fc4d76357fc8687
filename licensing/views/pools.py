"""The Licenses tab and the dialog of one license."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import QuerySet

from accounts.tables import TaggedFilter
from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableView
from cssm.common.tables import BulkAction
from cssm.common.text import Badge, Tone, mark
from cssm.common.views import Crumb, PageView
from licensing.models import Hold, Pool, PoolTransition, PurchaseLine, Usage
from licensing.querysets.ownership import PurchaseLineQuerySet
from licensing.services.pools.loans import loans_of
from licensing.states import Compliance, LicenseType, LineSource, LineState, RecordKind
from licensing.tables.pools import PoolTable
from licensing.views.inventory import InventoryTab

SHOWN_ROWS = 20
MOST_LINES = 500
EMPTIED = Badge(mark("Nothing left"), Tone.MUTED)


class PoolFilter(TaggedFilter):
    search_fields = ("license__display_name", "license__tag")
    status = ChoiceFilter(
        label="Compliance",
        field_name="now_status",
        choices=[(s.value, s.label) for s in Compliance],
        empty_label="All",
    )


class LicensesTab(TableView, InventoryTab):
    tab = "licenses"
    table_class = PoolTable
    filter_class = PoolFilter
    template_name = "licensing/tab.html"

    def get_queryset(self) -> QuerySet[Pool]:
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        return pools.select_related("license").prefetch_related("tags").with_figures(self.now)

    def get_table_kwargs(self) -> dict[str, Any]:
        held = Hold.objects.counting_at(self.now).filter(virtual_account=self.virtual_account)
        may_manage = self.may(Permission.MANAGE_ASSETS)
        return {"va_url": self.va_url, "may_manage": may_manage, "has_reserved": held.exists()}

    def get_bulk_actions(self) -> list[BulkAction]:
        if not self.may(Permission.MANAGE_ASSETS):
            return []
        return [
            BulkAction("Transfer", f"{self.va_url}licenses/transfer/", "transfer"),
            BulkAction("Tag", f"{self.va_url}licenses/tags/", "tag"),
        ]

    def get_context(self) -> dict[str, Any]:
        actions = "licensing/_licenses_actions.html" if self.may(Permission.MANAGE_ASSETS) else ""
        return {**super().get_context(), "table_actions": actions}


class LicenseDialog(VirtualAccountView, PageView):
    """The figures of one pool, and what makes them up: lines, instances, changes of status."""

    permission = Permission.VIEW

    def authorize(self) -> None:
        super().authorize()
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        pool = pools.select_related("license").with_figures(self.now).filter(pk=self.kwargs["pool"]).first()
        if pool is None:
            raise NotFound("There is no such license in this Virtual Account.")
        self.pool = pool

    @property
    def template_name(self) -> str:  # type: ignore[override]  # a dialog where htmx asks, else a page of its own
        return "licensing/_license_dialog.html" if self.wants_part else "licensing/license_page.html"

    def get_page_title(self) -> str:
        return self.pool.license.display_name

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Licenses", self.tab_url("licenses"))]

    def get_context(self) -> dict[str, Any]:
        of_pool = {"virtual_account": self.virtual_account, "license": self.pool.license}
        usage = Usage.objects.visible_to(self.actor).counted().filter(**of_pool).select_related("instance")
        lines = (
            PurchaseLine.objects.visible_to(self.actor)
            .filter(**of_pool)
            .select_related("order", "record")
            .order_by("start", "pk")
        )
        held = Hold.objects.visible_to(self.actor).counting_at(self.now).filter(**of_pool)
        loans = loans_of([self.pool], self.now)
        transitions = PoolTransition.objects.visible_to(self.actor).filter(pool=self.pool).order_by("-id")
        return {
            **super().get_context(),
            "pool": self.pool,
            "status": Compliance(self.pool.now_status).badge,
            **self._sort_lines(lines.with_remaining()),
            "borrowed": loans.borrowed_by(self.pool),
            "lent": loans.lent_by(self.pool),
            "explain_url": f"{self.va_url}licenses/{self.pool.pk}/explain/",
            "metered_url": self._metered_url() if self.pool.license.is_unlimited else "",
            "usage": usage.order_by("-quantity", "instance__udi")[:SHOWN_ROWS],
            "usage_count": usage.count(),
            "held": held.select_related("reservation__instance", "line").order_by("-quantity", "pk")[:SHOWN_ROWS],
            "held_count": held.count(),
            "transitions": [(t, Compliance(t.old).badge, Compliance(t.new).badge) for t in transitions[:10]],
            "va_url": self.va_url,
            "may_manage": self.may(Permission.MANAGE_ASSETS),
        }

    def _metered_url(self) -> str:
        """The report of what products measured of a license that is billed by use."""
        chosen = {"q": self.pool.license.tag, "va": self.virtual_account.pk}
        return f"{self.account_url}reports/metered-use/?{urlencode(chosen)}"

    def _sort_lines(self, lines: PurchaseLineQuerySet) -> dict[str, Any]:
        """What is owned or will be, and apart from it what has ended or of which nothing is left."""
        current: list[LineRow] = []
        past: list[LineRow] = []
        for line in lines[:MOST_LINES]:
            is_past = not line.remaining or line.state_at(self.now) is LineState.EXPIRED
            (past if is_past else current).append(self._describe(line))
        return {
            "lines": current[:SHOWN_ROWS],
            "more_lines": len(current) - SHOWN_ROWS,
            "past_lines": past[-SHOWN_ROWS:],
            "past_count": len(past),
        }

    def _describe(self, line: PurchaseLine) -> "LineRow":
        kind = LicenseType(line.license_type).label
        state = line.state_at(self.now).badge if line.remaining else EMPTIED
        record = RecordKind(line.record.kind).label
        origin = line.order.order_ref if line.order is not None else f"{record} {line.record_id}"
        return LineRow(line, kind, state, LineSource(line.source).value.capitalize(), origin)


class LineRow(NamedTuple):
    line: PurchaseLine
    type: str
    state: Badge
    source: str
    origin: str
