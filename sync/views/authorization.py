"""The authorization file of a server: what is to be done with it, and the file, for as long as it is kept."""

from typing import Final

from django.http import HttpRequest, HttpResponseBase

from cssm.common.downloads import send_file
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.views import Crumb, PageView
from sync.models import Exchange, OnPremServer
from sync.services.storage import StoredFile, file_name
from sync.states import ExchangeKind, ServerState, Side
from sync.views.servers import ServerView

YAML: Final = "application/yaml"
NOT_KEPT: Final = (
    "There is no authorization file to download: it is kept for 90 days. Let the server write a registration file, and"
    " upload that under “New On-Prem”."
)


class AuthorizationPage(ServerView, PageView):
    """`?download` is the file."""

    permission = Permission.MANAGE_ASSETS
    page_title = "Authorization file"
    template_name = "sync/servers/authorization.html"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(self.server.name, self.server_url)]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        exchange = find_authorization(self.server)
        if "download" in request.GET:
            if exchange is None:
                raise NotFound(NOT_KEPT)
            return answer_authorization(exchange)
        context = {
            "server": self.server,
            "exchange": exchange,
            "not_kept": NOT_KEPT,
            "file_name": file_name(exchange, Side.RESPONSE) if exchange else "",
            **self.get_three_tier(),
            "server_url": self.server_url,
            "onprem_url": self.onprem_url,
        }
        return self.render(context=context)


def find_authorization(server: OnPremServer) -> Exchange | None:
    """The newest of the present registration, where its files are still kept."""
    if server.state != ServerState.REGISTERED:
        return None
    answered = Exchange.objects.applied().filter(server=server, kind=ExchangeKind.REGISTRATION)
    kept = answered.filter(created_at__gte=server.registered_at, files_deleted_at__isnull=True)
    return kept.select_related("server").order_by("-pk").first()


def answer_authorization(exchange: Exchange) -> HttpResponseBase:
    return send_file(
        StoredFile(exchange, Side.RESPONSE),
        name=file_name(exchange, Side.RESPONSE),
        size=exchange.response_size,
        content_type=YAML,
    )
