"""The command `rum`: reports that wait until the server has them, signed by the key of the ID certificate."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from agents.smart_agent.cli import main
from agents.smart_agent.errors import NetworkFailure, UsageError
from agents.smart_agent.fleet import VirtualClock, walk
from agents.smart_agent.runner import Runner
from agents.smart_agent.schedule import DAY
from agents.smart_agent.usage import report_usage, save_usage
from tests.agents.conftest import TAG, Clock, Device
from tests.agents.fake_server import FakeServer


@pytest.fixture
def taken(server: FakeServer) -> list[dict[str, Any]]:
    """What the server was handed; it acknowledges all but those whose payload holds "bad"."""
    handed: list[dict[str, Any]] = []

    def take(request: Any, instance: Any) -> dict[str, Any]:
        told = []
        for one in request["data"]["reports"]:
            instance.key.verify(
                base64.b64decode(one["signature"]["value"]),
                one["payload"].encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
            content = json.loads(one["payload"])
            known = content in handed
            status = "SIGNATURE_INVALID" if "bad" in one["payload"] else "DUPLICATE" if known else "ACCEPTED"
            handed.append(content)
            told.append({"report_id": content["asset_identification"]["report_id"], "status": status})
        return {"acknowledgements": told}

    server._do_rum_report = take  # type: ignore[attr-defined]  # a message that it does not know by itself
    return handed


def times(content: dict[str, Any]) -> tuple[int, int, str]:
    [one] = content["measurements"]
    return one["start_time"], one["end_time"], one["value"]["value"]


def test_what_is_in_use_is_reported_since_the_last_report(registered: Device, taken: list[Any], clock: Clock) -> None:
    registered.agent.authorize({TAG: 2})
    clock.advance(hours=1)
    first = report_usage(registered.agent)["reports"]
    clock.advance(hours=2)
    report_usage(registered.agent, {TAG: 5})
    assert [one["status"] for one in first] == ["ACCEPTED"]
    assert registered.store.read().rum.waiting == []
    (start, middle, count), (again, end, later) = map(times, taken)
    assert (middle - start, again, end - again) == (3600, middle, 7200)
    assert (count, later) == ("2", "5")
    ids = [content["asset_identification"]["report_id"] for content in taken]
    assert ids[0] < ids[1]


def test_a_report_whose_answer_was_lost_is_sent_again_and_is_a_duplicate(
    registered: Device, taken: list[Any], server: FakeServer, clock: Clock
) -> None:
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        report_usage(registered.agent, {TAG: 1}, seconds=60)
    assert len(registered.store.read().rum.waiting) == 1
    clock.advance(hours=1)
    told = report_usage(registered.agent, {TAG: 1})["reports"]
    assert [one["status"] for one in told] == ["DUPLICATE", "ACCEPTED"]
    assert registered.store.read().rum.waiting == []


def test_a_report_that_is_refused_waits_on(registered: Device, taken: list[Any]) -> None:
    told = report_usage(registered.agent, {TAG: 1, "bad": 1}, seconds=60)["reports"]
    assert [one["status"] for one in told] == ["ACCEPTED", "SIGNATURE_INVALID"]
    assert [one.tag for one in registered.store.read().rum.waiting] == ["bad"]


def test_what_was_refused_stands_behind_what_was_never_sent(
    registered: Device, taken: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.smart_agent.usage_reports.MOST_AT_ONCE", 2)
    report_usage(registered.agent, {"bad1": 1, "bad2": 1, TAG: 1}, seconds=60)
    assert [one.tag for one in registered.store.read().rum.waiting] == [TAG, "bad1", "bad2"]
    report_usage(registered.agent, {})
    assert [one.tag for one in registered.store.read().rum.waiting] == ["bad2", "bad1"]


def test_what_was_not_reported_for_years_is_reported_in_parts_of_a_year(
    registered: Device, taken: list[Any], clock: Clock
) -> None:
    """No report may reach over more than 366 days."""
    report_usage(registered.agent, {TAG: 2}, seconds=60)
    clock.advance(days=520)
    content, _ = save_usage(registered.agent, {TAG: 2})
    payloads = [json.loads(json.loads(one.text)["payload"]) for one in etree.fromstring(content)]
    (start, middle, _), (again, end, _) = map(times, payloads)
    assert (middle - start, again, end - start) == (365 * 86_400, middle, 520 * 86_400)


@pytest.fixture
def virtual(registered: Device) -> VirtualClock:
    clock = VirtualClock(registered.clock.time)
    registered.clock = clock  # type: ignore[assignment]  # it is called like the other one
    registered.server.clock = clock
    registered.server.stock = {TAG: 5}
    registered.agent.acknowledge()
    return clock


def heard(registered: Device, clock: VirtualClock, days: float, **options: Any) -> list[tuple[float, str]]:
    runner, start = Runner(registered.agent, **options), clock.milliseconds
    lines = [said.line for said in walk([runner], clock=clock, days=days)]
    return [((line.at - start) / DAY, line.name) for line in lines if line.name.startswith("USAGE")]


def test_a_running_product_reports_every_so_many_days(
    registered: Device, virtual: VirtualClock, taken: list[Any]
) -> None:
    registered.agent.authorize({TAG: 1})
    assert heard(registered, virtual, 25, report_every=10 * DAY) == [
        (10.0, "USAGE_REPORT_SUCCESS"),
        (20.0, "USAGE_REPORT_SUCCESS"),
    ]
    first, second = map(times, taken)
    assert (first[1], second[1] - second[0]) == (second[0], 10 * 86_400)
    # The next start goes on where this one ended, until it is told to report no more.
    assert heard(registered, virtual, 6) == [(5.0, "USAGE_REPORT_SUCCESS")]
    assert heard(registered, virtual, 40, report_every=0) == []


def test_a_report_that_fails_is_tried_again_in_23_hours_and_one_that_is_refused_is_told_of(
    registered: Device, virtual: VirtualClock, taken: list[Any]
) -> None:
    registered.agent.authorize({"bad": 1})
    days = [10.0, 10.958333, 11.916667]
    unreachable = heard(registered, virtual, 12, report_every=10 * DAY, is_reachable=lambda now: False)
    assert [(round(at, 6), name) for at, name in unreachable] == [(at, "USAGE_REPORT_FAILED") for at in days]
    assert [name for _, name in heard(registered, virtual, 1)] == ["USAGE_REPORT_SUCCESS", "USAGE_REPORT_REFUSED"]


def test_a_change_of_use_ends_what_is_measured_where_reports_are_scheduled(
    registered: Device, virtual: VirtualClock, taken: list[Any]
) -> None:
    registered.agent.authorize({TAG: 1})
    heard(registered, virtual, 4, report_every=10 * DAY)
    registered.agent.authorize({TAG: 5})
    heard(registered, virtual, 11)
    parts = [times(content) for content in taken]
    assert [(end - start, count) for start, end, count in parts] == [(4 * 86_400, "1"), (10 * 86_400, "5")]


def test_reports_are_saved_as_the_file_that_people_upload(registered: Device, tmp_path: Path) -> None:
    content, outcome = save_usage(registered.agent, {TAG: 1, "a]]>b": 2}, seconds=60)
    root = etree.fromstring(content)
    payloads = [json.loads(json.loads(one.text)["payload"]) for one in root]
    assert [one["meta"]["entitlement_tag"] for one in payloads] == [TAG, "a]]>b"]
    assert [one["status"] for one in outcome["reports"]] == ["waiting", "waiting"]


def test_a_product_that_was_never_anybody_reports_nothing(device: Device) -> None:
    with pytest.raises(UsageError):
        save_usage(device.agent, {TAG: 1})


def test_the_command_tells_in_one_line_what_became_of_the_reports(
    registered: Device, taken: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["--state", str(registered.folder), "rum", *arguments], lambda store: registered.agent)
        return code, capsys.readouterr().out

    file = tmp_path / "usage.xml"
    code, out = run(f"{TAG}=2", "--seconds", "60", "--save", str(file))
    assert (code, out.startswith("Saved: "), out.endswith(" waiting.\n")) == (0, True, True)
    assert etree.fromstring(file.read_bytes()).tag == "smartLicense"
    assert run()[1].endswith(" ACCEPTED.\n")
    assert json.loads(run(f"{TAG}=1", "--json")[1])["reports"][0]["status"] == "ACCEPTED"
    assert run(f"{TAG}=1", f"{TAG}=2")[0] == 2
    with pytest.raises(SystemExit):
        run("--seconds", "0")
