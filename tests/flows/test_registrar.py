"""Registrations are answered by a process of their own, and nobody waits for it or is lost with it."""

import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cssm.registrar import NICENESS
from tests.flows.stack import Stack, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]

TAG = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A running product of this journey alone, for its end is looked at too."""
    stack = Stack(folder=tmp_path / "stack")
    stack.folder.mkdir()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


class Devices:
    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.token = next(t["token"] for t in stack.manage_json("seed_demo", "--json")["tokens"])
        stack.manage("export_trust", str(folder / "trust"))

    def register(self, serial: str, *more: str) -> Any:
        where = ["--url", self.stack.url, "--trust", str(self.folder / "trust" / "root.pem"), "--token", self.token]
        return self.stack.agent(self.folder / serial, "register", *where, "--pid", "C9300-24UX", "--sn", serial, *more)

    def begin_to_register(self, serial: str) -> threading.Thread:
        thread = threading.Thread(target=self.register, args=[serial])
        thread.start()
        return thread

    def state_of(self, serial: str) -> str:
        return str(self.stack.agent(self.folder / serial, "status")["registration"])


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


def find_registrar(stack: Stack) -> int | None:
    """The process, once it is loaded and has stepped back."""
    for pid in descendants(stack.commands["web"][0].pid):
        if b"cssm.registrar" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid if os.getpriority(os.PRIO_PROCESS, pid) >= NICENESS else None
    return None


def test_registrations_wait_for_their_process_and_nobody_else_does(own_stack: Stack, tmp_path: Path):
    devices = Devices(own_stack, tmp_path)
    registrar = wait_for(lambda: find_registrar(own_stack), seconds=60, what="the registrar")
    devices.register("FIRST")

    os.kill(registrar, signal.SIGSTOP)
    waiting = devices.begin_to_register("SECOND")
    own_stack.agent(tmp_path / "FIRST", "authorize", f"{TAG}=1")
    with urllib.request.urlopen(f"{own_stack.url}/login/", timeout=10) as page:  # noqa: S310  our own address
        assert page.status == 200
    waiting.join(1)
    assert waiting.is_alive()
    os.kill(registrar, signal.SIGCONT)
    waiting.join(30)
    assert devices.state_of("SECOND") == devices.state_of("FIRST")

    # It is killed at a message: that one is answered all the same, and so are those that follow.
    os.kill(registrar, signal.SIGSTOP)
    waiting = devices.begin_to_register("THIRD")
    waiting.join(1)
    assert waiting.is_alive()
    os.kill(registrar, signal.SIGKILL)
    waiting.join(30)
    assert devices.state_of("THIRD") == devices.state_of("FIRST")
    devices.register("FOURTH")

    def registers_anew() -> int | None:
        devices.register("FIFTH", "--force")
        return find_registrar(own_stack)

    successor = wait_for(registers_anew, seconds=60, what="another registrar")
    assert successor != registrar
    own_stack.manage("rebuild_pools", "--check")

    # Whoever stops the product tells all of its processes at once.
    os.kill(successor, signal.SIGTERM)
    os.kill(successor, signal.SIGINT)
    devices.register("SIXTH")
    assert find_registrar(own_stack) == successor
    web = own_stack.commands["web"][0]
    web.terminate()
    web.wait(30)
    assert not Path(f"/proc/{successor}").exists()
