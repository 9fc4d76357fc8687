"""The first page of a Smart Account: what is in order, what is not, and where."""

from typing import Any
from urllib.parse import quote

from django.db.models import F

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from alerts.models import Alert
from cssm.common.permissions import Access, Permission
from cssm.common.views import PageView
from licensing.models import Pool, ProductInstance

SHOWN_ROWS = 10


class Overview(AccountView, PageView):
    """Open to everyone who has anything to do with the account; figures only to those who may view them."""

    permission = Access.SIGNED_IN
    template_name = "licensing/overview.html"

    def get_page_title(self) -> str:
        return self.smart_account.name

    def get_context(self) -> dict[str, Any]:
        context = {**super().get_context(), "may_view": self.may(Permission.VIEW), "account_url": self.account_url}
        if not context["may_view"]:
            return context
        own = {"smart_account": self.smart_account}
        pools = Pool.objects.visible_to(self.actor).filter(**own)
        short = pools.with_figures(self.now).short().order_by(F("now_balance"), "pk")
        shown = short.select_related("license", "virtual_account")[:SHOWN_ROWS]
        alerts = Alert.objects.visible_to(self.actor).filter(**own).standing().undismissed()
        return {
            **context,
            "virtual_accounts": VirtualAccount.objects.live().visible_to(self.actor).filter(**own).count(),
            "licenses": pools.count(),
            "instances": ProductInstance.objects.visible_to(self.actor).active().filter(**own).count(),
            "alerts": alerts.count(),
            "short_count": short.count(),
            "short": [(pool, -pool.now_balance, self._pool_url(pool)) for pool in shown],
        }

    def _pool_url(self, pool: Pool) -> str:
        va = quote(pool.virtual_account.name, safe="")
        return f"{self.account_url}inventory/{va}/licenses/{pool.pk}/"
