"""The WSGI application that granian serves."""

import os

from celery import current_app
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")

application = get_wsgi_application()


def load_ahead() -> None:
    """What the first requests would wait for, all at once: every URL's view, the clients of the broker and the cache."""
    assert get_resolver().url_patterns
    current_app.connection_for_write().get_transport_cls()
    assert current_app.backend is not None


load_ahead()
