"""`convert` and `poll` of the reference agent, against a license service in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.smart_agent.conversions import Line, convert, poll
from agents.smart_agent.errors import NetworkFailure, Refused, UsageError, VerificationFailed
from agents.smart_agent.runner import Runner
from tests.agents.conftest import Clock, Device
from tests.agents.fake_server import FakeServer, Instance, Json
from tests.agents.test_program import Program, program  # noqa: F401  a fixture

LINES = [Line("TRUST_BASED", "tag,1", 5), Line("LICENSE_FILE", "tag,2", 1, "INCREMENT x\n")]


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> Json:
    """What the service says of conversions: first that it is at work, then what a test puts here."""
    results: Json = {}

    def _pending(self: FakeServer, request: Json, instance: Instance) -> Json:
        return {"poll_id": 2**62 + 1, "poll_interval": 30}

    def _poll(self: FakeServer, request: Json, instance: Instance) -> Json:
        assert request["data"]["poll_id"] == 2**62 + 1
        return results or _pending(self, request, instance)

    def pack(self: FakeServer, request: Json, piid: Any, data: Json, *rest: Any, **more: Any) -> bytes:
        self.alter_text = (lambda text: text.update(status_code="OK_POLL")) if "poll_id" in data else None
        return original(self, request, piid, data, *rest, **more)

    original = FakeServer._pack
    monkeypatch.setattr(FakeServer, "_do_conversion", _pending, raising=False)
    monkeypatch.setattr(FakeServer, "_do_poll", _poll, raising=False)
    monkeypatch.setattr(FakeServer, "_pack", pack)
    return results


def test_a_conversion_is_asked_for_and_its_result_fetched(registered: Device, server: FakeServer, answers: Json):
    status = convert(registered.agent, LINES)["conversion"]
    assert (status["status"], status["poll_id"]) == ("PENDING", 2**62 + 1)
    data = server.texts[-1]["data"]
    assert data["conversion_lines"] == [
        {"conversion_type": "TRUST_BASED", "entitlement_tag": "tag,1", "count": 5},
        {"conversion_type": "LICENSE_FILE", "entitlement_tag": "tag,2", "count": 1, "payload": "INCREMENT x\n"},
    ]
    assert poll(registered.agent)["conversion"]["status"] == "PENDING"
    answers.update(conversion_status="FAILED", status_message="because")
    assert poll(registered.agent)["conversion"] == {
        "status": "FAILED", "message": "because", "poll_id": None, "poll_at": None,
    }  # fmt: skip
    with pytest.raises(UsageError, match="Nothing is pending"):
        poll(registered.agent)


def test_an_answer_that_was_lost_is_asked_for_with_the_same_bytes(registered: Device, server: FakeServer):
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        convert(registered.agent, LINES)
    convert(registered.agent, LINES)
    assert server.received[-1] == server.received[-2]


def test_a_new_registration_forgets_what_only_the_old_one_could_ask_for(registered: Device):
    convert(registered.agent, LINES)
    registered.agent.deregister()
    assert registered.agent.status()["conversion"] is None


def test_an_answer_without_what_belongs_in_it_is_not_believed(registered: Device, answers: Json):
    convert(registered.agent, LINES)
    answers.update(status_message="no status")
    with pytest.raises(VerificationFailed):
        poll(registered.agent)
    assert registered.agent.status()["conversion"]["status"] == "PENDING"


@pytest.mark.parametrize(
    ("code", "signed", "status"),
    [("POLL_UNKNOWN", True, "UNKNOWN"), ("POLL_UNKNOWN", False, "PENDING"), ("INTERNAL", True, "PENDING")],
)
def test_only_a_signed_answer_that_nothing_is_pending_is_believed(
    registered: Device, server: FakeServer, code: str, signed: bool, status: str
):
    convert(registered.agent, LINES)
    server.refuse, server.refuse_signed = code, signed
    with pytest.raises(Refused):
        poll(registered.agent)
    assert registered.agent.status()["conversion"]["status"] == status


def test_run_polls_when_the_server_said_and_hourly_after_a_failure(
    registered: Device, server: FakeServer, clock: Clock, answers: Json
):
    registered.agent.acknowledge()
    convert(registered.agent, LINES)
    runner = Runner(registered.agent)
    assert runner.next_at() == registered.agent.now() + 30_000
    clock.advance(seconds=30)
    server.lose = ["request"]
    assert [line.name for line in runner.step()] == ["POLL_FAILED"]
    assert runner.next_at() == registered.agent.now() + 3_600_000
    answers.update(conversion_status="FAILED", status_message="because")
    clock.advance(hours=1)
    [line] = runner.step()
    assert (line.name, line.text) == ("CONVERSION_FAILED", "because")
    assert runner.step() == []


def test_the_commands(program: Program, tmp_path: Path, answers: Json):  # noqa: F811  the fixture
    program.run(*program.register())
    file = tmp_path / "license.lic"
    file.write_text("INCREMENT x\n")
    code, out, _ = program.run("convert", "tag,1=5", "--license-file", "tag,2=1", str(file))
    assert (code, out.startswith("Taken; ask for the result with poll")) == (0, True)
    answers.update(conversion_status="COMPLETED", status_message="")
    assert program.run("poll")[1] == "Conversion COMPLETED.\n"
    assert program.json("status")["conversion"]["status"] == "COMPLETED"
    for wrong in (["convert"], ["convert", "--license-file", "tag=1", "nowhere"], ["poll"]):
        assert program.run(*wrong)[0] == 2
    assert json.loads(program.run("poll", "--json")[1])["ok"] is False
