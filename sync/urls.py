"""Where on-prem servers call."""

from django.urls import path

from sync.api.network import NetworkSynchronizationView

app_name = "sync"

urlpatterns = [
    path(
        "onprem/v1/<uuid:uuid>/synchronizations",
        NetworkSynchronizationView.as_view(),
        name="network-synchronization",
    ),
]
