"""The history of one license in one Virtual Account: its chart, its shortages, and every single change of use."""

from typing import Any

from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.rows import LazyTableData
from cssm.common.table_views import TableView
from cssm.common.views import Crumb
from licensing.models import Pool
from licensing.querysets.pools import PoolQuerySet
from licensing.services.insight.changes import UseSteps
from licensing.services.insight.history import read_history
from licensing.states import Compliance
from licensing.tables.reports import UseStepTable
from licensing.views.charts import PeriodFilter, draw_history, list_points


class LicenseHistory(VirtualAccountView, TableView):
    permission = Permission.VIEW
    table_class = UseStepTable
    filter_class = PeriodFilter
    template_name = "licensing/license_history.html"
    part_template = "licensing/_license_history_part.html"

    def authorize(self) -> None:
        super().authorize()
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        pool = pools.filter(pk=self.kwargs["pool"]).select_related("license").with_figures(self.now).first()
        if pool is None:
            raise NotFound("There is no such license in this Virtual Account.")
        self.pool = pool

    def get_page_title(self) -> str:
        return f"History of {self.pool.license.display_name}"

    def get_crumbs(self) -> list[Crumb]:
        licenses = self.tab_url("licenses")
        name = self.pool.license.display_name
        return [*super().get_crumbs(), Crumb("Licenses", licenses), Crumb(name, f"{licenses}{self.pool.pk}/")]

    def get_queryset(self) -> PoolQuerySet:
        return Pool.objects.visible_to(self.actor).filter(pk=self.pool.pk)

    def get_data(self, rows: Any, filterset: Any) -> LazyTableData:
        self.period = filterset.period_at(self.now)
        return LazyTableData(UseSteps(actor=self.actor, pool=self.pool, period=self.period))

    def get_export_name(self) -> str:
        return f"use-of-license-{self.pool.pk}-{self.now:%Y-%m-%d}"

    def get_context(self) -> dict[str, Any]:
        history = read_history(actor=self.actor, pools=self.get_queryset(), period=self.period)
        return {
            **super().get_context(),
            "pool": self.pool,
            "status": Compliance(self.pool.now_status).badge,
            "chart": draw_history(history, key="license", title="Use and ownership"),
            "points": list_points(history),
            "period": history.period,
            "shortages": history.shortages[::-1],
        }
