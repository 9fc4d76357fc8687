"""Local accounts that no file could link: their products are kept, and count from the moment somebody links them."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client

from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError, Forbidden, NotFound
from cssm.common.permissions import Role
from licensing.models import License, ProductInstance, Snapshot, StagedInstance, StagedUse
from licensing.services.devices.held import count_held
from licensing.services.pools.rebuild import check_pools
from sync.models import LocalAccount
from sync.services.linking import link_account, list_linkable
from sync.services.queue import ORPHANED_AFTER, delete_old_files
from sync.services.servers import remove_server
from tests.sync.conftest import Plant, read_response
from tests.sync.files import account, instance

InUse = Callable[..., int]


@pytest.fixture
def plant(authorities: None, bob: User, engineering: VirtualAccount, license: License, now: datetime) -> Plant:
    """Registered by bob, who may manage Engineering only, and create nothing."""
    made = Plant(actor_for_user(bob), engineering, now)
    made.register()
    return made


@pytest.fixture
def floor(default_va: VirtualAccount, now: datetime) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=default_va.smart_account, name="Shop floor", created_at=now)


def link(plant: Plant, actor: Actor, target: VirtualAccount, local_id: str = "2") -> int:
    return link_account(actor=actor, server=plant.row, local_id=local_id, virtual_account=target, now=plant.now)


def held(plant: Plant) -> dict[str, int]:
    counts = count_held(held_id=plant.row.held_id)
    return {LocalAccount.objects.get(pk=pk).name: count for pk, count in counts.items()}


def test_an_unknown_account_is_held_where_its_registrar_may_not_create_one(
    authorities: None,
    bob: User,
    engineering: VirtualAccount,
    default_va: VirtualAccount,
    license: License,
    now: datetime,
):
    plant = Plant(actor_for_user(bob), engineering, now)
    plant.register()
    exchange = plant.upload(
        plant.write(
            account(1, "Engineering", instance(6)),
            account(2, "New", instance(7, uses={"tag_a": 1})),
            account(3, "DEFAULT", instance(8)),
        )
    )
    response = plant.install(exchange)
    assert [marked[":reason"] for marked in response[":marked"]] == ["unlinked_account", "unlinked_account"]
    assert ProductInstance.objects.count() == 1
    held = LocalAccount.objects.filter(virtual_account=None)
    assert sorted(held.values_list("name", "instance_count")) == [("DEFAULT", 1), ("New", 1)]
    dispatch(now=now)
    alert = Alert.objects.get(type="authorization_pending")
    assert "New" in str(alert.params["accounts"])
    Membership.objects.create(user=bob, smart_account=engineering.smart_account, role=Role.SA_ADMIN, created_at=now)
    plant.synchronize(
        account(1, "Engineering", instance(6)), account(2, "New", instance(7)), account(3, "DEFAULT", instance(8)),
        full=True,
    )  # fmt: skip
    assert ProductInstance.objects.count() == 3
    dispatch(now=now)
    alert.refresh_from_db()
    assert alert.cleared_at is not None


def test_what_is_held_counts_at_once_when_its_account_is_linked(
    plant: Plant, floor: VirtualAccount, admin_actor: Actor, in_use: InUse, now: datetime
):
    plant.synchronize(
        account(1, "Engineering", instance(6, uses={"tag_a": 1})),
        account(2, "Hall", instance(7, uses={"tag_a": 2}, hostname="edge-7"), instance(8, uses={"tag_a": 3})),
        account(3, "Yard", instance(9, uses={"tag_a": 5})),
    )
    assert (held(plant), in_use(), in_use(floor)) == ({"Hall": 2, "Yard": 1}, 1, 0)
    dispatch(now=now)
    assert link(plant, admin_actor, floor) == 2
    assert (held(plant), in_use(), in_use(floor)) == ({"Yard": 1}, 1, 5)
    assert ProductInstance.objects.get(external_id="7").hostname == "edge-7"
    assert check_pools(now=now) == []
    dispatch(now=now)
    assert Alert.objects.get(type="authorization_pending", cleared_at=None).params["accounts"] == "Yard"
    response = plant.synchronize(account(2, "Hall", instance(8, uses={"tag_a": 4})))
    assert [row[":name"] for row in response[":synchronization"][":virtual_accounts"]] == ["Engineering", "Shop floor"]
    assert (in_use(floor), LocalAccount.objects.get(local_id="2").name) == (6, "Shop floor")


def test_the_last_account_that_is_linked_clears_the_alert(
    plant: Plant, floor: VirtualAccount, admin_actor: Actor, now: datetime
):
    plant.synchronize(account(2, "Hall", instance(7)))
    dispatch(now=now)
    link(plant, admin_actor, floor)
    dispatch(now=now)
    assert set(Alert.objects.filter(cleared_at=None).values_list("type", flat=True)) == set()


def test_what_is_held_follows_the_files(
    plant: Plant, floor: VirtualAccount, admin_actor: Actor, in_use: InUse, now: datetime
):
    plant.synchronize(account(2, "Hall", *(instance(n, uses={"tag_a": 1}) for n in (1, 2, 3, 4))))
    plant.synchronize(
        account(1, "Engineering", instance(4, uses={"tag_a": 1})),
        account(2, "Hall", instance(1, active=False), instance(2, uses={"tag_a": 7})),
    )
    assert (held(plant), StagedUse.objects.count()) == ({"Hall": 2}, 2)
    assert link(plant, admin_actor, floor) == 2
    assert (in_use(), in_use(floor)) == (1, 8)
    assert not StagedInstance.objects.exists()
    assert not StagedUse.objects.exists()


def test_a_full_file_says_anew_what_is_held(plant: Plant):
    plant.synchronize(account(2, "Hall", instance(1), instance(2)))
    plant.synchronize(account(2, "Hall", instance(2)), full=True)
    assert held(plant) == {"Hall": 1}
    plant.synchronize(account(1, "Engineering"), full=True)
    assert held(plant) == {}


def test_a_later_file_that_links_an_account_counts_what_earlier_ones_named(
    plant: Plant, bob: User, default_va: VirtualAccount, in_use: InUse, now: datetime
):
    """The server has told of it, and does not tell again."""
    plant.synchronize(account(2, "DEFAULT", *(instance(n, uses={"tag_a": 1}) for n in (1, 2, 3))))
    Membership.objects.create(user=bob, smart_account=default_va.smart_account, role=Role.SA_USER, created_at=now)
    plant.synchronize(account(2, "DEFAULT", instance(3, uses={"tag_a": 5}), instance(2, active=False)))
    assert (in_use(default_va), held(plant)) == (6, {})


def test_a_comparison_holds_and_releases_nothing(
    plant: Plant, bob: User, default_va: VirtualAccount, in_use: InUse, now: datetime
):
    plant.synchronize(account(2, "DEFAULT", instance(1, uses={"tag_a": 1})))
    Membership.objects.create(user=bob, smart_account=default_va.smart_account, role=Role.SA_USER, created_at=now)
    compared = plant.upload(plant.write(account(2, "DEFAULT"), account(3, "Hall", instance(4))), dry_run=True)
    assert compared.difference["instances"]["added"] == 1
    assert (held(plant), in_use(default_va)) == ({"DEFAULT": 1}, 0)


def test_a_product_that_counts_elsewhere_is_marked_when_it_is_linked(
    plant: Plant, floor: VirtualAccount, admin_actor: Actor, in_use: InUse
):
    plant.synchronize(
        account(1, "Engineering", instance(5, uses={"tag_a": 1}, udi_serial_number="X")),
        account(2, "Hall", instance(6, uses={"tag_a": 2}, udi_serial_number="X")),
    )
    link(plant, admin_actor, floor)
    assert in_use() + in_use(floor) in {1, 2}
    assert ProductInstance.objects.filter(is_counted=True).count() == 1


def test_who_may_not_manage_both_sides_cannot_link(
    plant: Plant,
    floor: VirtualAccount,
    umbrella: SmartAccount,
    bob: User,
    carol: User,
    mallory: User,
    admin_actor: Actor,
):
    plant.synchronize(account(2, "Hall", instance(7)))
    for user in (bob, carol, mallory):
        with pytest.raises((Forbidden, NotFound)):
            link(plant, actor_for_user(user), floor)
    foreign = VirtualAccount.objects.get(smart_account=umbrella)
    with pytest.raises((Forbidden, NotFound)):
        link(plant, admin_actor, foreign)
    assert held(plant) == {"Hall": 1}
    assert [row.name for row in list_linkable(actor=actor_for_user(bob), server=plant.row)] == ["Engineering"]


def test_an_account_is_linked_once_and_to_one_that_is_free(
    plant: Plant, floor: VirtualAccount, engineering: VirtualAccount, admin_actor: Actor, in_use: InUse
):
    plant.synchronize(account(1, "Engineering"), account(2, "Hall", instance(7, uses={"tag_a": 2})), account(3, "Yard"))

    def refusal(target: VirtualAccount, local_id: str) -> str:
        with pytest.raises(DomainError) as caught:
            link(plant, admin_actor, target, local_id)
        return caught.value.code

    assert refusal(engineering, "2") == "ALREADY_LINKED"
    assert link(plant, admin_actor, floor) == 1
    assert link(plant, admin_actor, floor) == 0
    assert in_use(floor) == 2
    assert (refusal(floor, "3"), refusal(engineering, "1x")) == ("ALREADY_LINKED", "NOT_FOUND")


def test_what_is_held_lasts_as_long_as_its_server(plant: Plant, floor: VirtualAccount, admin_actor: Actor):
    plant.synchronize(account(2, "Hall", instance(7, uses={"tag_a": 2})))
    delete_old_files(now=plant.now + ORPHANED_AFTER + timedelta(hours=1))
    assert held(plant) == {"Hall": 1}
    remove_server(actor=admin_actor, server=plant.row, now=plant.now)
    assert (Snapshot.objects.count(), StagedInstance.objects.count(), StagedUse.objects.count()) == (0, 0, 0)
    with pytest.raises((Conflict, NotFound)):
        link(plant, admin_actor, floor)


def test_the_page_of_the_server_leads_to_the_link(
    plant: Plant, floor: VirtualAccount, alice: User, carol: User, in_use: InUse
):
    response = read_response(plant.upload(plant.write(account(2, "Hall", instance(7, uses={"tag_a": 2})))))
    assert [row[":reason"] for row in response[":marked"]] == ["unlinked_account"]
    page = f"/accounts/acme.example/onprem/{plant.server.uuid}/"
    url = f"{page}local-accounts/{LocalAccount.objects.get(local_id='2').pk}/link/"
    browser = Client()
    browser.force_login(carol)
    assert url not in browser.get(page).content.decode()
    browser.force_login(alice)
    shown = browser.get(page).content.decode()
    assert url in shown
    assert "1 product instance counts nowhere until it is linked." in shown
    assert "1 of its Virtual Accounts is not linked." in shown
    assert "Shop floor" in browser.get(url).content.decode()
    assert browser.post(url, {"virtual_account": ""}).status_code == 422
    answer = browser.post(url, {"virtual_account": str(floor.pk)}, follow=True)
    assert "“Hall” is linked to Shop floor, with 1 product instance." in answer.content.decode()
    assert "not linked" not in browser.get(page).content.decode()
    assert in_use(floor) == 2
    assert browser.get(f"{page}local-accounts/999999/link/").status_code == 404
