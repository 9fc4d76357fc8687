"""Network synchronization and its schedule, against a portal that checks every header."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from agents.common.errors import AgentError, NetworkFailure, Refused, UsageError
from agents.onprem.network import Network, check_url
from agents.onprem.schedule import due_at, following, run_due, set_schedule
from tests.agents.certificates import key
from tests.agents.conftest import TAG
from tests.agents.onprem.conftest import Plant
from tests.agents.onprem.portal import FakePortal

URL = "https://portal.example/base"
Answering = Callable[[bytes], tuple[int, bytes]]


@dataclass
class Wire:
    """A Portal: checks the signature of each request as the description says, then answers."""

    plant: Plant
    answers: list[Answering] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def exchange(self, method: str, url: str, headers: dict[str, str], body: Path | None, answer: Path) -> int:
        assert body is not None
        content = body.read_bytes()
        path = f"/base/onprem/v1/{self.plant.server.instance_id}/synchronizations"
        assert url == f"https://portal.example{path}"
        signed = f"{method}\n{path}\n{headers['X-OnPrem-Timestamp']}\n{hashlib.sha256(content).hexdigest()}"
        signature = base64.b64decode(headers["X-OnPrem-Signature"], validate=True)
        key(6).public_key().verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.bodies.append(content)
        self.timestamps.append(int(headers["X-OnPrem-Timestamp"]))
        status, answered = (self.answers.pop(0) if self.answers else self.respond)(content)
        answer.write_bytes(answered)
        return status

    def respond(self, body: bytes) -> tuple[int, bytes]:
        self.plant.clock.advance(minutes=1)
        return 200, self.plant.portal.respond(body)

    @property
    def network(self) -> Network:
        return Network(self.plant.site, self, self.waits.append)


def lose(body: bytes) -> tuple[int, bytes]:
    raise NetworkFailure("lost")


def refuse(status: int, code: str) -> Answering:
    problem = f'{{"status": "ERROR", "errors": [{{"line": 3, "key": "x", "code": "{code}", "message": "so"}}]}}'
    return lambda body: (status, problem.encode())


@pytest.fixture
def wire(registered_plant: Plant) -> Wire:
    return Wire(registered_plant)


def test_a_synchronization_sends_a_file_and_installs_the_answer(wire: Wire, portal: FakePortal) -> None:
    wire.plant.register("FCW1").agent.authorize({TAG: 2})
    portal.three_tier = True
    outcome = wire.network.synchronize(url=URL)
    assert (outcome["installed"], outcome["three_tier"], outcome["full"]) == (True, True, False)
    assert b'"FCW1"' in wire.bodies[0]
    assert sorted(path.name for path in wire.plant.site.folder.outbox.iterdir()) == []
    wire.network.synchronize()
    assert b'"FCW1"' not in wire.bodies[1]


def test_timestamps_grow_although_the_clock_stands_still(wire: Wire, portal: FakePortal) -> None:
    wire.answers = [lose, lose, lose]
    for _ in range(3):
        with pytest.raises(NetworkFailure):
            wire.network.synchronize(url=URL)
    assert wire.timestamps == [wire.timestamps[0] + step for step in range(3)]


def test_a_request_whose_answer_was_lost_is_sent_again_as_it_was(wire: Wire, portal: FakePortal) -> None:
    wire.answers = [lose]
    with pytest.raises(NetworkFailure):
        wire.network.synchronize(url=URL)
    wire.plant.register("FCW1")
    wire.network.synchronize()
    assert wire.bodies[0] == wire.bodies[1]
    wire.network.synchronize()
    assert b'"FCW1"' in wire.bodies[2]


def test_where_the_portal_misses_a_file_everything_is_sent(wire: Wire, portal: FakePortal) -> None:
    wire.answers = [refuse(409, "SEQUENCE_GAP")]
    assert wire.network.synchronize(url=URL)["full"] is True
    assert b":last-sync: null" in wire.bodies[1]


def test_a_large_file_is_asked_for_until_it_is_done(wire: Wire, portal: FakePortal) -> None:
    busy: Answering = lambda body: (202, b'{"exchange": 1, "statusUrl": "/x"}')  # noqa: E731
    wire.answers = [busy, busy]
    assert wire.network.synchronize(url=URL)["installed"]
    assert len(set(wire.bodies)) == 1
    assert wire.waits == [2.0, 5.0]


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (refuse(403, "SERVER_REMOVED"), Refused, "SERVER_REMOVED"),
        (lambda body: (401, b""), Refused, "HTTP_401"),
        (lambda body: (404, b"<html>"), Refused, "HTTP_404"),
        (lambda body: (503, b""), NetworkFailure, "NETWORK"),
        (lambda body: (200, b"nonsense"), AgentError, "SIGNATURE_INVALID"),
    ],
)
def test_what_goes_wrong_is_told_and_changes_nothing(
    wire: Wire, answer: Answering, error: type[AgentError], code: str
) -> None:
    before = wire.plant.status
    wire.answers = [answer]
    with pytest.raises(error) as refusal:
        wire.network.synchronize(url=URL)
    assert refusal.value.code == code
    after = wire.plant.status
    assert {name for name in after if after[name] != before[name]} == {"last_generated", "portal_url"}
    assert wire.network.synchronize()["installed"]


@pytest.mark.parametrize("url", ["ftp://x", "portal.example", "https://u:p@x", "https://x/?a=1", "https://x:y"])
def test_only_the_address_of_a_portal_is_one(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)


def test_a_schedule_is_kept_by_the_minute(wire: Wire, portal: FakePortal) -> None:
    plant = wire.plant
    set_schedule(plant.site, every="daily", minute=3 * 60, url=URL)
    assert plant.status["next_sync_at"] == "2026-03-03T03:00:00.000Z"
    assert run_due(plant.site, wire.network.synchronize) is None
    plant.clock.time = datetime(2026, 3, 3, 2, 59, 59, tzinfo=UTC)
    assert run_due(plant.site, wire.network.synchronize) is None
    plant.clock.time = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
    assert run_due(plant.site, wire.network.synchronize)["installed"]  # type: ignore[index]  # it is due
    assert run_due(plant.site, wire.network.synchronize) is None
    assert plant.status["next_sync_at"] == "2026-03-04T03:00:00.000Z"


def test_what_was_missed_is_done_once(wire: Wire, portal: FakePortal) -> None:
    plant = wire.plant
    set_schedule(plant.site, every="weekly", minute=600, url=URL)
    plant.clock.advance(days=30)
    assert run_due(plant.site, wire.network.synchronize) is not None
    assert run_due(plant.site, wire.network.synchronize) is None
    assert plant.status["next_sync_at"] == "2026-04-06T10:00:00.000Z"


def test_a_failure_is_tried_again_every_hour_and_then_the_schedule_goes_on(wire: Wire, portal: FakePortal) -> None:
    plant = wire.plant
    set_schedule(plant.site, every="daily", minute=600, url=URL)
    plant.clock.time = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    wire.answers = [lose, lose]
    for hour in (11, 12):
        failed = run_due(plant.site, wire.network.synchronize)
        assert failed is not None
        assert failed["error_code"] == "NETWORK"
        assert plant.status["next_sync_at"] == f"2026-03-02T{hour}:00:00.000Z"
        plant.clock.time = datetime(2026, 3, 2, hour, 0, tzinfo=UTC)
    assert plant.status["warnings"] == ["2 synchronizations failed: NETWORK: lost"]
    assert run_due(plant.site, wire.network.synchronize)["installed"]  # type: ignore[index]  # it is due
    assert plant.status["warnings"] == []
    assert plant.status["next_sync_at"] == "2026-03-03T10:00:00.000Z"


@pytest.mark.parametrize(
    ("every", "start", "after", "expected"),
    [
        ("daily", "2026-12-31", "2026-12-31", "2027-01-01"),
        ("weekly", "2026-12-31", "2026-12-31", "2027-01-07"),
        ("weekly", "2026-12-31", "2027-01-09T05:00", "2027-01-14"),
        ("monthly", "2026-12-31", "2026-12-31", "2027-01-31"),
        ("monthly", "2026-01-31", "2026-01-31", "2026-02-28"),
        ("monthly", "2026-01-31", "2026-02-28", "2026-03-31"),
        ("monthly", "2026-11-30", "2026-11-30", "2026-12-30"),
        ("monthly", "2026-11-30", "2026-11-29", "2026-11-30"),
    ],
)
def test_the_time_after(every: str, start: str, after: str, expected: str) -> None:
    moments = [datetime.fromisoformat(each) for each in (start, after, expected)]
    assert following(every, *moments[:2]) == moments[2]


def test_a_weekly_one_that_failed_for_days_keeps_to_its_weekday(wire: Wire, portal: FakePortal) -> None:
    plant = wire.plant
    set_schedule(plant.site, every="weekly", minute=600, url=URL)
    plant.clock.time = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    wire.answers = [lose]
    assert run_due(plant.site, wire.network.synchronize) is not None
    plant.clock.time = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
    assert run_due(plant.site, wire.network.synchronize)["installed"]  # type: ignore[index]  # it is due
    assert plant.status["next_sync_at"] == "2026-03-09T10:00:00.000Z"


def test_a_schedule_needs_an_address_and_can_be_ended(registered_plant: Plant) -> None:
    site = registered_plant.site
    with pytest.raises(UsageError, match="--url"):
        set_schedule(site, every="daily", minute=0, url=None)
    set_schedule(site, every="daily", minute=0, url=URL)
    assert due_at(site) is not None
    ended: dict[str, Any] = set_schedule(site, every="off", minute=0, url=None)
    assert ended["schedule"] is None
    assert due_at(site) is None
    assert re.match("https://", registered_plant.server.portal_url)
