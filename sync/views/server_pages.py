"""The page of one on-prem server: what it is, what it waits for, what it holds, what it has, what was exchanged."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.models import VirtualAccount
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import PageView
from licensing.models import ProductInstance, Usage
from licensing.services.devices.held import count_held
from licensing.views.instances import InstanceFilter
from sync.models import Exchange, LocalAccount
from sync.services.holdings import describe_shared, list_certificates
from sync.services.linking import list_local_accounts
from sync.states import ExchangeKind, ExchangeState, ServerState
from sync.tables.exchanges import ExchangeTable
from sync.tables.servers import ServerInstanceTable, count_down
from sync.views.authorization import find_authorization
from sync.views.servers import ServerTab, ServerView

PEM_TYPE = "application/x-pem-file"


class ServerPage(ServerTab, PageView):
    template_name = "sync/servers/server.html"

    def get_context(self) -> dict[str, Any]:
        server, may_manage = self.server, self.may(Permission.MANAGE_ASSETS)
        deadline = server.deadline_at(self.now)
        local_accounts = self._local_accounts()
        return {
            **super().get_context(),
            "health": server.health_at(self.now),
            "deadline": deadline,
            "deadline_in": count_down(deadline.at, self.now) if deadline else "",
            "facts": self._facts(),
            **self.get_three_tier(),
            "certificates": list_certificates(server),
            "local_accounts": local_accounts,
            "unlinked": sum(row.virtual_account_id is None for row, _, _ in local_accounts),
            "held_count": sum(held for _, _, held in local_accounts),
            "shared": describe_shared(server),
            "is_registered": server.state == ServerState.REGISTERED,
            "may_manage": may_manage,
            "may_download": may_manage and find_authorization(server) is not None,
            "server_url": self.server_url,
            "new_url": f"{self.onprem_url}new/",
        }

    def _facts(self) -> list[tuple[str, Any]]:
        server = self.server
        return [
            ("UUID", server.uuid),
            ("Virtual Account", server.virtual_account.name),
            ("Version of the server", server.ssms_version or "not told yet"),
        ]

    def _local_accounts(self) -> list[tuple[LocalAccount, VirtualAccount | None, int]]:
        """Each with the Virtual Account it is linked to, if the person may see that one, and what is held of it."""
        held = count_held(held_id=self.server.held_id)
        rows = list_local_accounts(actor=self.actor, server=self.server)
        return [(row, seen, held.get(row.pk, 0)) for row, seen in rows]


class ServerCertificateFile(ServerView):
    """One certificate of the server's files, as PEM."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        held = next((each for each in list_certificates(self.server) if each.key == self.kwargs["key"]), None)
        if held is None:
            raise NotFound("The server holds no such certificate.")
        response = HttpResponse(held.pem, content_type=PEM_TYPE)
        response["Content-Disposition"] = f'attachment; filename="{held.key}.pem"'
        return response


class ServerInstances(TableView, ServerTab):
    tab = "instances/"
    table_class = ServerInstanceTable
    filter_class = InstanceFilter
    template_name = "sync/servers/tab.html"

    def get_queryset(self) -> QuerySet[ProductInstance]:
        counted = Usage.objects.counted().filter(instance=OuterRef("pk")).order_by().values("instance")
        units = counted.annotate(total=Sum("quantity")).values("total")
        own = ProductInstance.objects.visible_to(self.actor).filter(origin=self.server.origin_id)
        return own.select_related("virtual_account").annotate(license_units=Coalesce(Subquery(units), Value(0)))

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url}


class ExchangeFilter(TableFilter):
    kind = ChoiceFilter(label="File", choices=[(kind.value, kind.label) for kind in ExchangeKind], empty_label="All")
    state = ChoiceFilter(
        label="Result", choices=[(state.value, state.label) for state in ExchangeState], empty_label="All"
    )


class ServerExchanges(TableView, ServerTab):
    tab = "exchanges/"
    table_class = ExchangeTable
    filter_class = ExchangeFilter
    template_name = "sync/servers/tab.html"

    def get_queryset(self) -> QuerySet[Exchange]:
        return Exchange.objects.visible_to(self.actor).filter(server=self.server)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"domain": self.smart_account.domain, "uuid": self.server.uuid}
