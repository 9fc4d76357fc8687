"""The WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from cssm.celery import app, load_clients

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")

application = get_wsgi_application()


def load_ahead() -> None:
    """What the first requests would wait for, all at once: every URL's view, and the clients of broker and cache."""
    get_resolver().check()
    load_clients()
    app.loader.import_default_modules()


load_ahead()
