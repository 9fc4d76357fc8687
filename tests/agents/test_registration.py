"""A product gets its identity, and nothing that goes wrong on the way strands it."""

import json
import os
from typing import Any

import pytest

from agents.smart_agent.errors import NetworkFailure, Refused, UsageError, VerificationFailed
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product
from tests.agents.certificates import key, make_authority
from tests.agents.conftest import TAG, TOKEN, URL, Device
from tests.agents.fake_server import Crash, FakeServer


def test_a_registered_product_knows_who_it_is(device: Device, server: FakeServer) -> None:
    status = device.register()

    (instance,) = server.instances.values()
    assert status["registration"] == "REGISTERED"
    assert status["product_instance_identifier"] == instance.piid
    assert (status["smart_account"], status["virtual_account"]) == ("acme.example", "Engineering")
    assert status["renew_at"] == "2026-08-29T09:30:00Z"
    assert status["id_certificate_expires_at"] == "2027-03-02T09:25:00Z"
    assert status["pending"] == []


def test_the_registration_says_what_the_protocol_wants(device: Device, server: FakeServer) -> None:
    device.register()

    (text,) = server.texts
    assert text["header"]["product_instance_identifier"] is None
    assert text["header"]["id_cert_serial_number"] is None
    assert text["header"]["sudi"] == {"udi_pid": "C9300-24UX", "udi_serial_number": "FCW2134L0RN"}
    assert text["header"]["timestamp"] == int(device.clock().timestamp() * 1000)
    assert 8 <= len(text["header"]["nonce"]) <= 64
    assert set(text["data"]) == {"id_token", "csr", "software_tag_identifier", "hostname"}


def test_the_acknowledgement_is_signed_with_the_new_key_and_names_the_certificate(
    registered: Device, server: FakeServer
) -> None:
    assert registered.agent.status()["acknowledged"] is False

    status = registered.agent.acknowledge()

    (instance,) = server.instances.values()
    assert instance.state == "registered"
    assert status["acknowledged"] is True
    serial = status["id_cert_serial_number"]
    assert server.texts[-1]["data"] == {"acknowledges": "REGISTRATION", "id_cert_serial_number": serial}
    assert server.texts[-1]["header"]["id_cert_serial_number"] == serial


def test_the_token_is_forgotten_once_it_has_done_its_work(device: Device, server: FakeServer) -> None:
    server.lose = ["answer"]
    with pytest.raises(NetworkFailure):
        device.register()
    assert TOKEN in (device.folder / "state.json").read_text()

    device.register()
    assert TOKEN not in (device.folder / "state.json").read_text()


def test_a_refused_token_is_forgotten_too(device: Device, server: FakeServer) -> None:
    server.refuse, server.refuse_signed = "TOKEN_EXPIRED", False
    with pytest.raises(Refused) as caught:
        device.register()

    assert caught.value.code == "TOKEN_EXPIRED"
    assert TOKEN not in (device.folder / "state.json").read_text()
    assert list(device.folder.glob("key-*")) == []
    assert device.states == ("UNREGISTERED", "NONE")


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_message_is_sent_again_byte_for_byte(device: Device, server: FakeServer, lost: str) -> None:
    server.lose = [lost, "answer"]
    with pytest.raises(NetworkFailure):
        device.register()
    device.clock.advance(hours=2)
    with pytest.raises(NetworkFailure):
        device.register()
    device.clock.advance(hours=2)

    assert device.register()["registration"] == "REGISTERED"
    assert len(set(server.received)) == 1
    assert len(server.instances) == 1


def test_a_server_out_of_order_is_asked_again_with_the_same_bytes(device: Device, server: FakeServer) -> None:
    server.refuse, server.refuse_signed = "INTERNAL", False
    with pytest.raises(Refused):
        device.register()
    server.refuse = None

    device.register()
    assert len(set(server.received)) == 1


def test_another_token_makes_another_message_with_another_key(device: Device, server: FakeServer) -> None:
    server.lose = ["request"]
    with pytest.raises(NetworkFailure):
        device.register(token="b3RoZXI=")
    device.register()

    assert [text["data"]["id_token"] for text in server.texts] == [TOKEN]
    assert len(list(device.folder.glob("key-*"))) == 1


@pytest.mark.parametrize("after_the_write", [False, True])
@pytest.mark.parametrize("crash_at", [1, 2, 3])
def test_a_crash_at_any_write_strands_nothing(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch, crash_at: int, after_the_write: bool
) -> None:
    """Three writes: the key, the message, the identity."""
    writes = 0
    replace = os.replace

    def fail(source: Any, target: Any) -> None:
        nonlocal writes
        writes += 1
        if writes != crash_at or after_the_write:
            replace(source, target)
        if writes == crash_at:
            raise Crash

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(Crash):
        device.register()
    if (crash_at, after_the_write) != (3, True):
        assert device.states[0] == "UNREGISTERED"
        device.register()

    assert device.states[0] == "REGISTERED"
    assert len(set(server.received)) == len(server.instances) == 1
    assert len(list(device.folder.iterdir())) == 2


@pytest.mark.parametrize("moment", ["crash before", "crash after"])
def test_a_crash_while_sending_is_followed_by_the_same_message(device: Device, server: FakeServer, moment: str) -> None:
    server.lose = [moment]
    with pytest.raises(Crash):
        device.register()

    assert device.register()["registration"] == "REGISTERED"
    assert len(set(server.received)) == 1
    assert len(server.instances) == 1


def test_a_registered_product_is_not_registered_again_by_accident(registered: Device, server: FakeServer) -> None:
    with pytest.raises(UsageError, match="Already registered"):
        registered.register()
    assert len(server.received) == 1


def test_the_old_identity_stays_until_the_new_one_is_proven(registered: Device, server: FakeServer) -> None:
    before = registered.agent.status()["product_instance_identifier"]
    good_root = server.root.pem
    server.sub_ca = make_authority("Test Sub CA", key(2), make_authority("Other Root", key(4)), path_length=0)
    with pytest.raises(VerificationFailed):
        registered.register(force=True, root=good_root)

    assert registered.agent.status()["product_instance_identifier"] == before


def test_registering_anew_replaces_identity_and_key(registered: Device) -> None:
    before = registered.agent.status()["product_instance_identifier"]
    after = registered.register(force=True)["product_instance_identifier"]

    assert after != before
    assert len(list(registered.folder.glob("key-*"))) == 1


def test_the_state_of_one_product_is_not_used_for_another(registered: Device) -> None:
    other = Product(sudi=Sudi(udi_pid="C9300-24UX", udi_serial_number="OTHER"), software_tag="C9300")
    with pytest.raises(UsageError, match="belongs to C9300-24UX:FCW2134L0RN"):
        registered.register(force=True, product=other)


def test_a_udi_longer_than_a_common_name_is_compared_whole(device: Device, server: FakeServer) -> None:
    long = Product(sudi=Sudi(udi_pid="P" * 40, udi_serial_number="S" * 40), software_tag="P")
    assert device.register(product=long)["registration"] == "REGISTERED"


def test_only_a_root_is_taken_as_the_root(device: Device, server: FakeServer) -> None:
    for pem in (server.sub_ca.pem, "nothing", server.root.pem + server.root.pem):
        with pytest.raises(UsageError, match="cannot be trusted as a root"):
            device.register(root=pem)
    assert server.received == []


def test_what_was_consumed_before_is_due_at_once(device: Device) -> None:
    device.agent.authorize({TAG: 2})
    status = device.register()

    assert status["authorization"] == "NONE"
    assert status["next_authorization_at"] == "2026-03-02T09:30:00Z"
    assert status["entitlements"] == [{"tag": TAG, "count": 2, "status": None}]


def test_the_files_are_for_the_owner_alone(registered: Device) -> None:
    assert registered.folder.stat().st_mode & 0o777 == 0o700
    files = list(registered.folder.iterdir())
    assert len(files) == 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert json.loads((registered.folder / "state.json").read_text())["url"] == URL
