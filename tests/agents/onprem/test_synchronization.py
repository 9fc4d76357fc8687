"""What synchronization requests tell: increments, everything, privacy, names, HTTPS certificates."""

from typing import Any

import pytest

from agents.onprem.accounts import create_account, rename_account
from agents.onprem.enrolment import request_https
from agents.onprem.errors import NotReady
from agents.onprem.privacy import set_privacy
from tests.agents.conftest import TAG, Device
from tests.agents.onprem.conftest import SOFTWARE, Plant, product
from tests.agents.onprem.portal import FakePortal, account, owned, read_file


def told(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The instances of a request by serial number."""
    accounts = request["virtual_accounts"]
    return {one["udi_serial_number"]: one for account in accounts for one in account["product_instances"]}


def read(plant: Plant, *, full: bool = False) -> dict[str, Any]:
    return read_file(plant.request_sync(full=full))[0]


def test_a_request_tells_what_tables_3_and_4_name(registered_plant: Plant) -> None:
    plant = registered_plant
    about = {"hostname": "edge-1", "ip_address": "10.0.0.1", "mac_address": "00:11:22:33:44:55"}
    plant.register("FCW1", **about).agent.authorize({TAG: 3, "other": 0})
    request = read(plant)

    assert list(request) == [
        "format", "type", "sync_version", "ssms_version", "id_cert", "signing_cert", "collector_id", "last-sync",
        "last_generated", "virtual_accounts",
    ]  # fmt: skip
    assert request["collector_id"] == plant.server.instance_id
    assert request["last-sync"] == "2026-03-02T09:30:00Z"
    (engineering,) = request["virtual_accounts"]
    assert (engineering["id"], engineering["name"]) == (1, "Engineering")
    (instance,) = engineering["product_instances"]
    assert instance == about | {
        "id": 1,
        "is_active": True,
        "software_tag_identifier": SOFTWARE,
        "udi_pid": "C9300-24UX",
        "udi_serial_number": "FCW1",
        "registered_at": "2026-03-02T09:30:00.000Z",
        "license": [{"id": 1, "tag": TAG, "consumed_quantity": 3}],
    }


def test_an_incremental_request_names_only_what_changed_since_the_last_response(registered_plant: Plant) -> None:
    plant = registered_plant
    one, two = plant.register("FCW1"), plant.register("FCW2")
    one.agent.authorize({TAG: 1})
    assert set(told(plant.synchronize())) == {"FCW1", "FCW2"}

    assert plant.synchronize()["virtual_accounts"] == []
    one.agent.authorize({TAG: 1})
    assert plant.synchronize()["virtual_accounts"] == []

    two.agent.authorize({TAG: 2, "x": 1})
    changed = told(plant.synchronize())
    assert set(changed) == {"FCW2"}
    assert {(use["tag"], use["consumed_quantity"]) for use in changed["FCW2"]["license"]} == {(TAG, 2), ("x", 1)}


def test_what_no_response_has_confirmed_is_told_again(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    plant.register("FCW1").agent.authorize({TAG: 1})
    plant.clock.advance(minutes=1)
    lost = plant.request_sync()
    plant.register("FCW2")
    assert set(told(plant.synchronize())) == {"FCW1", "FCW2"}
    assert set(told(read_file(lost)[0])) == {"FCW1"}


def test_what_changes_after_a_request_is_not_lost_with_its_response(
    registered_plant: Plant, portal: FakePortal
) -> None:
    plant = registered_plant
    device = plant.register("FCW1")
    device.agent.authorize({TAG: 1})
    plant.clock.advance(minutes=1)
    response = portal.respond(plant.request_sync())
    device.agent.authorize({TAG: 5})
    plant.install_sync(response)
    assert told(plant.synchronize())["FCW1"]["license"][0]["consumed_quantity"] == 5


def test_a_full_request_names_everything_and_quotes_nothing(registered_plant: Plant) -> None:
    plant = registered_plant
    plant.register("FCW1")
    create_account(plant.site, "Empty")
    plant.synchronize()
    plant.clock.advance(minutes=1)
    request = read(plant, full=True)
    assert request["last-sync"] is None
    assert [one["name"] for one in request["virtual_accounts"]] == ["Engineering", "Empty"]
    assert set(told(request)) == {"FCW1"}


def test_a_product_that_left_is_named_inactive_until_the_portal_knows(registered_plant: Plant) -> None:
    plant = registered_plant
    device = plant.register("FCW1")
    device.agent.authorize({TAG: 1})
    plant.synchronize()
    device.agent.deregister()
    gone = told(plant.synchronize(full=True))["FCW1"]
    assert (gone["is_active"], gone["license"]) == (False, [])
    assert told(plant.synchronize(full=True)) == {}


def test_ids_are_never_used_twice(registered_plant: Plant) -> None:
    plant = registered_plant
    plant.register("FCW1")
    again = Device(plant.desk / "again", plant.device("X").server, plant.clock)
    again.register(product=product("FCW1"), token=plant.token())
    instances = plant.synchronize()["virtual_accounts"][0]["product_instances"]
    assert [(one["id"], one["is_active"]) for one in instances] == [(1, False), (2, True)]


def test_each_request_is_newer_than_the_one_before(registered_plant: Plant) -> None:
    generated = [read(registered_plant)["last_generated"] for _ in range(3)]
    assert generated == sorted(set(generated))
    registered_plant.clock.advance(days=-1)
    assert read(registered_plant)["last_generated"] > generated[-1]


@pytest.mark.parametrize("name", ["hostname", "ip_address", "mac_address"])
def test_what_is_private_is_not_sent_and_what_was_known_is_erased(registered_plant: Plant, name: str) -> None:
    plant = registered_plant
    about = {"hostname": "edge-1", "ip_address": "10.0.0.1", "mac_address": "00:11:22:33:44:55"}
    plant.register("FCW1", **about)
    plant.register("FCW2")
    assert told(plant.synchronize())["FCW1"][name] == about[name]

    assert set_privacy(plant.site, **{name: False})[name] is False
    changed = told(plant.synchronize())
    assert set(changed) == {"FCW1"}
    assert name not in changed["FCW1"]
    assert {other for other in about if other in changed["FCW1"]} == set(about) - {name}
    assert plant.synchronize()["virtual_accounts"] == []

    set_privacy(plant.site, **{name: True})
    assert told(plant.synchronize())["FCW1"][name] == about[name]


def test_the_newer_name_of_a_virtual_account_wins(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    rename_account(plant.site, "Engineering", "Works")
    assert plant.synchronize()["virtual_accounts"] == [{"id": 1, "name": "Works", "product_instances": []}]
    assert plant.status["virtual_accounts"][0]["name"] == "Engineering"

    plant.clock.advance(minutes=1)
    portal.accounts = account(1, "From the portal")
    response = portal.respond(plant.request_sync())
    rename_account(plant.site, "Engineering", "Later here")
    plant.install_sync(response)
    assert plant.status["virtual_accounts"][0]["name"] == "Later here"
    assert plant.synchronize()["virtual_accounts"][0]["name"] == "Later here"


def test_virtual_accounts_may_swap_names(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    create_account(plant.site, "Lab")
    plant.synchronize()
    portal.accounts = account(1, "Lab", owned(TAG, 1)) + account(2, "Engineering", owned(TAG, 2))
    plant.synchronize()
    names = [(one["name"], one["licenses"][0]["purchased"]) for one in plant.status["virtual_accounts"]]
    assert names == [("Lab", 1), ("Engineering", 2)]


def test_a_virtual_account_that_the_portal_links_is_new_here(registered_plant: Plant, portal: FakePortal) -> None:
    portal.accounts = account(1, "Engineering") + account(7, "Sales", owned(TAG, 4))
    registered_plant.synchronize()
    sales = registered_plant.status["virtual_accounts"][1]
    assert (sales["id"], sales["name"], sales["licenses"][0]["purchased"]) == (7, "Sales", 4)


def test_a_license_that_is_no_longer_owned_disappears(registered_plant: Plant, portal: FakePortal) -> None:
    portal.accounts = account(1, "Engineering")
    registered_plant.synchronize()
    assert registered_plant.status["virtual_accounts"][0]["licenses"] == []


def test_providers_come_with_full_ones_and_stay(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    told_providers = "\n- :provider: SPEECHVIEW\n  :enabled: true\n  :keys:\n  - :name: a\n    :value: b"
    portal.alter = lambda values: values.update(third_party_providers=told_providers)
    plant.synchronize(full=True)
    portal.alter = None
    plant.synchronize()
    assert plant.status["third_party_providers"] == [{"provider": "SPEECHVIEW", "enabled": True}]


def test_marked_instances_are_shown_until_the_next_response(registered_plant: Plant, portal: FakePortal) -> None:
    marks = "\n- :id: 1\n  :udi_serial_number: FCW1\n  :reason: UDI_REGISTERED_ELSEWHERE"
    portal.alter = lambda values: values.update(marked=marks)
    registered_plant.synchronize()
    (mark,) = registered_plant.status["marked"]
    assert mark["reason"] == "UDI_REGISTERED_ELSEWHERE"
    portal.alter = None
    registered_plant.synchronize()
    assert registered_plant.status["marked"] == []


def test_the_identity_is_renewed_by_every_response(registered_plant: Plant) -> None:
    before = registered_plant.server.certificates["id_cert"]
    registered_plant.synchronize()
    assert registered_plant.server.certificates["id_cert"] != before


def test_https_for_other_host_names_is_asked_for_until_it_comes(registered_plant: Plant, portal: FakePortal) -> None:
    plant = registered_plant
    request_https(plant.site, ["lic.example"])
    old = plant.server.keys
    plant.clock.advance(minutes=1)
    assert "tg_csr" in read(plant)
    request = plant.synchronize()
    assert "ssms_csr" in request
    new = plant.server.keys
    assert new is not None
    assert old is not None
    assert (new.lcs, new.hosts) == (old.lcs, ["lic.example"])
    assert new.tg != old.tg
    assert "tg_csr" not in plant.synchronize()


def test_a_request_is_remembered_before_anybody_can_carry_it_away(
    registered_plant: Plant, portal: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = registered_plant
    plant.register("FCW1").agent.authorize({TAG: 2})
    plant.clock.advance(minutes=1)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for moment in ("agents.onprem.synchronization._remember_export", "agents.onprem.documents.envelope.os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(moment, crash)
            with pytest.raises(KeyboardInterrupt):
                plant.request_sync()
        assert not (plant.desk / "request.yaml").exists()
    assert set(told(plant.synchronize())) == {"FCW1"}


def test_an_unregistered_server_writes_no_request(plant: Plant) -> None:
    plant.request_registration()
    with pytest.raises(NotReady):
        plant.request_sync()


def test_a_server_that_is_silent_says_so(registered_plant: Plant) -> None:
    def warning() -> str:
        return " ".join(registered_plant.status["warnings"])

    assert warning() == ""
    for days, words in ((30, "overdue"), (30, "more than 60 days"), (30, "removes a server after 90")):
        registered_plant.clock.advance(days=days)
        assert words in warning()
