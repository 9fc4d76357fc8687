from django.apps import AppConfig


class SyncConfig(AppConfig):
    """On-prem servers: signed files in and out."""

    name = "sync"
    verbose_name = "On-prem servers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Services import models, which exist only now.
        from accounts.services.virtual_accounts import register_occupancy_check  # noqa: PLC0415  see above
        from licensing.services.devices.origins import register_reporters  # noqa: PLC0415  see above
        from sync.services.alerting import register_server_alerts  # noqa: PLC0415  see above
        from sync.services.servers import find_occupying_server, list_reporters  # noqa: PLC0415  see above
        from sync.services.vocabulary import register_sync_events  # noqa: PLC0415  see above

        register_sync_events()
        register_server_alerts()
        register_occupancy_check(find_occupying_server)
        register_reporters(list_reporters)
