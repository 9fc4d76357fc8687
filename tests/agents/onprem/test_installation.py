"""What an on-prem server installs, and everything that it refuses: then all stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.common.errors import AgentError
from agents.onprem.enrolment import read_trust, replace_trust
from agents.onprem.errors import FileRefused, NotReady
from agents.onprem.server import Phase
from tests.agents.certificates import ID_PURPOSE, dump, issue, key, make_authority
from tests.agents.conftest import TAG, Clock
from tests.agents.onprem.conftest import Plant
from tests.agents.onprem.portal import FakePortal, account, block, owned, seal

Spoil = Callable[[FakePortal, dict[str, str]], None]


def test_an_authorization_file_makes_the_server_a_registered_one(plant: Plant, portal: FakePortal) -> None:
    outcome = plant.install_authorization(portal.authorize(plant.request_registration()))
    assert (outcome["installed"], outcome["smart_account"], outcome["three_tier"]) == (True, "Acme", False)
    status = plant.status
    assert (status["phase"], status["account_domain"]) == (Phase.REGISTERED, "acme.example")
    assert status["last_sync"] == "2026-03-02T09:30:00Z"
    assert set(status["certificates"]) == set(portal.certificates())
    (engineering,) = status["virtual_accounts"]
    assert (engineering["id"], engineering["name"]) == (1, "Engineering")
    assert engineering["licenses"][0]["purchased"] == 10


def test_the_same_file_again_changes_nothing(registered_plant: Plant, portal: FakePortal) -> None:
    file = portal.authorize(registered_plant.request_registration())
    registered_plant.clock.advance(minutes=1)
    newer = portal.authorize(registered_plant.request_registration())
    assert registered_plant.install_authorization(newer)["installed"]
    assert not registered_plant.install_authorization(newer)["installed"]
    with pytest.raises(AgentError):
        registered_plant.install_authorization(file)


def of_another_server(portal: FakePortal, values: dict[str, str]) -> None:
    values["uuid"] = "11111111-2222-3333-4444-555555555555"


def signing_of_another_server(portal: FakePortal, values: dict[str, str]) -> None:
    other = issue("11111111-2222-3333-4444-555555555555", key(5).public_key(), portal.sub_ca)
    values["signing_cert"] = block(dump(other))


def id_of_another_server(portal: FakePortal, values: dict[str, str]) -> None:
    other = issue("11111111-2222-3333-4444-555555555555", key(6).public_key(), portal.sub_ca, purposes=ID_PURPOSE)
    values["id_cert"] = block(dump(other))


def id_for_another_key(portal: FakePortal, values: dict[str, str]) -> None:
    values["id_cert"] = block(dump(issue(portal.instance_id, key(12).public_key(), portal.sub_ca, purposes=ID_PURPOSE)))


def by_another_on_prem_server(portal: FakePortal, values: dict[str, str]) -> None:
    """Mallory's own authority (4 tiers below our root) issues an identity and a signing certificate in our name."""
    mallory = portal.local_authority(key(12).public_key(), portal.satellite_ca)
    forger = type(mallory)(key(12), mallory.certificate)
    values["sub_ca_cert"] = block(forger.pem)
    values["id_cert"] = block(dump(issue(portal.instance_id, key(6).public_key(), forger, purposes=ID_PURPOSE)))
    values["signing_cert"] = block(dump(issue(portal.instance_id, portal.signing_key.public_key(), forger)))


def by_another_root(portal: FakePortal, values: dict[str, str]) -> None:
    root = make_authority("Test Root", key(12))
    sub_ca = make_authority("Test Sub CA", key(11), root, path_length=0)
    values["sub_ca_cert"] = block(sub_ca.pem)
    values["id_cert"] = block(dump(issue(portal.instance_id, key(6).public_key(), sub_ca, purposes=ID_PURPOSE)))
    values["signing_cert"] = block(dump(issue(portal.instance_id, portal.signing_key.public_key(), sub_ca)))


def an_identity_signs(portal: FakePortal, values: dict[str, str]) -> None:
    made = issue(portal.instance_id, portal.signing_key.public_key(), portal.sub_ca, purposes=ID_PURPOSE)
    values["signing_cert"] = block(dump(made))


def local_authority_for_another_key(portal: FakePortal, values: dict[str, str]) -> None:
    values["local_sub_ca_cert_1_1"] = block(portal.local_authority(key(12).public_key(), portal.satellite_ca).pem)


def three_tier_by_the_satellite_authority(portal: FakePortal, values: dict[str, str]) -> None:
    values["local_sub_ca_cert"] = block(portal.local_authority(key(6).public_key(), portal.satellite_ca).pem)


def https_for_another_key(portal: FakePortal, values: dict[str, str]) -> None:
    values["tg_ssl_cert"] = values["ssms_ssl_cert"]


def expired(portal: FakePortal, values: dict[str, str]) -> None:
    long_ago = portal.clock().replace(year=2020)
    old = issue(portal.instance_id, key(6).public_key(), portal.sub_ca, purposes=ID_PURPOSE, start=long_ago)
    values["id_cert"] = block(dump(old))


def failed(portal: FakePortal, values: dict[str, str]) -> None:
    values["status"] = "FAILED"


LIES: dict[str, tuple[Spoil, str, str]] = {
    "for another server": (of_another_server, "ACCOUNT_MISMATCH", "another on-prem server"),
    "signed for another server": (signing_of_another_server, "CERTIFICATE_INVALID", "another server's"),
    "identity of another server": (id_of_another_server, "CERTIFICATE_INVALID", "another server's"),
    "identity for another key": (id_for_another_key, "CERTIFICATE_INVALID", "another key"),
    "forged by another on-prem server": (by_another_on_prem_server, "CERTIFICATE_INVALID", "states another key"),
    "below another root": (by_another_root, "CERTIFICATE_INVALID", "states another key|stated issuer"),
    "signed by an identity": (an_identity_signs, "CERTIFICATE_INVALID", "is an identity"),
    "authority for another key": (local_authority_for_another_key, "CERTIFICATE_INVALID", "another key"),
    "3 tiers that are 4": (three_tier_by_the_satellite_authority, "CERTIFICATE_INVALID", "states another key"),
    "https for another key": (https_for_another_key, "CERTIFICATE_INVALID", "another key"),
    "expired": (expired, "CERTIFICATE_INVALID", "expired"),
    "a registration that failed": (failed, "MALFORMED", "did not succeed"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_authorization_file_that_lies_is_refused_whole(plant: Plant, portal: FakePortal, lie: str) -> None:
    spoil, code, reason = LIES[lie]
    file = plant.request_registration()
    portal.alter = lambda values: spoil(portal, values)
    with pytest.raises(FileRefused, match=reason) as refusal:
        plant.install_authorization(portal.authorize(file))
    assert refusal.value.code == code
    assert (plant.status["phase"], plant.status["virtual_accounts"]) == (Phase.REQUESTED, [])

    portal.alter = None
    assert plant.install_authorization(portal.authorize(file))["installed"]


@pytest.mark.parametrize(
    "lie", [name for name in LIES if name not in ("for another server", "a registration that failed")]
)
def test_a_synchronization_response_that_lies_is_refused_whole(
    registered_plant: Plant, portal: FakePortal, lie: str
) -> None:
    spoil, code, _ = LIES[lie]
    plant = registered_plant
    plant.clock.advance(minutes=1)
    before, file = plant.status, plant.request_sync()
    portal.accounts = account(1, "Renamed", owned(TAG, 99)) + account(5, "New")
    portal.alter = lambda values: spoil(portal, values)
    with pytest.raises(FileRefused) as refusal:
        plant.install_sync(portal.respond(file))
    assert refusal.value.code == code
    assert plant.status == before | {"last_generated": plant.status["last_generated"]}


def test_edited_bytes_and_a_signature_of_another_file_are_refused(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    plant.clock.advance(minutes=1)
    right = portal.respond(plant.request_sync())
    plant.clock.advance(minutes=1)
    other = portal.respond(plant.request_sync())
    edited = right.replace(b":purchased_quantity: 10", b":purchased_quantity: 99")
    mixed = right[: right.rindex(b"---\n")] + other[other.rindex(b"---\n") :]
    for file in (edited, mixed, right[:-30], right + b"x", right.replace(b"\n", b"\r\n")):
        with pytest.raises(FileRefused) as refusal:
            plant.install_sync(file)
        assert refusal.value.code == "SIGNATURE_INVALID"
    assert plant.install_sync(right)["installed"]


def test_a_file_signed_with_another_key_than_its_certificate_s_is_refused(plant: Plant, portal: FakePortal) -> None:
    file = portal.authorize(plant.request_registration())
    content = file[: file.rindex(b"---\n")]
    own = issue(portal.instance_id, key(12).public_key(), portal.sub_ca)
    with pytest.raises(FileRefused, match="not signed with the key of the signing_cert"):
        plant.install_authorization(seal(content, key(12), dump(own)))


def test_an_older_response_is_refused_after_a_newer_one(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    plant.clock.advance(minutes=1)
    older = portal.respond(plant.request_sync())
    plant.clock.advance(minutes=1)
    plant.install_sync(portal.respond(plant.request_sync()))
    with pytest.raises(FileRefused, match="not newer") as refusal:
        plant.install_sync(older)
    assert refusal.value.code == "STALE_FILE"


def test_a_response_to_a_request_of_somebody_else_is_refused(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    plant.clock.advance(minutes=1)
    file = portal.respond(plant.request_sync(), last_generated='"2026-01-01T00:00:00.000Z"')
    with pytest.raises(FileRefused) as refusal:
        plant.install_sync(file)
    assert (refusal.value.code, refusal.value.key) == ("STALE_FILE", ":last_generated:")


def test_a_response_for_another_server_is_refused(registered_plant: Plant, portal: FakePortal) -> None:
    registered_plant.clock.advance(minutes=1)
    other = '"11111111-2222-3333-4444-555555555555"'
    file = portal.respond(registered_plant.request_sync(), collector_instance_id=other)
    with pytest.raises(FileRefused) as refusal:
        registered_plant.install_sync(file)
    assert refusal.value.code == "ACCOUNT_MISMATCH"


def forge_through_a_three_tier_authority(plant: Plant, portal: FakePortal) -> bytes:
    """Mallory's on-prem server holds an authority directly below the root, as the Product Sub CA is."""
    mallory = portal.local_authority(key(12).public_key(), portal.root)
    portal.sub_ca = type(mallory)(key(12), mallory.certificate)
    portal.signing_key = key(11)
    return portal.respond(plant.request_sync())


def test_the_first_file_fixes_who_may_issue(registered_plant: Plant, portal: FakePortal) -> None:
    registered_plant.clock.advance(minutes=1)
    forged = forge_through_a_three_tier_authority(registered_plant, portal)
    with pytest.raises(FileRefused, match="another authority's than the one trusted"):
        registered_plant.install_sync(forged)


def test_exported_trust_fixes_who_may_issue_from_the_start(plant: Plant, portal: FakePortal) -> None:
    folder = plant.desk / "trust"
    folder.mkdir()
    for name, authority in (("root", portal.root), ("sub-ca", portal.sub_ca), ("satellite-ca", portal.satellite_ca)):
        (folder / f"{name}.pem").write_text(authority.pem)
    file = plant.request_registration(trust=folder)
    honest = portal.sub_ca
    mallory = portal.local_authority(key(12).public_key(), portal.root)
    portal.sub_ca = type(mallory)(key(12), mallory.certificate)
    with pytest.raises(FileRefused, match="another authority's than the one trusted"):
        plant.install_authorization(portal.authorize(file))
    portal.sub_ca = honest
    assert plant.install_authorization(portal.authorize(file))["installed"]


def test_a_new_authority_is_believed_once_its_trust_was_exported(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    plant.clock.advance(minutes=1)
    portal.sub_ca = make_authority("Test Sub CA", key(12), portal.root, path_length=0)
    file = portal.respond(plant.request_sync())
    with pytest.raises(FileRefused):
        plant.install_sync(file)
    replace_trust(plant.site, plant.put("new-root.pem", portal.root.pem.encode()))
    assert plant.install_sync(file)["installed"]


def test_another_root_is_not_taken_for_a_root(plant: Plant, portal: FakePortal) -> None:
    path = plant.put("not-a-root.pem", portal.sub_ca.pem.encode())
    with pytest.raises(AgentError, match="cannot be trusted as a root"):
        read_trust(plant.site, path)


def test_nothing_is_installed_where_nothing_was_asked_for(plant: Plant, portal: FakePortal, clock: Clock) -> None:
    request = plant.request_registration()
    plant.install_authorization(portal.authorize(request))
    clock.advance(minutes=1)
    with pytest.raises(NotReady):
        plant.install_authorization(portal.authorize(request))


def test_a_restored_server_registers_anew_with_other_keys(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    portal.three_tier = True
    plant.synchronize()
    before = plant.server
    plant.clock.advance(hours=1)
    portal.three_tier = False
    file = plant.request_registration(new_keys=True)
    assert plant.server.keys == before.keys
    assert plant.synchronize()["collector_id"] == plant.server.instance_id

    plant.clock.advance(hours=1)
    plant.install_authorization(portal.authorize(file))
    after = plant.server
    assert after.keys is not None
    assert before.keys is not None
    assert after.keys.lcs != before.keys.lcs
    assert "local_sub_ca_cert" not in after.certificates
    names = {path.name for path in plant.folder.glob("*.key")}
    assert names == {after.keys.lcs, after.keys.tg, after.keys.ssms}


def test_the_state_survives_a_crash_in_the_middle(
    registered_plant: Plant, portal: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = registered_plant
    plant.clock.advance(minutes=1)
    portal.accounts = account(1, "Renamed", owned(TAG, 99))
    file = portal.respond(plant.request_sync())
    before: dict[str, Any] = plant.status

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agents.onprem.synchronization._note_installed", crash)
        with pytest.raises(KeyboardInterrupt):
            plant.install_sync(file)
    assert plant.status == before
    assert plant.install_sync(file)["installed"]
    assert plant.status["virtual_accounts"][0]["name"] == "Renamed"
