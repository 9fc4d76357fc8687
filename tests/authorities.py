"""The authorities of an installation, made by the product once for each moment and process, then put back as they were.

Making them stretches the root's passphrase and signs five certificates: for most tests that is longer than the rest.
"""

from datetime import datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction

from pki.services.authorities import bootstrap_authorities
from pki.states import KeyAlgorithm
from tests.keys import use_checked_in_keys

_made: dict[datetime, tuple[list[KeyAlgorithm], list[list[Any]]]] = {}


def prepare_authorities(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `bootstrap` leaves them in an empty database, with keys from `tests/keys`, from where later ones come, too."""
    if now in _made:
        taken, tables = _made[now]
        use_checked_in_keys(monkeypatch, after=taken)
        with transaction.atomic():
            for rows in tables:
                type(rows[0])._default_manager.bulk_create(rows)
        return
    taken = use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=now)
    models = apps.get_app_config("pki").get_models()
    stored = [list(model._default_manager.order_by("pk")) for model in models]
    _made[now] = (list(taken), [rows for rows in stored if rows])
