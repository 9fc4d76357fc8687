from django.apps import AppConfig


class PkiConfig(AppConfig):
    """Our certificate authority. It knows nothing of accounts or licenses."""

    name = "pki"
    verbose_name = "Certificate authority"
    default_auto_field = "django.db.models.BigAutoField"
