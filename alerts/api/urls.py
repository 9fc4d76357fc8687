"""Paths of the calls about alerts, below the version."""

from django.urls import URLPattern, URLResolver, path

from accounts.api.urls import ACCOUNT
from alerts.api import alerts, notification_settings

v1: list[URLPattern | URLResolver] = [
    path(f"{ACCOUNT}/alerts", alerts.AlertsView.as_view()),
    path(f"{ACCOUNT}/alerts/<int:alert_id>/dismiss", alerts.DismissalView.as_view()),
    path(f"{ACCOUNT}/notification-settings", notification_settings.NotificationSettingsView.as_view()),
    path(f"{ACCOUNT}/alerts/<int:alert_id>/restore", alerts.RestorationView.as_view()),
]
