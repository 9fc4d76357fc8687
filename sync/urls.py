"""Where on-prem servers call, and the portal's pages about them."""

from typing import Any, Final

from django.urls import include, path

from sync.api.network import NetworkSynchronizationView
from sync.views import exchanges, files

app_name = "sync"

AREA: Final = "accounts/<str:domain>/onprem/"

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

file_pages: list[Any] = [
    path(f"{AREA}upload/", files.FileInbox.as_view(), name="onprem-upload"),
    path(f"{AREA}<uuid:uuid>/exchanges/<int:exchange>/", include(exchange_pages)),
]

urlpatterns: list[Any] = [
    path(
        "onprem/v1/<uuid:uuid>/synchronizations",
        NetworkSynchronizationView.as_view(),
        name="network-synchronization",
    ),
    *file_pages,
]
