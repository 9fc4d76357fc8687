"""Products, tokens and licenses for the tests of licensing."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.apps import apps

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import License, LicenseFamily
from licensing.services.devices.tokens import create_token
from licensing.states import LicenseType
from tests.authorities import prepare_authorities
from tests.licensing.device_driver import Device


@pytest.fixture
def authorities(db: None, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_authorities(now, monkeypatch)


@pytest.fixture
def token(authorities: None, alice: User, engineering: VirtualAccount, now: datetime) -> str:
    """A token of Engineering with unlimited uses."""
    _, value = create_token(actor=actor_for_user(alice), virtual_account=engineering, description="lab", now=now)
    return value


@pytest.fixture
def foreign_token(authorities: None, mallory: User, umbrella: SmartAccount, now: datetime) -> str:
    """A token of the DEFAULT account of Umbrella."""
    default = VirtualAccount.objects.get(smart_account=umbrella)
    _, value = create_token(actor=actor_for_user(mallory), virtual_account=default, lifetime_days=365, now=now)
    return value


@pytest.fixture
def device(token: str, now: datetime) -> Device:
    return Device(now)


@pytest.fixture
def registered(device: Device, token: str) -> Device:
    """A product of Engineering that has acknowledged its registration."""
    assert device.register(token).code is None
    assert device.ack().code is None
    return device


@pytest.fixture
def make_license(db: None) -> Callable[..., License]:
    def make(tag: str, **values: Any) -> License:
        family = LicenseFamily.objects.create(name=tag)
        return License.objects.create(
            **{"tag": tag, "family": family, "display_name": tag.title(), "default_type": LicenseType.PERPETUAL}
            | values
        )

    return make


@pytest.fixture
def count_rows() -> Callable[[], dict[str, int]]:
    """How many rows each table of ours has: what a refusal must not change."""

    def count() -> dict[str, int]:
        labels = ("licensing", "pki", "accounts", "alerts", "common")
        models = [model for label in labels for model in apps.get_app_config(label).get_models()]
        return {model._meta.label: model._default_manager.count() for model in models}

    return count
