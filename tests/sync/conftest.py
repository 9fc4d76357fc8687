"""An on-prem server of Engineering, with its licenses and whoever may manage it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
import yaml

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.actor import Actor
from licensing.models import License, LicenseFamily, Pool
from licensing.states import LicenseType
from sync.models import Exchange, OnPremServer
from sync.services.imports import synchronize
from sync.services.receiving import receive_upload
from sync.services.registration import register_server
from sync.services.storage import StoredFile
from sync.states import Side
from tests.authorities import prepare_authorities
from tests.sync.files import Server

PIECE = 1000


@pytest.fixture
def authorities(db: None, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_authorities(now, monkeypatch)


@pytest.fixture
def admin_actor(acme: SmartAccount, alice: User) -> Actor:
    return actor_for_user(alice)


@pytest.fixture
def license(db: None) -> License:
    return License.objects.create(
        tag="tag_a",
        family=LicenseFamily.objects.create(name="a"),
        display_name="License A",
        default_type=LicenseType.PERPETUAL,
    )


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[n : n + PIECE] for n in range(0, len(data), PIECE))


def read_response(exchange: Exchange) -> dict[str, Any]:
    """The content of the response, every scalar as text."""
    return parse(b"".join(StoredFile(exchange, Side.RESPONSE)))


def parse(data: bytes) -> dict[str, Any]:
    content, _ = yaml.load_all(data, Loader=yaml.BaseLoader)
    assert isinstance(content, dict)
    return content


class Plant:
    """A server as its people use it: files carried to the portal by `actor`, answers installed."""

    def __init__(self, actor: Actor, virtual_account: VirtualAccount, now: datetime, **options: Any) -> None:
        self.actor, self.virtual_account, self.now = actor, virtual_account, now
        self.server = Server(**options)
        self.generated = now

    def register(self, data: bytes | None = None, **options: Any) -> Exchange:
        with receive_upload(pieces(data or self.server.registration())) as upload:
            exchange = register_server(
                actor=options.pop("actor", self.actor),
                virtual_account=options.pop("virtual_account", self.virtual_account),
                upload=upload,
                now=options.pop("now", self.now),
                **options,
            )
        self.server.install(read_response(exchange))
        return exchange

    @property
    def row(self) -> OnPremServer:
        return OnPremServer.objects.get(uuid=self.server.uuid)

    def write(self, *accounts: str, **options: Any) -> bytes:
        """The next file, written a minute later than the one before."""
        self.generated += timedelta(minutes=1)
        generated = options.pop("generated", f"{self.generated.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z")
        return self.server.synchronization(*accounts, generated=generated, **options)

    def upload(self, data: bytes, **options: Any) -> Exchange:
        with receive_upload(pieces(data)) as upload:
            return synchronize(
                actor=options.pop("actor", self.actor),
                server=self.row,
                upload=upload,
                now=options.pop("now", self.now),
                **options,
            )

    def install(self, exchange: Exchange) -> dict[str, Any]:
        response = read_response(exchange)
        self.server.install(response)
        return response

    def synchronize(self, *accounts: str, **options: Any) -> dict[str, Any]:
        moment = options.pop("now", self.now)
        return self.install(self.upload(self.write(*accounts, **options), now=moment))


@pytest.fixture
def plant(authorities: None, admin_actor: Actor, engineering: VirtualAccount, now: datetime) -> Plant:
    return Plant(admin_actor, engineering, now)


@pytest.fixture
def registered(plant: Plant) -> Plant:
    plant.register()
    return plant


@pytest.fixture
def in_use(license: License, engineering: VirtualAccount, now: datetime) -> Callable[..., int]:
    def read(account: VirtualAccount = engineering, at: datetime = now) -> int:
        pool = Pool.objects.filter(license=license, virtual_account=account).with_figures(at).first()
        return 0 if pool is None else pool.now_in_use

    return read


@pytest.fixture
def travel(now: datetime) -> Iterator[Any]:
    with time_machine.travel(now, tick=False) as traveller:
        yield traveller
