"""Where on-prem servers call, and the portal's pages about them."""

from django.urls import path

from sync.api.network import NetworkSynchronizationView
from sync.views import authorization, new_server, server_actions, server_pages, servers

app_name = "sync"

ONPREM = "accounts/<str:domain>/onprem/"
SERVER = f"{ONPREM}<uuid:uuid>/"

network_urlpatterns = [
    path(
        "onprem/v1/<uuid:uuid>/synchronizations",
        NetworkSynchronizationView.as_view(),
        name="network-synchronization",
    ),
]

server_urlpatterns = [
    path(ONPREM, servers.OnPremAccounts.as_view(), name="onprem"),
    path(f"{ONPREM}new/", new_server.NewServer.as_view(), name="onprem-new"),
    path(SERVER, server_pages.ServerPage.as_view(), name="onprem-server"),
    path(f"{SERVER}instances/", server_pages.ServerInstances.as_view(), name="onprem-instances"),
    path(f"{SERVER}exchanges/", server_pages.ServerExchanges.as_view(), name="onprem-exchanges"),
    path(f"{SERVER}authorization/", authorization.AuthorizationPage.as_view(), name="onprem-authorization"),
    path(
        f"{SERVER}certificates/<slug:key>.pem",
        server_pages.ServerCertificateFile.as_view(),
        name="onprem-certificate",
    ),
    path(f"{SERVER}rename/", server_actions.RenameServer.as_view(), name="onprem-rename"),
    path(f"{SERVER}remove/", server_actions.RemoveServer.as_view(), name="onprem-remove"),
]

urlpatterns = [*network_urlpatterns, *server_urlpatterns]
