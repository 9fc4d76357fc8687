from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running product, started once for all journeys of this worker."""
    folder: Path = tmp_path_factory.mktemp("stack")
    running = Stack(folder=folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def _figures_follow_from_the_records(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every journey, whatever it did, all figures are compared with the records."""
    running = request.getfixturevalue("stack") if "stack" in request.fixturenames else None
    yield
    if running is not None:
        running.manage("rebuild_pools", "--check")


@pytest.fixture(scope="session")
def demo(stack: Stack) -> dict[str, Any]:
    """The demo's logins, API clients and tokens, on the running product."""
    answer: dict[str, Any] = stack.manage_json("seed_demo", "--json")
    return answer


@pytest.fixture
def journey_of_one(stack: Stack, demo: dict[str, Any], tmp_path: Path) -> tuple[Stack, Path, Path]:
    """The running product, the state folder of one device registered to it, and the folder of the trust."""
    state, trust = tmp_path / "device", tmp_path / "trust"
    stack.manage("export_trust", str(trust))
    where = ["--url", stack.url, "--trust", str(trust / "root.pem"), "--token", demo["tokens"][0]["token"]]
    stack.agent(state, "register", *where, "--pid", "C9300-24UX", "--sn", f"SSL{tmp_path.name[-12:]}")
    return stack, state, trust
