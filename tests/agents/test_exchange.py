"""Messages of a registered product: what is signed is believed, everything else changes nothing."""

import json
from datetime import timedelta
from typing import Any

import pytest

from agents.smart_agent.errors import NetworkFailure, Refused, VerificationFailed
from tests.agents.certificates import NOW, key
from tests.agents.conftest import TAG, Device
from tests.agents.fake_server import FakeServer


def test_a_product_learns_whether_its_use_is_covered(registered: Device, server: FakeServer) -> None:
    server.stock = {TAG: 2}
    status = registered.agent.authorize({TAG: 2})
    assert status["authorization"] == "AUTHORIZED"
    assert status["entitlements"] == [{"tag": TAG, "count": 2, "status": "AUTHORIZED"}]
    assert status["next_authorization_at"] == "2026-04-01T09:30:00Z"
    assert status["authorization_expires_at"] == "2026-05-31T09:30:00Z"

    status = registered.agent.authorize({TAG: 3})
    assert (status["authorization"], status["compliance_status"]) == ("OUT_OF_COMPLIANCE", "Out Of Compliance")


def test_reporting_without_a_use_reports_the_same_again(registered: Device, server: FakeServer) -> None:
    registered.agent.authorize({TAG: 2})
    server.stock = {TAG: 2}

    assert registered.agent.authorize()["authorization"] == "AUTHORIZED"
    assert server.texts[-1]["data"] == {"entitlements": [{"tag": TAG, "count": 2}], "hostname": "edge-1"}


def test_every_later_message_counts_as_the_acknowledgement(registered: Device) -> None:
    assert registered.agent.authorize({TAG: 1})["acknowledged"] is True


def test_a_lost_report_is_sent_again_byte_for_byte(registered: Device, server: FakeServer) -> None:
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        registered.agent.authorize({TAG: 1})
    registered.clock.advance(minutes=15)
    registered.agent.authorize({TAG: 1})

    assert server.received[1] == server.received[2]


def test_a_changed_use_is_a_new_message(registered: Device, server: FakeServer) -> None:
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        registered.agent.authorize({TAG: 1})
    registered.agent.authorize({TAG: 2})

    assert [text["data"]["entitlements"][0]["count"] for text in server.texts[1:]] == [1, 2]
    assert server.texts[2]["header"]["timestamp"] > server.texts[1]["header"]["timestamp"]


def test_an_old_report_is_made_anew_so_that_its_answer_is_not_old(registered: Device, server: FakeServer) -> None:
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        registered.agent.authorize({TAG: 1})
    registered.clock.advance(hours=2)
    registered.agent.authorize({TAG: 1})

    assert server.received[1] != server.received[2]


def test_a_lost_acknowledgement_and_a_lost_goodbye_are_sent_again(registered: Device, server: FakeServer) -> None:
    for command in (registered.agent.acknowledge, registered.agent.deregister):
        server.lose = ["answer"]
        with pytest.raises(NetworkFailure):
            command()
        command()
        assert server.received[-1] == server.received[-2]
    assert registered.states == ("UNIDENTIFIED", "NONE")


def test_timestamps_grow_even_if_the_clock_does_not(registered: Device, server: FakeServer) -> None:
    registered.agent.authorize({TAG: 1})
    registered.clock.advance(seconds=-5)
    registered.agent.authorize({TAG: 2})

    stamps = [text["header"]["timestamp"] for text in server.texts]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 1, 2]


@pytest.mark.parametrize("code", ["NOT_REGISTERED", "SIGNATURE_INVALID", "MALFORMED"])
@pytest.mark.parametrize("command", ["acknowledge", "authorize", "deregister"])
def test_no_unsigned_answer_takes_the_identity_away(
    registered: Device, server: FakeServer, code: str, command: str
) -> None:
    server.refuse, server.refuse_signed = code, False
    with pytest.raises(Refused) as caught:
        getattr(registered.agent, command)()

    assert (caught.value.code, caught.value.signed) == (code, False)
    assert registered.states[0] == "REGISTERED"
    server.refuse = None
    assert getattr(registered.agent, command)()["product_instance_identifier"] or command == "deregister"


def spoil(name: str) -> dict[str, Any]:
    def set_header(**values: Any) -> Any:
        return lambda text: text["header"].update(values)

    def set_response(envelope: dict[str, Any]) -> None:
        envelope["response"] = envelope["response"].replace("In Compliance", "Xn Compliance", 1) + " "

    return {
        "another nonce": {"alter_text": set_header(nonce="0" * 32)},
        "another request": {"alter_text": set_header(request_type="ACK")},
        "another product": {"alter_text": set_header(sudi={"udi_pid": "A", "udi_serial_number": "B"})},
        "another instance": {"alter_text": set_header(product_instance_identifier="e53fc968")},
        "no instance": {"alter_text": set_header(product_instance_identifier=None)},
        "tampered text": {"alter_envelope": set_response},
        "no signature": {"alter_envelope": lambda envelope: envelope.update(signature=None)},
        "another kind of signature": {"alter_envelope": lambda envelope: envelope["signature"].update(type="SHA1")},
        "signature that is no Base64": {"alter_envelope": lambda envelope: envelope["signature"].update(value="~")},
        "empty signature": {"alter_envelope": lambda envelope: envelope["signature"].update(value="")},
        "no message": {"alter_envelope": lambda envelope: envelope.pop("response")},
        "text that is no JSON": {"alter_envelope": lambda envelope: envelope.update(response="hello", signature=None)},
        "another server": {"signing_key": key(6)},
        "the product's own key": {"signing_key": key(7)},
        "no data": {"alter_data": lambda request, data: {}},
    }[name]


LIES = [
    "another nonce",
    "another request",
    "another product",
    "another instance",
    "no instance",
    "tampered text",
    "no signature",
    "another kind of signature",
    "signature that is no Base64",
    "empty signature",
    "no message",
    "text that is no JSON",
    "another server",
    "the product's own key",
    "no data",
]


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_not_to_this_question_changes_nothing(
    registered: Device, server: FakeServer, lie: str
) -> None:
    server.stock = {TAG: 5}
    for name, value in spoil(lie).items():
        setattr(server, name, value)
    with pytest.raises(VerificationFailed):
        registered.agent.authorize({TAG: 1})

    status = registered.agent.status()
    assert (status["registration"], status["authorization"]) == ("REGISTERED", "NONE")
    assert status["acknowledged"] is False
    assert status["pending"] == ["AUTHORIZATION"]


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie not in ("another instance", "another server")])
def test_a_registration_answered_with_a_lie_gives_no_identity(device: Device, server: FakeServer, lie: str) -> None:
    for name, value in spoil(lie).items():
        setattr(server, name, value)
    with pytest.raises(VerificationFailed):
        device.register()
    assert device.states == ("UNREGISTERED", "NONE")


def test_a_registration_signed_by_another_key_than_its_signing_certificate_gives_no_identity(
    device: Device, server: FakeServer
) -> None:
    def swap(request: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        server.signing_key = key(6)
        return data

    server.alter_data = swap
    with pytest.raises(VerificationFailed, match="not by the key of the signing certificate"):
        device.register()
    assert device.states == ("UNREGISTERED", "NONE")


def test_a_goodbye_that_is_not_signed_is_no_goodbye(registered: Device, server: FakeServer) -> None:
    server.alter_envelope = lambda envelope: envelope.update(signature=None)
    with pytest.raises(VerificationFailed):
        registered.agent.deregister()
    assert registered.states[0] == "REGISTERED"


def test_a_replayed_message_is_followed_by_one_that_is_not(registered: Device, server: FakeServer) -> None:
    (instance,) = server.instances.values()
    instance.last_timestamp += 60_000

    assert registered.agent.authorize({TAG: 1})["authorization"] == "OUT_OF_COMPLIANCE"
    assert server.texts[-1]["header"]["timestamp"] == instance.last_timestamp
    assert len(server.received) == 3


@pytest.mark.parametrize(("product_hours", "server_hours"), [(25, 0), (0, 25), (-25, 25)])
def test_a_wrong_clock_is_put_right_by_the_server_once_for_all(
    registered: Device, server: FakeServer, product_hours: int, server_hours: int
) -> None:
    registered.clock.advance(hours=product_hours)
    server.clock = lambda: NOW + timedelta(hours=server_hours)
    registered.agent.authorize({TAG: 1})
    assert len(server.received) == 3

    registered.agent.authorize({TAG: 2})
    assert len(server.received) == 4
    assert abs(server.texts[-1]["header"]["timestamp"] - server.clock().timestamp() * 1000) < 1000


def test_a_clock_that_is_late_is_overtaken_by_the_last_timestamp(registered: Device, server: FakeServer) -> None:
    registered.clock.advance(hours=-25)
    registered.agent.authorize({TAG: 1})
    assert len(server.received) == 2


def test_a_clock_set_right_again_is_noticed(registered: Device, server: FakeServer) -> None:
    registered.clock.advance(hours=25)
    registered.agent.authorize({TAG: 1})
    registered.clock.advance(hours=-25)
    assert registered.agent.authorize({TAG: 2})["authorization"] == "OUT_OF_COMPLIANCE"
    assert len({text["header"]["timestamp"] for text in server.texts}) == len(server.received)


def test_unsigned_advice_moves_no_registered_product(registered: Device, server: FakeServer) -> None:
    before = registered.store.read()
    server.refuse, server.refuse_signed = "CLOCK_SKEW", False
    server.refuse_data = {"server_time": 4_000_000_000_000, "last_timestamp": 4_000_000_000_000}
    with pytest.raises(Refused):
        registered.agent.authorize({TAG: 1})

    after = registered.store.read()
    assert after.clock_offset == before.clock_offset == 0
    assert after.last_timestamp <= before.last_timestamp + 1
    assert len(server.received) == 2


@pytest.mark.parametrize("data", [{}, {"server_time": "now"}, {"server_time": -1}, {"server_time": 2**70}])
def test_advice_that_makes_no_sense_is_not_followed(
    registered: Device, server: FakeServer, data: dict[str, Any]
) -> None:
    server.refuse, server.refuse_data = "CLOCK_SKEW", data
    with pytest.raises(Refused):
        registered.agent.authorize({TAG: 1})
    assert len(server.received) == 2


def test_advice_is_followed_once(registered: Device, server: FakeServer) -> None:
    server.refuse = "REPLAYED"
    server.refuse_data = {"server_time": 1_772_443_800_000, "last_timestamp": 1_772_443_800_000}
    with pytest.raises(Refused) as caught:
        registered.agent.authorize({TAG: 1})
    assert caught.value.code == "REPLAYED"
    assert len(server.received) == 3


def test_a_new_product_with_a_fast_clock_registers_and_learns_the_time_only_from_a_signed_answer(
    device: Device, server: FakeServer
) -> None:
    device.clock.advance(hours=25)
    assert device.register()["registration"] == "REGISTERED"
    assert device.store.read().clock_offset == 0

    device.agent.acknowledge()
    assert device.store.read().clock_offset == -25 * 3600 * 1000


def test_a_refusal_tells_its_code_and_when_to_come_back(registered: Device, server: FakeServer) -> None:
    server.refuse = "RATE_LIMITED"
    server.alter_text = lambda text: text.update(retry_time_seconds=30)
    with pytest.raises(Refused) as caught:
        registered.agent.authorize({TAG: 1})
    assert (caught.value.code, caught.value.retry_seconds, caught.value.signed) == ("RATE_LIMITED", 30, True)
    assert json.loads((registered.folder / "state.json").read_text())["identity"]
