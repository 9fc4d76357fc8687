from collections.abc import Callable
from datetime import datetime

import pytest

from accounts.models import SmartAccount, User
from accounts.services.actors import actor_for_user
from licensing.services.devices.tokens import create_token
from tests.authorities import prepare_authorities
from tests.model.world import World


@pytest.fixture
def make_world(
    alice: User,
    mallory: User,
    acme: SmartAccount,
    umbrella: SmartAccount,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., World]:
    """A world with the catalog of the model and the Virtual Accounts named; products can register into A1 and B1."""
    prepare_authorities(now, monkeypatch)

    def make(*names: str) -> World:
        world = World(
            admins={"A": actor_for_user(alice), "B": actor_for_user(mallory)},
            smart_accounts={"A": acme, "B": umbrella},
        )
        world.open(names, now)
        for name in ("A1", "B1"):
            actor, account = world.admins[name[0]], world.find(name)
            world.tokens[name] = create_token(actor=actor, virtual_account=account, lifetime_days=9999, now=now)[1]
        return world

    return make
