"""Where on-prem servers call, and the portal's pages about them."""

from typing import Any, Final

from django.urls import include, path

from sync.api.network import NetworkSynchronizationView
from sync.views import authorization, exchanges, files, new_server, server_actions, server_pages, servers

app_name = "sync"

ONPREM: Final = "accounts/<str:domain>/onprem/"
SERVER: Final = f"{ONPREM}<uuid:uuid>/"

exchange_pages: list[Any] = [
    path("", exchanges.ExchangePage.as_view(), name="onprem-exchange"),
    path("progress/", exchanges.ExchangeProgress.as_view(), name="onprem-exchange-progress"),
    path("instances/", exchanges.ExchangeInstances.as_view(), name="onprem-exchange-instances"),
    path("licenses/", exchanges.ExchangeLicenses.as_view(), name="onprem-exchange-licenses"),
    path("cancel/", exchanges.CancelExchange.as_view(), name="onprem-exchange-cancel"),
    path("apply/", exchanges.ApplyExchange.as_view(), name="onprem-exchange-apply"),
    path("request/", exchanges.ExchangeFile.as_view(), {"side": "request"}, name="onprem-exchange-request"),
    path("response/", exchanges.ExchangeFile.as_view(), {"side": "response"}, name="onprem-exchange-response"),
]

server_pages_of_one: list[Any] = [
    path("", server_pages.ServerPage.as_view(), name="onprem-server"),
    path("instances/", server_pages.ServerInstances.as_view(), name="onprem-instances"),
    path("exchanges/", server_pages.ServerExchanges.as_view(), name="onprem-exchanges"),
    path("exchanges/<int:exchange>/", include(exchange_pages)),
    path("authorization/", authorization.AuthorizationPage.as_view(), name="onprem-authorization"),
    path("certificates/<slug:key>.pem", server_pages.ServerCertificateFile.as_view(), name="onprem-certificate"),
    path("local-accounts/<int:local>/link/", server_actions.LinkAccount.as_view(), name="onprem-link"),
    path("rename/", server_actions.RenameServer.as_view(), name="onprem-rename"),
    path("remove/", server_actions.RemoveServer.as_view(), name="onprem-remove"),
]

urlpatterns: list[Any] = [
    path(
        "onprem/v1/<uuid:uuid>/synchronizations",
        NetworkSynchronizationView.as_view(),
        name="network-synchronization",
    ),
    path(ONPREM, servers.OnPremAccounts.as_view(), name="onprem"),
    path(f"{ONPREM}new/", new_server.NewServer.as_view(), name="onprem-new"),
    path(f"{ONPREM}upload/", files.FileInbox.as_view(), name="onprem-upload"),
    path(SERVER, include(server_pages_of_one)),
]
