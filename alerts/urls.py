from django.urls import path

from alerts.views import alerts, preferences, unsubscribing

app_name = "alerts"

urlpatterns = [
    path("accounts/<str:domain>/alerts/", alerts.AlertList.as_view(), name="alerts"),
    path("accounts/<str:domain>/alerts/<int:pk>/dismiss/", alerts.DismissAlert.as_view(), name="dismiss"),
    path("accounts/<str:domain>/alerts/<int:pk>/restore/", alerts.RestoreAlert.as_view(), name="restore"),
    path("accounts/<str:domain>/preferences/", preferences.Preferences.as_view(), name="preferences"),
    path("accounts/<str:domain>/preferences/addresses/add/", preferences.AddAddress.as_view(), name="add_address"),
    path(
        "accounts/<str:domain>/preferences/addresses/<int:pk>/remove/",
        preferences.RemoveAddress.as_view(),
        name="remove_address",
    ),
    path("accounts/<str:domain>/preferences/messages/", preferences.DeliveryLog.as_view(), name="deliveries"),
    path("unsubscribe/<str:token>/", unsubscribing.Unsubscribe.as_view(), name="unsubscribe"),
]
