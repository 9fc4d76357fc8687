from django.apps import AppConfig

from accounts.states import register_events
from licensing.states import OWNERSHIP_EVENTS


class LicensingConfig(AppConfig):
    name = "licensing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Services import models, which exist only now.
        from accounts.services.virtual_accounts import register_occupancy_check  # noqa: PLC0415  see above
        from licensing.services.devices.ha_groups import register_ha_succession  # noqa: PLC0415  see above
        from licensing.services.devices.notice_alerts import register_notices  # noqa: PLC0415  see above
        from licensing.services.devices.occupancy import find_devices  # noqa: PLC0415  see above
        from licensing.services.devices.tags import register_tag_events  # noqa: PLC0415  see above
        from licensing.services.devices.vocabulary import register_device_events  # noqa: PLC0415  see above
        from licensing.services.exchange.occupancy import find_conversions  # noqa: PLC0415  see above
        from licensing.services.exchange.rum.vocabulary import register_rum_events  # noqa: PLC0415  see above
        from licensing.services.insight.duplicate_alerts import register_duplicates  # noqa: PLC0415  see above
        from licensing.services.ownership.occupancy import describe_pools  # noqa: PLC0415  see above
        from licensing.services.ownership.term_alerts import register_term_alerts  # noqa: PLC0415  see above
        from licensing.services.pools.alerting import register_shortages  # noqa: PLC0415  see above
        from licensing.services.reservations.alerting import register_reservation_alerts  # noqa: PLC0415  see above
        from licensing.services.reservations.export_keys import register_export_keys  # noqa: PLC0415  see above
        from licensing.services.reservations.following import register_reserved_products  # noqa: PLC0415  see above
        from licensing.services.reservations.vocabulary import (  # noqa: PLC0415  see above
            register_reservation_events,
        )

        register_events(OWNERSHIP_EVENTS)
        register_shortages()
        register_term_alerts()
        register_duplicates()
        register_notices()
        register_device_events()
        register_tag_events()
        register_rum_events()
        register_reservation_events()
        register_reservation_alerts()
        register_ha_succession()
        register_reserved_products()
        register_export_keys()
        register_occupancy_check(describe_pools)
        register_occupancy_check(find_devices)
        register_occupancy_check(find_conversions)
