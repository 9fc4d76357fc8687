""" "Why?": what makes up the figures of one license, and what would end a shortage of it."""

from typing import Any
from urllib.parse import quote, urlencode

from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.text import Badge
from cssm.common.views import Crumb, PageView
from licensing.models import Pool
from licensing.services.insight.cures import Surplus
from licensing.services.insight.explain import LinePart, explain_pool
from licensing.states import Compliance, LicenseType, ReservationState


class ExplainLicense(VirtualAccountView, PageView):
    permission = Permission.VIEW
    template_name = "licensing/explain.html"

    def authorize(self) -> None:
        super().authorize()
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        pool = pools.select_related("license").filter(pk=self.kwargs["pool"]).first()
        if pool is None:
            raise NotFound("There is no such license in this Virtual Account.")
        self.pool = pool

    def get_page_title(self) -> str:
        return f"Why? {self.pool.license.display_name}"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Licenses", self.tab_url("licenses"))]

    def get_context(self) -> dict[str, Any]:
        found = explain_pool(pool=self.pool, actor=self.actor, now=self.now)
        return {
            **super().get_context(),
            "found": found,
            "pool": found.pool,
            "status": Compliance(found.pool.now_status).badge,
            "lines": [self._describe(part) for part in found.lines],
            "coming": [self._describe(part) for part in found.coming],
            "reservations": [(part, ReservationState(part.reservation.state).badge) for part in found.reservations],
            "surplus": [(each, self._transfer_url(each)) for each in found.cures.surplus] if found.cures else [],
            "remove_url": f"{self.va_url}instances/" if self.may(Permission.MANAGE_ASSETS) else "",
            "wrong": {name: amount for name, amount in found.unexplained.items() if amount},
            "va_url": self.va_url,
        }

    def _describe(self, part: LinePart) -> tuple[LinePart, str, Badge]:
        return part, LicenseType(part.line.license_type).label, part.line.state_at(self.now).badge

    def _transfer_url(self, surplus: Surplus) -> str:
        """The wizard of the Virtual Account that gives, filled in; empty where the actor may not transfer."""
        if not surplus.may_transfer:
            return ""
        path = f"{self.account_url}inventory/{quote(surplus.virtual_account.name, safe='')}/licenses/transfer/"
        values = {
            "license": surplus.pool_id,
            "quantity": surplus.quantity,
            "target": self.virtual_account.name,
        }
        return f"{path}?{urlencode(values)}"
