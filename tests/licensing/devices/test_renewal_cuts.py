"""The connection is cut, or the product dies, at every message of a renewal: no product is ever stranded."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import AgentError, NetworkFailure
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product, StateStore
from licensing.models import InstanceKey, ProductInstance
from licensing.services.exchange.dispatch import answer_message
from licensing.states import InstanceState, KeyState
from pki.services.authorities import read_pem
from pki.states import AuthorityName

PRODUCT = Product(sudi=Sudi(udi_pid="C9300-24UX", udi_serial_number="FCW2134L0RN"), software_tag="SOFTWARE")
FATES = ["request lost", "answer lost", "crash before", "crash after"]


class Crash(BaseException):
    """The power went off."""


@dataclass
class Line:
    """Carries messages to the server; `cut` maps the number of a message from now on to its fate."""

    now: datetime
    cut: dict[int, str] = field(default_factory=dict)
    sent: int = 0

    def send(self, body: bytes) -> bytes:
        fate = self.cut.get(self.sent, "")
        self.sent += 1
        if fate == "crash before":
            raise Crash
        if fate == "request lost":
            raise NetworkFailure(fate)
        answer = answer_message(body=body, source_ip="192.0.2.1", now=self.now)
        if fate == "crash after":
            raise Crash
        if fate == "answer lost":
            raise NetworkFailure(fate)
        return answer


@dataclass
class Box:
    """A product: each call is a new process with the same folder."""

    folder: Path
    line: Line

    @property
    def agent(self) -> SmartAgent:
        return SmartAgent(StateStore(self.folder), connect=lambda url: self.line, clock=lambda: self.line.now)

    def attempt(self, command: str) -> bool:
        try:
            getattr(self.agent, command)()
        except (AgentError, Crash):
            return False
        return True


@pytest.fixture
def box(token, now, tmp_path) -> Box:
    box = Box(tmp_path / "state", Line(now))
    box.agent.register(url="http://x", root=read_pem(AuthorityName.ROOT), product=PRODUCT, token=token)
    box.agent.acknowledge()
    box.line.now += timedelta(days=180)
    box.line.sent = 0
    return box


@pytest.mark.parametrize("follows", ["renew", "authorize"])
@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("message", [0, 1])
def test_one_cut_anywhere_is_mended_by_the_next_attempt(box, message, fate, follows):
    box.line.cut = {message: fate}
    assert not box.attempt("renew")
    box.line.now += timedelta(hours=1)
    assert box.attempt(follows)
    box.line.now += timedelta(hours=1)
    assert box.attempt("renew")
    assert box.attempt("authorize")
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED
    known = InstanceKey.objects.get(state=KeyState.CURRENT)
    status = box.agent.status()
    assert (status["id_cert_serial_number"], status["renewal_pending"]) == (known.id_cert_serial, False)


@pytest.mark.parametrize("fates", [(a, b) for a in FATES for b in FATES])
def test_cuts_one_after_the_other_leave_an_identity_that_is_accepted(box, fates):
    box.line.cut = dict(enumerate(fates * 3))
    for command in ("renew", "authorize", "renew", "renew", "authorize", "renew"):
        box.attempt(command)
        box.line.now += timedelta(days=1)
    box.line.cut = {}
    assert box.attempt("authorize")
    assert box.attempt("renew")
    assert box.attempt("authorize")
    assert ProductInstance.objects.get().state == InstanceState.REGISTERED


def test_a_lost_final_acknowledgement_strands_nobody_who_comes_back_months_later(box):
    box.line.cut = {1: "crash after"}
    assert not box.attempt("renew")
    box.line.now += timedelta(days=100)
    assert box.attempt("authorize")


def test_a_folder_restored_from_before_the_renewal_still_renews_within_a_week(box):
    before = {path.name: path.read_bytes() for path in box.folder.iterdir()}
    assert box.attempt("renew")
    for path in box.folder.iterdir():
        path.unlink()
    for name, content in before.items():
        (box.folder / name).write_bytes(content)
    box.line.now += timedelta(days=6)
    assert box.attempt("renew")
    assert box.attempt("authorize")
