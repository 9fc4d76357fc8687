from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "cssm.common"
    label = "common"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cssm.common import checks  # noqa: F401, PLC0415  registering system checks is what ready() is for
