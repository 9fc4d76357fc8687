"""One on-prem server with a clock that the test moves, its portal, and products that reach it without a network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.onprem import enrolment, folder
from agents.onprem.enrolment import request_registration
from agents.onprem.folder import StateFolder
from agents.onprem.products import registration
from agents.onprem.products.service import answer
from agents.onprem.server import Server, Site, load_server
from agents.onprem.status import describe, list_instances
from agents.onprem.synchronization import install_authorization, install_sync, request_sync
from agents.onprem.tokens import create_token
from agents.smart_agent import client
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product
from tests.agents.certificates import Authority, key
from tests.agents.conftest import TAG, Clock, Device
from tests.agents.onprem.portal import FakePortal, account, owned

INSTANCE_ID = UUID("0b6b8ad3-1f0c-4f7e-9a1e-5f2d3c4b5a69")
SOFTWARE = "regid.2017-05.com.example.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"


@dataclass
class Line:
    """Carries a product's messages to the server (a Transport of the Smart Agent)."""

    site: Site
    root: Authority

    def send(self, body: bytes) -> bytes:
        return answer(self.site, body)


@dataclass
class Plant:
    """An on-prem server: each call is a new process with the same folder. Files lie in `desk`."""

    folder: Path
    desk: Path
    portal: FakePortal
    clock: Clock
    devices: list[Device] = field(default_factory=list)

    @property
    def site(self) -> Site:
        return Site(StateFolder(self.folder), self.clock)

    @property
    def server(self) -> Server:
        with self.site.folder.reading() as database:
            return load_server(database)

    @property
    def status(self) -> dict[str, Any]:
        return describe(self.site)

    @property
    def instances(self) -> list[dict[str, Any]]:
        return list_instances(self.site)

    def put(self, name: str, content: bytes) -> Path:
        path = self.desk / name
        path.write_bytes(content)
        return path

    def request_registration(self, **changes: Any) -> bytes:
        trust = self.put("root.pem", self.portal.root.pem.encode())
        chosen: dict[str, Any] = {"name": "Plant 1", "trust": trust, "hosts": [], "new_keys": False} | changes
        path = self.desk / "registration.yaml"
        request_registration(self.site, output=path, **chosen)
        return path.read_bytes()

    def install_authorization(self, content: bytes) -> dict[str, Any]:
        return install_authorization(self.site, self.put("authorization.yaml", content))

    def request_sync(self, *, full: bool = False) -> bytes:
        path = self.desk / "request.yaml"
        request_sync(self.site, full=full, output=path)
        return path.read_bytes()

    def install_sync(self, content: bytes) -> dict[str, Any]:
        return install_sync(self.site, self.put("response.yaml", content))

    def synchronize(self, *, full: bool = False) -> dict[str, Any]:
        """Request, answer, installation; returns the request as the portal read it."""
        self.clock.advance(minutes=10)
        self.install_sync(self.portal.respond(self.request_sync(full=full)))
        return self.portal.requests[-1]

    def device(self, serial: str, *, pid: str = "C9300-24UX", **about: Any) -> Device:
        """A product that is not registered yet."""
        return Device(self.desk / serial, Line(self.site, self.portal.root), self.clock)  # type: ignore[arg-type]

    def token(self, **changes: Any) -> str:
        chosen = {"days": 30, "uses": None, "description": ""} | changes
        name = chosen.pop("account", "Engineering")
        return str(create_token(self.site, name, **chosen)["token"])

    def register(self, serial: str, *, pid: str = "C9300-24UX", token: str | None = None, **about: Any) -> Device:
        """A product that is registered, and has acknowledged."""
        device = self.device(serial)
        device.register(product=product(serial, pid=pid, **about), token=token or self.token())
        device.agent.acknowledge()
        return device


def product(serial: str, *, pid: str = "C9300-24UX", **about: Any) -> Product:
    return Product(sudi=Sudi(udi_pid=pid, udi_serial_number=serial), software_tag=SOFTWARE, **about)


@pytest.fixture(autouse=True)
def product_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a key takes long. Server: 6, 7, 8, then 10 to 12; answers to products: 9 and 10; products: 11 and 12."""
    servers, answers, products = cycle((6, 7, 8, 10, 11, 12)), cycle((9, 10)), cycle((11, 12))

    def supply(numbers: Iterator[int]) -> Any:
        def generate() -> rsa.RSAPrivateKey:
            return key(next(numbers))

        return generate

    monkeypatch.setattr(folder, "generate_key", supply(servers))
    monkeypatch.setattr(registration, "generate_key", supply(answers))
    monkeypatch.setattr(client, "generate_key", supply(products))
    monkeypatch.setattr(enrolment, "uuid4", lambda: INSTANCE_ID)


@pytest.fixture
def portal(clock: Clock) -> FakePortal:
    return FakePortal(clock, accounts=account(1, "Engineering", owned(TAG, 10)))


@pytest.fixture
def plant(tmp_path: Path, portal: FakePortal, clock: Clock) -> Plant:
    (tmp_path / "desk").mkdir()
    return Plant(tmp_path / "onprem", tmp_path / "desk", portal, clock)


@pytest.fixture
def registered_plant(plant: Plant, portal: FakePortal) -> Plant:
    """Its authorization file is installed; it knows the Virtual Account Engineering with 10 licenses of TAG."""
    plant.install_authorization(portal.authorize(plant.request_registration()))
    return plant
