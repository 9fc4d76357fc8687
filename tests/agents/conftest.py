"""One product with a clock that the test moves, talking to a license service in memory."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from agents.smart_agent import client
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product, StateStore
from tests.agents.certificates import NOW, key
from tests.agents.fake_server import FakeServer

PRODUCT = Product(
    sudi=Sudi(udi_pid="C9300-24UX", udi_serial_number="FCW2134L0RN"),
    software_tag="regid.2017-05.com.example.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72",
    hostname="edge-1",
)
URL = "https://portal.example"
TOKEN = "dG9rZW4="
TAG = "regid.2017-03.com.example.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"


@dataclass
class Clock:
    time: datetime = NOW

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass
class Device:
    """A product that can be switched off and on: each call is a new process with the same folder."""

    folder: Path
    server: FakeServer
    clock: Clock

    @property
    def store(self) -> StateStore:
        return StateStore(self.folder)

    @property
    def agent(self) -> SmartAgent:
        return SmartAgent(self.store, connect=lambda url: self.server, clock=self.clock)

    def register(self, **changes: Any) -> dict[str, Any]:
        chosen: dict[str, Any] = {
            "url": URL,
            "root": self.server.root.pem,
            "product": PRODUCT,
            "token": TOKEN,
        } | changes
        return self.agent.register(**chosen)

    @property
    def states(self) -> tuple[str, str]:
        status = self.agent.status()
        return status["registration"], status["authorization"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> FakeServer:
    """Its clock is right, whatever the product's says."""
    return FakeServer(clock=lambda: NOW)


@pytest.fixture(autouse=True)
def product_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a key takes long: products take those from 7 on, over and over."""
    supply = cycle(range(7, 13))
    monkeypatch.setattr(client, "generate_key", lambda: key(next(supply)))


@pytest.fixture
def device(tmp_path: Path, server: FakeServer, clock: Clock) -> Device:
    return Device(tmp_path / "state", server, clock)


@pytest.fixture
def registered(device: Device) -> Device:
    device.register()
    return device
