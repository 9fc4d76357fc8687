"""The On-Prem Accounts of a Smart Account, and what the pages of one server have in common."""

from typing import Any

from django.db.models import BigIntegerField, Count, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.views.base import AccountView
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import Crumb
from licensing.models import ProductInstance, Usage
from licensing.views.subscriptions import VirtualAccountChoice
from sync.models import OnPremServer
from sync.services.servers import get_server
from sync.services.three_tier import describe_three_tier
from sync.states import ServerHealth
from sync.tables.servers import ServerTable, count_down

TITLE = "On-Prem Accounts"
REMOVED, ALL = ServerHealth.REMOVED.value, "all"


class ServerFilter(TableFilter):
    """Without a choice of status: those that are registered."""

    search_fields = ("name", "uuid", "virtual_account__name")

    virtual_account = VirtualAccountChoice()
    status = ChoiceFilter(
        method="with_status",
        label="Status",
        choices=[(ALL, "All"), *((health.value, health.label) for health in ServerHealth)],
        empty_label="Registered",
    )

    @property
    def qs(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().qs
        return rows if self.data.get("status") else rows.exclude(health=REMOVED)

    def with_status(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset if value == ALL else queryset.filter(health=value)


class OnPremAccounts(AccountView, TableView):
    permission = Permission.VIEW
    page_title = TITLE
    table_class = ServerTable
    filter_class = ServerFilter
    template_name = "sync/servers/list.html"

    def get_queryset(self) -> QuerySet[OnPremServer]:
        own = OnPremServer.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        rows = own.select_related("smart_account", "virtual_account", "three_tier").with_health(self.now)
        return with_figures(rows, self.actor)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now}

    def get_context(self) -> dict[str, Any]:
        may_manage = self.may(Permission.MANAGE_ASSETS)
        actions = "sync/servers/_list_actions.html" if may_manage else ""
        return {**super().get_context(), "table_actions": actions, "onprem_url": f"{self.account_url}onprem/"}


class ServerView(AccountView):
    """A page below `/accounts/<domain>/onprem/<uuid>/`; the permission must hold where the server is registered."""

    permission = Permission.VIEW
    server: OnPremServer

    def authorize(self) -> None:
        super().authorize()
        assert isinstance(self.permission, Permission)  # noqa: S101  every page of a server is of its people
        self.server = get_server(
            actor=self.actor,
            smart_account=self.smart_account,
            uuid=self.kwargs["uuid"],
            permission=self.permission,
        )

    def may(self, permission: Permission) -> bool:
        server = self.server
        return self.actor.may(
            permission, smart_account_id=server.smart_account_id, virtual_account_id=server.virtual_account_id
        )

    @property
    def onprem_url(self) -> str:
        return f"{self.account_url}onprem/"

    @property
    def server_url(self) -> str:
        return self.server.path

    def get_success_url(self) -> str:
        return self.server_url

    def get_three_tier(self) -> dict[str, Any]:
        """For `sync/servers/_three_tier.html`."""
        found = describe_three_tier(self.server)
        if found is None:
            return {"three_tier": None}
        return {
            "three_tier": found,
            "is_late": found.is_late_at(self.now),
            "due_in": count_down(found.due_at, self.now),
        }

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(TITLE, self.onprem_url)]


class ServerTab(ServerView):
    """A tab of one server; `tab` is the last part of its address."""

    tab = ""

    def get_page_title(self) -> str:
        return self.server.name

    def get_context(self) -> dict[str, Any]:
        instances = ProductInstance.objects.visible_to(self.actor).active().filter(origin=self.server.origin_id)
        tabs = (("", "General", None), ("instances/", "Product Instances", instances.count()),
                ("exchanges/", "History", None))  # fmt: skip
        return {
            **super().get_context(),
            "server": self.server,
            "badge_value": self.server.health_at(self.now).badge,
            "tabs": [
                {"label": label, "url": self.server_url + key, "current": key == self.tab, "count": count}
                for key, label, count in tabs
            ],
        }


def with_figures(rows: Any, actor: Actor) -> QuerySet[OnPremServer]:
    """Annotated with what its products use and how many they are, of those that the actor may see."""
    devices = ProductInstance.objects.visible_to(actor).active().filter(origin=OuterRef("origin")).order_by()
    used = Usage.objects.visible_to(actor).counted().filter(instance__origin=OuterRef("origin")).order_by()
    counted: QuerySet[OnPremServer] = rows.annotate(
        device_count=_total(devices.values("origin").annotate(total=Count("pk"))),
        license_units=_total(used.values("instance__origin").annotate(total=Sum("quantity"))),
    )
    return counted


def _total(groups: QuerySet[Any, Any]) -> Coalesce:
    return Coalesce(Subquery(groups.values("total")), Value(0), output_field=BigIntegerField())
