"""Conversions of products of an on-prem server: named in its files, their results told when they come back."""

from typing import Any

import pytest

from agents.smart_agent.conversions import Line, convert, poll
from agents.smart_agent.errors import Refused
from tests.agents.conftest import Device
from tests.agents.onprem.conftest import SOFTWARE, Plant

LINES = [Line("TRUST_BASED", "tag,1", 5), Line("LICENSE_FILE", "tag,2", 1, 'INCREMENT "x"\n')]


def answer_with(plant: Plant, request: bytes, serial: str = "FCW1", status: str = "COMPLETED", why: str = "") -> None:
    row = (
        f'\n  - :udi_pid: "C9300-24UX"\n    :udi_serial_number: "{serial}"\n    :conversion_status: {status}\n'
        f'    :status_message: "{why}"\n    :status_message_localized: "{why}"\n'
        f'    :software_tag_identifier: "{SOFTWARE}"'
    )
    plant.clock.advance(minutes=10)
    plant.install_sync(plant.portal.respond(request, device_conversion_response=row))


def status_of(device: Device) -> Any:
    return poll(device.agent)["conversion"]["status"]


@pytest.fixture
def device(registered_plant: Plant) -> Device:
    return registered_plant.register("FCW1")


def test_a_conversion_travels_to_the_portal_and_its_result_to_the_product(registered_plant: Plant, device: Device):
    assert convert(device.agent, LINES)["conversion"]["status"] == "PENDING"
    request = registered_plant.request_sync()
    answer_with(registered_plant, request, status="FAILED", why="unknown")
    [asked] = registered_plant.portal.requests[-1]["device_conversion_request"]
    assert (asked["udi_serial_number"], asked["software_tag_identifier"]) == ("FCW1", SOFTWARE)
    assert [(line["entitlement_tag"], str(line["count"])) for line in asked["conversion_lines"]] == [
        ("tag,1", "5"),
        ("tag,2", "1"),
    ]
    assert asked["conversion_lines"][1]["payload"] == 'INCREMENT "x"\n'
    assert poll(device.agent)["conversion"]["message"] == "unknown"
    registered_plant.synchronize()
    assert "device_conversion_request" not in registered_plant.portal.requests[-1]


def test_the_same_lines_wait_under_one_number_and_are_told_their_result(registered_plant: Plant, device: Device):
    first = convert(device.agent, LINES)["conversion"]["poll_id"]
    assert convert(device.agent, LINES)["conversion"]["poll_id"] == first
    answer_with(registered_plant, registered_plant.request_sync())
    assert convert(device.agent, LINES)["conversion"]["status"] == "COMPLETED"


def test_a_lost_response_is_made_up_for_by_the_next(registered_plant: Plant, device: Device):
    convert(device.agent, LINES)
    registered_plant.request_sync()
    registered_plant.clock.advance(minutes=1)
    again = registered_plant.request_sync()
    answer_with(registered_plant, again)
    assert len(registered_plant.portal.requests[-1]["device_conversion_request"]) == 1
    assert status_of(device) == "COMPLETED"


def test_what_was_asked_after_the_request_is_not_told_by_its_response(registered_plant: Plant, device: Device):
    early = registered_plant.request_sync()
    convert(device.agent, LINES)
    answer_with(registered_plant, early)
    assert status_of(device) == "PENDING"
    other = [Line("TRUST_BASED", "tag,3", 1)]
    convert(device.agent, other)
    answer_with(registered_plant, registered_plant.request_sync())
    assert status_of(device) == "PENDING"  # of two, one a file: the older came first
    answer_with(registered_plant, registered_plant.request_sync())
    assert status_of(device) == "COMPLETED"


def test_only_who_asked_is_told(registered_plant: Plant, device: Device):
    number = convert(device.agent, LINES)["conversion"]["poll_id"]
    other = registered_plant.register("FCW2")
    convert(other.agent, LINES)
    with other.store.locked() as state:
        assert state.conversion is not None
        state.conversion = type(state.conversion)(status="PENDING", poll_id=number)
        other.store.write(state)
    with pytest.raises(Refused) as refused:
        poll(other.agent)
    assert refused.value.code == "POLL_UNKNOWN"


@pytest.mark.parametrize(
    "lines",
    [
        [Line("PAK", "tag", 1)],
        [Line("TRUST_BASED", "tag", 0)],
        [Line("TRUST_BASED", "tag", 1), Line("TRUST_BASED", "tag", 1)],
        [Line("LICENSE_FILE", "tag", 1, "a\x00b")],
        [Line("LICENSE_FILE", "tag", 1, "ä" * 40_000)],
        [Line("TRUST_BASED", "tag\u2028", 1)],
    ],
)
def test_what_no_file_could_carry_is_refused_at_once(registered_plant: Plant, device: Device, lines: list[Line]):
    with pytest.raises(Refused) as refused:
        convert(device.agent, lines)
    assert refused.value.code == "MALFORMED"
    registered_plant.synchronize()
