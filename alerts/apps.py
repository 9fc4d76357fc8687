from django.apps import AppConfig

from accounts.states import register_events
from cssm.common.text import mark


class AlertsConfig(AppConfig):
    name = "alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register_events(
            {
                "alert.dismissed": mark('The alert "{type}" of {source} was dismissed.'),
                "alert.restored": mark('The dismissed alert "{type}" of {source} was shown again.'),
                "subscription.changed": mark(
                    'Notifications of {recipient} about "{type}" in {place} were changed from {before} to {after}.'
                ),
            }
        )
