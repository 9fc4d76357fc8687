"""The states of a product and its evaluation clock (WP "License states")."""

import pytest

from agents.smart_agent.errors import NetworkFailure, UsageError, VerificationFailed
from tests.agents.conftest import TAG, Device
from tests.agents.fake_server import FakeServer

NINETY_DAYS = 90 * 24 * 3600


def left(device: Device) -> int:
    seconds = device.agent.status()["evaluation_seconds_left"]
    assert isinstance(seconds, int)
    return seconds


def test_a_new_product_is_unregistered_and_has_ninety_days(device: Device) -> None:
    assert device.states == ("UNREGISTERED", "NONE")
    assert left(device) == NINETY_DAYS
    assert not device.folder.exists(), "looking leaves nothing behind"


def test_the_evaluation_runs_only_while_something_is_consumed(device: Device) -> None:
    device.clock.advance(days=5)
    device.agent.authorize({TAG: 1})
    assert device.states == ("UNREGISTERED", "EVALUATION")
    device.clock.advance(days=10)
    assert left(device) == NINETY_DAYS - 10 * 86400

    device.agent.authorize({TAG: 0})
    device.clock.advance(days=10)
    assert device.states == ("UNREGISTERED", "NONE")
    assert left(device) == NINETY_DAYS - 10 * 86400


def test_the_evaluation_stands_still_while_registered_and_goes_on_after(device: Device) -> None:
    device.agent.authorize({TAG: 1})
    device.clock.advance(hours=1)
    device.register()
    device.clock.advance(hours=5)
    assert left(device) == NINETY_DAYS - 3600

    device.agent.deregister()
    assert device.states == ("UNIDENTIFIED", "EVALUATION")
    device.clock.advance(hours=1)
    assert left(device) == NINETY_DAYS - 7200


def test_the_evaluation_ends_after_ninety_days_for_good(device: Device) -> None:
    device.agent.authorize({TAG: 1})
    device.clock.advance(days=91)
    assert device.states == ("UNREGISTERED", "EVALUATION_EXPIRED")
    assert left(device) == 0

    device.agent.authorize({TAG: 0})
    device.agent.authorize({TAG: 1})
    assert device.states == ("UNREGISTERED", "EVALUATION_EXPIRED")


def test_a_clock_that_goes_back_gives_no_time_back(device: Device) -> None:
    device.agent.authorize({TAG: 1})
    device.clock.advance(days=1)
    device.agent.authorize({TAG: 1})
    device.clock.advance(days=-30)
    device.agent.authorize({TAG: 1})
    assert left(device) == NINETY_DAYS - 86400


def test_an_authorization_expires_after_ninety_days(registered: Device, server: FakeServer) -> None:
    server.stock = {TAG: 1}
    registered.agent.authorize({TAG: 1})
    registered.clock.advance(days=89, hours=23)
    assert registered.states == ("REGISTERED", "AUTHORIZED")
    registered.clock.advance(hours=1)
    assert registered.states == ("REGISTERED", "AUTHORIZATION_EXPIRED")


def test_an_expired_id_certificate_ends_the_registration_and_evaluation_goes_on(
    registered: Device, server: FakeServer
) -> None:
    registered.agent.authorize({TAG: 1})
    registered.clock.advance(days=366)
    assert registered.states == ("UNIDENTIFIED", "EVALUATION")
    assert left(registered) == NINETY_DAYS - 86400 - 300

    sent = len(server.received)
    registered.agent.authorize({TAG: 1})
    assert len(server.received) == sent, "nothing is sent with an expired identity"
    assert list(registered.folder.glob("key-*")) == []


def test_a_registered_product_that_uses_nothing_has_no_authorization(registered: Device) -> None:
    registered.agent.authorize({TAG: 1})
    registered.agent.authorize({TAG: 0})
    assert registered.states == ("REGISTERED", "NONE")


@pytest.mark.parametrize("status", ["INVALID_TAG", "EXPORT_RESTRICTED"])
def test_a_license_that_was_not_granted_is_not_authorized(registered: Device, server: FakeServer, status: str) -> None:
    server.alter_data = lambda request, data: {
        "compliance_status": "In Compliance",
        "entitlements": [{"tag": TAG, "count": 1, "status": status}],
    }
    assert registered.agent.authorize({TAG: 1})["authorization"] == "OUT_OF_COMPLIANCE"


def test_a_product_is_not_blamed_for_another_license_of_its_virtual_account(
    registered: Device, server: FakeServer
) -> None:
    """WP: "Any product that is consuming a license that is out of compliance is in an out-of-compliance state"."""
    server.alter_data = lambda request, data: {
        "compliance_status": "Out Of Compliance",
        "entitlements": [{"tag": TAG, "count": 1, "status": "AUTHORIZED"}],
    }
    status = registered.agent.authorize({TAG: 1})
    assert (status["authorization"], status["compliance_status"]) == ("AUTHORIZED", "Out Of Compliance")


def test_messages_of_an_unregistered_product_make_no_sense(device: Device, server: FakeServer) -> None:
    for command in (device.agent.acknowledge, device.agent.deregister):
        with pytest.raises(UsageError, match="not registered"):
            command()
    assert server.received == []


def test_deregistering_forgets_key_and_certificates(registered: Device, server: FakeServer) -> None:
    status = registered.agent.deregister()

    assert next(iter(server.instances.values())).state == "deregistered"
    assert (status["registration"], status["product_instance_identifier"]) == ("UNIDENTIFIED", None)
    assert [path.name for path in registered.folder.iterdir()] == ["state.json"]
    assert "CERTIFICATE" not in (registered.folder / "state.json").read_text().replace(
        registered.store.read().root.replace("\n", "\\n"), ""
    )


@pytest.mark.parametrize("trouble", [NetworkFailure, VerificationFailed])
def test_a_forced_goodbye_needs_no_answer(registered: Device, server: FakeServer, trouble: type[Exception]) -> None:
    if trouble is NetworkFailure:
        server.lose = ["request", "request"]
    else:
        server.alter_envelope = lambda envelope: envelope.update(signature=None)
    with pytest.raises(trouble):
        registered.agent.deregister()

    assert registered.agent.deregister(force=True)["registration"] == "UNIDENTIFIED"
