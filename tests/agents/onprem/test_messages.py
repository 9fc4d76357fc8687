"""Device messages that an on-prem server refuses or has seen before, and renewals."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.onprem.products.service import answer
from agents.smart_agent.errors import NetworkFailure, Refused
from agents.smart_agent.messages import build_request
from tests.agents.certificates import key
from tests.agents.conftest import TAG, Device
from tests.agents.onprem.conftest import Line, Plant, product

Json = dict[str, Any]


@dataclass
class Talk:
    """What a registered product may say, part by part, with its own key."""

    plant: Plant
    device: Device
    step: int = 0

    def say(self, kind: str, data: Json, **changes: Any) -> Json:
        """The outer form of the answer."""
        identity = self.device.store.read().identity
        assert identity is not None
        self.step += 1000
        chosen: dict[str, Any] = {
            "key": self.device.store.load_key(identity.key),
            "request_type": kind,
            "sudi": product("FCW1").sudi,
            "data": data,
            "timestamp": int(self.plant.clock().timestamp() * 1000) + self.step,
            "nonce": "0123456789abcdef",
            "piid": identity.piid,
            "id_cert_serial": identity.id_cert_serial,
        } | changes
        self.body = build_request(**chosen)
        answered: Json = json.loads(answer(self.plant.site, self.body))
        return answered


@pytest.fixture
def talk(registered_plant: Plant) -> Talk:
    return Talk(registered_plant, registered_plant.register("FCW1"))


def use(count: int) -> Json:
    return {"entitlements": [{"tag": TAG, "count": count}]}


def outcome(answered: Json) -> tuple[str | None, bool]:
    return json.loads(answered["response"])["error_code"], answered["signature"] is not None


REFUSED: dict[str, tuple[str, Json, Json, tuple[str, bool]]] = {
    "another's key": ("AUTHORIZATION", use(1), {"key": key(3)}, ("SIGNATURE_INVALID", False)),
    "another's certificate": ("AUTHORIZATION", use(1), {"id_cert_serial": "abc"}, ("SIGNATURE_INVALID", False)),
    "no certificate": ("AUTHORIZATION", use(1), {"id_cert_serial": None}, ("SIGNATURE_INVALID", False)),
    "no instance": ("AUTHORIZATION", use(1), {"piid": None}, ("NOT_REGISTERED", False)),
    "another instance": ("AUTHORIZATION", use(1), {"piid": "x"}, ("NOT_REGISTERED", False)),
    "another product": ("AUTHORIZATION", use(1), {"sudi": product("FCW2").sudi}, ("UDI_MISMATCH", True)),
    "an unknown type": ("TEA", {}, {}, ("UNSUPPORTED_REQUEST", True)),
    "yesterday": ("AUTHORIZATION", use(1), {"timestamp": 1_772_000_000_000}, ("CLOCK_SKEW", True)),
    "before the last one": ("AUTHORIZATION", use(1), {"timestamp": 1_772_443_000_000}, ("REPLAYED", True)),
    "a tag twice": ("AUTHORIZATION", {"entitlements": use(1)["entitlements"] * 2}, {}, ("MALFORMED", False)),
    "a negative count": ("AUTHORIZATION", use(-1), {}, ("MALFORMED", False)),
    "more than it may": ("AUTHORIZATION", use(1) | {"more": 1}, {}, ("MALFORMED", False)),
    "the wrong ACK": (
        "ACK",
        {"acknowledges": "REGISTRATION", "id_cert_serial_number": "abc"},
        {},
        ("SIGNATURE_INVALID", False),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_message_that_is_not_right_changes_nothing(talk: Talk, case: str) -> None:
    kind, data, changes, expected = REFUSED[case]
    before = talk.plant.instances
    assert outcome(talk.say(kind, data, **changes)) == expected
    assert talk.plant.instances == before
    assert talk.device.agent.authorize({TAG: 1})["authorization"] == "AUTHORIZED"


def test_serial_numbers_are_compared_without_case_and_leading_zeros(talk: Talk) -> None:
    serial = talk.device.store.read().identity.id_cert_serial
    assert outcome(talk.say("AUTHORIZATION", use(1), id_cert_serial=f"00{serial.upper()}")) == (None, True)


def test_the_same_message_gets_the_same_answer_and_no_second_effect(talk: Talk) -> None:
    first = talk.say("AUTHORIZATION", use(3))
    again = json.loads(answer(talk.plant.site, talk.body))
    assert again == first
    talk.say("DEREGISTRATION", {})
    farewell = answer(talk.plant.site, talk.body)
    assert outcome(json.loads(farewell)) == (None, True)
    assert len(talk.plant.instances) == 1


def test_advice_on_the_time_is_given_with_a_refusal(talk: Talk) -> None:
    answered = talk.say("AUTHORIZATION", use(1), timestamp=1_772_000_000_000)
    data = json.loads(answered["response"])["data"]
    assert data["server_time"] == int(talk.plant.clock().timestamp() * 1000)
    assert data["last_timestamp"] > 0


def test_host_name_and_addresses_are_erased_when_they_are_no_longer_told(registered_plant: Plant) -> None:
    device = registered_plant.register("FCW1", hostname="edge-1")
    talk = Talk(registered_plant, device)
    assert registered_plant.instances[0]["hostname"] == "edge-1"
    talk.say("AUTHORIZATION", use(0))
    assert registered_plant.instances[0]["hostname"] == ""


@dataclass
class Losing(Line):
    """Loses the answers to messages of these types, each once."""

    lose: list[str] = field(default_factory=list)

    def send(self, body: bytes) -> bytes:
        answered = super().send(body)
        kind = json.loads(json.loads(body)["request"])["header"]["request_type"]
        if kind in self.lose:
            self.lose.remove(kind)
            raise NetworkFailure("lost")
        return answered


def losing(talk: Talk, *kinds: str) -> Device:
    line = Losing(talk.plant.site, talk.plant.portal.root, list(kinds))
    return Device(talk.device.folder, line, talk.plant.clock)  # type: ignore[arg-type]


def count_keys(talk: Talk) -> dict[str, int]:
    with talk.plant.site.folder.reading() as database:
        rows = database.execute("SELECT role, COUNT(*) AS number FROM product_key GROUP BY role")
        return {row["role"]: row["number"] for row in rows}


def test_a_product_renews_and_the_old_key_ends_with_the_next_message(talk: Talk) -> None:
    before = talk.device.store.read().identity
    talk.plant.clock.advance(days=180)
    talk.device.agent.renew()
    after = talk.device.store.read().identity
    assert after.id_cert != before.id_cert
    assert count_keys(talk) == {"current": 1, "retired": 1}
    talk.device.agent.authorize({TAG: 1})
    assert count_keys(talk) == {"current": 1}
    assert [one["state"] for one in talk.plant.instances] == ["registered"]


@pytest.mark.parametrize("lost", [["RENEWAL"], ["ACK"], ["RENEWAL", "ACK"]])
def test_a_renewal_that_loses_answers_strands_nobody(talk: Talk, lost: list[str]) -> None:
    device = losing(talk, *lost)
    for _ in lost:
        with pytest.raises(NetworkFailure):
            device.agent.renew()
    device.agent.renew()
    assert device.agent.authorize({TAG: 2})["authorization"] == "AUTHORIZED"
    assert count_keys(talk) == {"current": 1}


def test_the_old_key_is_accepted_for_seven_days_after_the_acknowledgement(talk: Talk) -> None:
    old = talk.device.store.read().identity
    signer = talk.device.store.load_key(old.key)
    talk.device.agent.renew()
    who = {"key": signer, "id_cert_serial": old.id_cert_serial}
    assert outcome(talk.say("AUTHORIZATION", use(1), **who)) == (None, True)
    talk.plant.clock.advance(days=7, minutes=1)
    assert outcome(talk.say("AUTHORIZATION", use(1), **who)) == ("NOT_REGISTERED", False)


def test_a_three_tier_product_that_learned_longer_chains_is_given_one(registered_plant: Plant) -> None:
    plant = registered_plant
    plant.portal.three_tier = True
    plant.synchronize()
    device = plant.register("OLD1", three_tier=True)
    assert [one["tiers"] for one in plant.instances] == [3]
    device.agent.renew()
    assert [one["tiers"] for one in plant.instances] == [3]
    with device.store.locked() as state:
        state.product = product("OLD1")
        device.store.write(state)
    device.agent.renew()
    assert [one["tiers"] for one in plant.instances] == [4]


Change = Callable[[Json], Json]
REGISTRATIONS: dict[str, tuple[Json, Json, str]] = {
    "a weak request": ({"csr": "no"}, {}, "CSR_INVALID"),
    "another product's request": ({}, {"sudi": product("FCW9").sudi}, "UDI_MISMATCH"),
    "another key": ({}, {"key": key(3)}, "SIGNATURE_INVALID"),
    "an old clock": ({}, {"timestamp": 1_772_000_000_000}, "CLOCK_SKEW"),
    "nothing": ({"id_token": None}, {}, "MALFORMED"),
}


@pytest.mark.parametrize("case", REGISTRATIONS)
def test_a_registration_that_is_not_right_takes_no_token(registered_plant: Plant, case: str) -> None:
    data, changes, code = REGISTRATIONS[case]
    plant, token = registered_plant, registered_plant.token(uses=1)
    device = plant.device("FCW1")
    sent: list[bytes] = []

    class Catching:
        root = plant.portal.root

        def send(self, body: bytes) -> bytes:
            sent.append(body)
            raise NetworkFailure("caught")

    caught = Device(plant.desk / "caught", Catching(), plant.clock)  # type: ignore[arg-type]
    with pytest.raises(NetworkFailure):
        caught.register(product=product("FCW1"), token=token)
    text = json.loads(json.loads(sent[0])["request"])
    said: dict[str, Any] = {
        "key": next(caught.store.load_key(one.key) for one in caught.store.read().pending.values()),
        "request_type": "REGISTRATION",
        "sudi": product("FCW1").sudi,
        "data": text["data"] | data,
        "timestamp": text["header"]["timestamp"],
    } | changes
    answered = json.loads(answer(plant.site, build_request(**said)))
    assert outcome(answered) == (code, False)
    assert plant.instances == []
    assert device.register(product=product("FCW1"), token=token)["registration"] == "REGISTERED"


def test_a_product_known_only_by_a_uuid_is_refused_for_the_files_have_no_place_for_it(
    registered_plant: Plant,
) -> None:
    with pytest.raises(Refused) as refusal:
        registered_plant.device("FCW1").register(product=product(""), token=registered_plant.token())
    assert refusal.value.code == "MALFORMED"
