"""The command `rum`: reports that wait until the server has them, signed by the key of the ID certificate."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from agents.smart_agent.errors import NetworkFailure, UsageError
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
    first = registered.agent.report_usage()["reports"]
    clock.advance(hours=2)
    registered.agent.report_usage({TAG: 5})
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
        registered.agent.report_usage({TAG: 1}, seconds=60)
    assert len(registered.store.read().rum.waiting) == 1
    clock.advance(hours=1)
    told = registered.agent.report_usage({TAG: 1})["reports"]
    assert [one["status"] for one in told] == ["DUPLICATE", "ACCEPTED"]
    assert registered.store.read().rum.waiting == []


def test_a_report_that_is_refused_waits_on(registered: Device, taken: list[Any]) -> None:
    told = registered.agent.report_usage({TAG: 1, "bad": 1}, seconds=60)["reports"]
    assert [one["status"] for one in told] == ["ACCEPTED", "SIGNATURE_INVALID"]
    assert [one.tag for one in registered.store.read().rum.waiting] == ["bad"]


def test_reports_are_saved_as_the_file_that_people_upload(registered: Device, tmp_path: Path) -> None:
    content, outcome = registered.agent.save_usage({TAG: 1, "a]]>b": 2}, seconds=60)
    root = etree.fromstring(content)
    payloads = [json.loads(json.loads(one.text)["payload"]) for one in root]
    assert [one["meta"]["entitlement_tag"] for one in payloads] == [TAG, "a]]>b"]
    assert [one["status"] for one in outcome["reports"]] == ["waiting", "waiting"]


def test_a_product_that_was_never_anybody_reports_nothing(device: Device) -> None:
    with pytest.raises(UsageError):
        device.agent.save_usage({TAG: 1})
