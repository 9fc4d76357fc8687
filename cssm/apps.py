from django.apps import AppConfig

# Every process that may nudge needs the app to be the current one, else nudges look for a broker on localhost.
import cssm.celery  # noqa: F401  imported for its effect


class ProjectConfig(AppConfig):
    """The project itself, for its management commands and templates."""

    name = "cssm"
    label = "cssm"
