"""Products that register to an on-prem server: chains to the root, use, compliance, tokens, ends."""

import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.onprem.accounts import create_account
from agents.onprem.products.counting import COUNTED_ANEW
from agents.onprem.products.use import used_by_account
from agents.onprem.tokens import revoke_token
from agents.smart_agent.errors import Refused, VerificationFailed
from tests.agents.certificates import key, make_authority
from tests.agents.conftest import TAG, Device
from tests.agents.onprem.conftest import Plant, product
from tests.agents.onprem.portal import FakePortal, account, owned
from tests.programs import need_program


def openssl_verify(plant: Plant, device: Device) -> list[str]:
    """Verify both certificates with OpenSSL alone; returns the names between them and the root."""
    need_program("openssl")
    kept = device.store.read().identity
    assert kept is not None
    (plant.desk / "ca.pem").write_text(plant.portal.root.pem)
    (plant.desk / "between.pem").write_text(kept.sub_ca_cert + "".join(kept.chain))
    for name in ("id_cert", "signing_cert"):
        path = plant.desk / f"{name}.pem"
        path.write_text(getattr(kept, name))
        at = str(int(plant.clock().timestamp()))
        command = ["openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", str(plant.desk / "ca.pem")]
        done = subprocess.run(
            [*command, "-untrusted", str(plant.desk / "between.pem"), "-show_chain", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("depth=")]


def test_a_product_registers_with_a_four_tier_chain_that_openssl_verifies(registered_plant: Plant) -> None:
    device = registered_plant.register("FCW0000001")

    status = device.agent.status()
    assert (status["registration"], status["acknowledged"]) == ("REGISTERED", True)
    assert (status["smart_account"], status["virtual_account"]) == ("Acme", "Engineering")
    assert len(openssl_verify(registered_plant, device)) == 4
    (instance,) = registered_plant.instances
    assert (instance["udi"], instance["state"], instance["tiers"]) == ("C9300-24UX:FCW0000001", "registered", 4)


def test_a_three_tier_product_waits_for_the_certificate_and_then_registers(registered_plant: Plant) -> None:
    plant = registered_plant
    device, token = plant.device("OLD0000001"), plant.token(uses=1)
    old = product("OLD0000001", three_tier=True)
    with pytest.raises(Refused, match="48 hours") as refusal:
        device.register(product=old, token=token)
    assert (refusal.value.code, refusal.value.retry_seconds) == ("INTERNAL", 3600)
    assert plant.instances == []

    plant.portal.three_tier = True
    plant.synchronize()
    device.register(product=old, token=token)
    assert len(openssl_verify(plant, device)) == 3
    assert device.store.read().identity.chain == []
    assert [one["tiers"] for one in plant.instances] == [3]


def test_a_three_tier_product_refuses_a_longer_chain(registered_plant: Plant) -> None:
    device = registered_plant.register("FCW0000001")
    with device.store.locked() as state:
        state.product = product("FCW0000001", three_tier=True)
        device.store.write(state)
    with pytest.raises(VerificationFailed, match="3 tiers"):
        device.agent.authorize({TAG: 1})


def test_certificates_by_another_on_prem_server_are_not_believed(registered_plant: Plant) -> None:
    """Mallory has an on-prem server below the same root; it answers in place of ours with its own chain's head."""
    plant = registered_plant
    mallory = plant.portal.local_authority(key(10).public_key(), plant.portal.satellite_ca)
    with plant.site.folder.writing() as database:
        database.execute(
            "UPDATE server SET body = json_set(body, '$.certificates.local_sub_ca_cert_1_1', ?)", [mallory.pem]
        )
    with pytest.raises(VerificationFailed, match="stated issuer"):
        plant.register("FCW0000001")


def test_use_is_authorized_up_to_what_the_portal_told(registered_plant: Plant) -> None:
    device = registered_plant.register("FCW0000001")
    other = registered_plant.register("FCW0000002")

    assert device.agent.authorize({TAG: 7})["authorization"] == "AUTHORIZED"
    assert other.agent.authorize({TAG: 3})["authorization"] == "AUTHORIZED"
    answered = other.agent.authorize({TAG: 4})
    assert (answered["authorization"], answered["compliance_status"]) == ("OUT_OF_COMPLIANCE", "Out Of Compliance")
    assert other.agent.authorize({TAG: 3})["compliance_status"] == "In Compliance"
    (shown,) = registered_plant.status["virtual_accounts"][0]["licenses"]
    assert (shown["purchased"], shown["used_here"], shown["status"]) == (10, 10, "In Compliance")


def test_what_others_use_in_the_virtual_account_is_left_to_them(registered_plant: Plant, portal: FakePortal) -> None:
    device = registered_plant.register("FCW0000001")
    device.agent.authorize({TAG: 4})
    portal.accounts = account(1, "Engineering", owned(TAG, 10, reserved=1, in_use=9))
    registered_plant.synchronize()

    (shown,) = registered_plant.status["virtual_accounts"][0]["licenses"]
    assert (shown["used_here"], shown["used_elsewhere"]) == (4, 5)
    assert device.agent.authorize({TAG: 4})["authorization"] == "AUTHORIZED"
    assert device.agent.authorize({TAG: 5})["authorization"] == "OUT_OF_COMPLIANCE"


def test_what_the_portal_lends_from_a_higher_license_covers_the_use_it_knew(
    registered_plant: Plant, portal: FakePortal
) -> None:
    device = registered_plant.register("FCW0000001")
    device.agent.authorize({TAG: 12})
    portal.accounts = account(1, "Engineering", owned(TAG, 10, in_use=12, compliant=True))
    registered_plant.synchronize()
    assert device.agent.authorize({TAG: 12})["authorization"] == "AUTHORIZED"
    assert device.agent.authorize({TAG: 13})["authorization"] == "OUT_OF_COMPLIANCE"


def test_bought_licenses_arrive_with_the_next_response(registered_plant: Plant, portal: FakePortal) -> None:
    device = registered_plant.register("FCW0000001")
    assert device.agent.authorize({TAG: 12})["authorization"] == "OUT_OF_COMPLIANCE"
    portal.accounts = account(1, "Engineering", owned(TAG, 20, in_use=12))
    registered_plant.synchronize()
    assert device.agent.authorize({TAG: 12})["authorization"] == "AUTHORIZED"


def test_a_pair_that_stands_in_for_each_other_counts_once(registered_plant: Plant) -> None:
    plant = registered_plant
    one, two = product("HA1").sudi, product("HA2").sudi
    first = plant.register("HA1", ha_peers=[two])
    second = plant.register("HA2", ha_peers=[one])
    first.agent.authorize({TAG: 6})
    assert second.agent.authorize({TAG: 6})["authorization"] == "AUTHORIZED"
    groups = {row["ha_group"] for row in plant.instances}
    assert len(groups) == 1
    (shown,) = plant.status["virtual_accounts"][0]["licenses"]
    assert shown["used_here"] == 6

    stranger = plant.register("HA3", ha_peers=[one])
    stranger.agent.authorize({TAG: 1})
    assert len({row["ha_group"] for row in plant.instances}) == 2
    (shown,) = plant.status["virtual_accounts"][0]["licenses"]
    assert shown["used_here"] == 7


def test_counters_show_what_there_is_whatever_happens_in_whatever_order(registered_plant: Plant) -> None:
    """A random life of six products, some of them pairs; the seed is printed where it fails."""
    plant, seed = registered_plant, Random().randrange(10**6)
    random, token = Random(seed), plant.token()
    sudis = [product(f"R{number}").sudi for number in range(6)]
    devices: dict[int, Device] = {}
    for step in range(60):
        number = random.randrange(6)
        peers = [sudis[number ^ 1]] if random.random() < 0.7 else []
        if number not in devices:
            device = Device(plant.desk / f"{number}-{step}", plant.device("X").server, plant.clock)
            device.register(product=product(f"R{number}", ha_peers=peers), token=token)
            devices[number] = device
        elif random.random() < 0.2:
            devices.pop(number).agent.deregister()
        else:
            with devices[number].store.locked() as state:
                state.product = product(f"R{number}", ha_peers=peers)
                devices[number].store.write(state)
            devices[number].agent.authorize({TAG: random.randrange(4), "x": random.randrange(3)})
        with plant.site.folder.reading() as database:
            counted = {tuple(row) for row in database.execute(COUNTED_ANEW)}
            kept = {tuple(row) for row in used_by_account(database)}
        assert kept == counted, seed


def test_deregistration_frees_the_use_and_ends_the_identity(registered_plant: Plant) -> None:
    device = registered_plant.register("FCW0000001")
    device.agent.authorize({TAG: 4})
    shutil.copytree(device.folder, registered_plant.desk / "copy")
    device.agent.deregister()
    assert registered_plant.instances[0]["state"] == "deregistered"
    assert registered_plant.status["virtual_accounts"][0]["licenses"][0]["used_here"] == 0

    copy = Device(registered_plant.desk / "copy", device.server, registered_plant.clock)
    with pytest.raises(Refused, match="Please re-register") as refusal:
        copy.agent.authorize({TAG: 5})
    assert (refusal.value.code, refusal.value.signed) == ("NOT_REGISTERED", False)


def test_a_product_that_registers_again_replaces_its_earlier_self(registered_plant: Plant) -> None:
    plant = registered_plant
    plant.register("FCW0000001").agent.authorize({TAG: 4})
    again = Device(plant.desk / "again", plant.device("X").server, plant.clock)
    again.register(product=product("FCW0000001"), token=plant.token())

    assert [row["state"] for row in plant.instances] == ["removed", "registering"]
    assert plant.status["product_instances"] == 1
    assert plant.status["virtual_accounts"][0]["licenses"][0]["used_here"] == 0


def test_a_lost_answer_is_given_again_and_takes_no_second_use(registered_plant: Plant) -> None:
    plant, token = registered_plant, registered_plant.token(uses=1)
    line = plant.device("X").server
    sent: list[bytes] = []

    class Losing:
        root = plant.portal.root

        def send(self, body: bytes) -> bytes:
            sent.append(body)
            answered = line.send(body)
            if len(sent) == 1:
                raise Refused("HTTP_502", "lost")
            return answered

    device = Device(plant.desk / "device", Losing(), plant.clock)  # type: ignore[arg-type]
    with pytest.raises(Refused):
        device.register(product=product("FCW0000001"), token=token)
    device.register(product=product("FCW0000001"), token=token)
    assert sent[0] == sent[1]
    assert len(plant.instances) == 1


TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "exhausted": ({"uses": 1}, "TOKEN_EXHAUSTED"),
    "expired": ({"days": 1}, "TOKEN_EXPIRED"),
    "revoked": ({}, "TOKEN_REVOKED"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_token_registers_nobody_any_more_once_it_is(registered_plant: Plant, case: str) -> None:
    changes, code = TOKENS[case]
    plant, token = registered_plant, registered_plant.token(**changes)
    first = plant.register("FCW0000001", token=token)
    if case == "revoked":
        revoke_token(plant.site, 1)
    if case == "expired":
        plant.clock.advance(days=1)
    with pytest.raises(Refused) as refusal:
        plant.register("FCW0000002", token=token)
    assert refusal.value.code == code
    assert first.agent.authorize({TAG: 1})["authorization"] == "AUTHORIZED"


def test_a_token_of_another_local_account_registers_there(registered_plant: Plant) -> None:
    create_account(registered_plant.site, "Lab")
    device = registered_plant.register("FCW0000001", token=registered_plant.token(account="Lab"))
    assert device.agent.status()["virtual_account"] == "Lab"
    with pytest.raises(Refused) as refusal:
        registered_plant.register("FCW0000002", token="bm8gdG9rZW4=")
    assert refusal.value.code == "TOKEN_INVALID"


def test_nobody_registers_before_the_server_is(plant: Plant) -> None:
    plant.request_registration()
    device = plant.device("FCW0000001")
    with pytest.raises(Refused, match="not registered yet") as refusal:
        device.register(product=product("FCW0000001"), token="x")
    assert refusal.value.retry_seconds == 3600


def test_a_product_whose_year_has_passed_is_told_to_the_portal(registered_plant: Plant) -> None:
    registered_plant.register("FCW0000001").agent.authorize({TAG: 4})
    registered_plant.clock.advance(days=366)
    registered_plant.portal.sub_ca = make_authority("Test Sub CA", key(2), registered_plant.portal.root, path_length=0)
    told = registered_plant.request_sync(full=True)
    assert b":is_active: false" in told
    assert registered_plant.instances[0]["state"] == "expired"


def test_the_database_tells_no_tokens(registered_plant: Plant) -> None:
    token = registered_plant.token()
    content = b"".join(path.read_bytes() for path in Path(registered_plant.folder).glob("onprem.sqlite3*"))
    assert token.encode() not in content
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in registered_plant.folder.rglob("*") if path.is_file())
    assert registered_plant.folder.stat().st_mode & 0o777 == 0o700
