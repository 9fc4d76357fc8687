"""The WSGI application that granian serves."""

import os

from celery import current_app
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")

application = get_wsgi_application()


def load_ahead() -> None:
    """What the first requests would wait for, all at once: every URL's view, and the clients of broker and cache."""
    get_resolver().check()
    current_app.connection_for_write().get_transport_cls()
    current_app.loader.import_default_modules()
    _ = current_app.backend


load_ahead()
