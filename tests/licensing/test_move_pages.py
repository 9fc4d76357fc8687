"""Transferring product instances in the portal: chosen, reviewed with what moves with them, done."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import VirtualAccount
from licensing.models import License, ProductInstance
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use
from tests.licensing.test_transfer_pages import go, key_of, text_of
from tests.portal.markup import check_page

pytestmark = pytest.mark.django_db
VA = "/accounts/acme.example/inventory/Engineering/"
WIZARD = f"{VA}instances/transfer/"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def router(db: None) -> License:
    return make_license("ROUTER", NOW)


@pytest.fixture
def instance(engineering: VirtualAccount, router: License) -> ProductInstance:
    """In Engineering, which owns 3 and is one short; a peer of its HA group uses nothing of its own."""
    deliver(engineering, line(router, 3), now=NOW)
    made, peer = make_instance(engineering, NOW), make_instance(engineering, NOW)
    ProductInstance.objects.filter(pk=made.pk).update(hostname="edge-1")
    ProductInstance.objects.filter(pk=peer.pk).update(hostname="edge-2", ha_group=made.ha_group, is_counted=False)
    use(made, router, 4, NOW)
    made.refresh_from_db()
    return made


def choose(client: Client, *instances: ProductInstance) -> Any:
    return go(client, client.post(WIZARD, {"open": "1", "selected": [str(each.piid) for each in instances]}))


def review(client: Client, target: str = "DEFAULT") -> Any:
    return go(client, client.post(f"{WIZARD}?step=target", {"target": target}))


def test_the_review_tells_what_moves_along_and_what_becomes_of_both_sides(
    alice_client: Client, instance: ProductInstance, router: License, engineering: VirtualAccount, default_va: Any
):
    page = go(alice_client, alice_client.get(WIZARD, {"instance": str(instance.piid)}))
    assert "edge-1" in text_of(page)
    text = text_of(review(alice_client))
    assert "2 product instances will move" in text
    assert "4 ROUTER name" in text
    assert f"edge-2 {instance.ha_group.instances.exclude(pk=instance.pk).get().udi} member of the same" in text
    assert "Engineering ROUTER name 3 4 → 0 -1 → 3 Out Of Compliance → In Compliance" in text
    assert "DEFAULT ROUTER name 0 0 → 4 0 → -4 In Compliance → Out Of Compliance" in text
    instance.refresh_from_db()
    assert instance.virtual_account == engineering, "nothing moves before it is confirmed"


def test_what_the_review_says_is_what_happens(
    alice_client: Client, instance: ProductInstance, router: License, engineering: VirtualAccount, default_va: Any
):
    choose(alice_client, instance)
    page = review(alice_client)
    done = check_page(alice_client.post(f"{WIZARD}?step=review", {"key": key_of(page)}))
    assert "1 of 1 product instance was transferred to DEFAULT" in text_of(done)
    assert "together with" in text_of(done)
    assert ProductInstance.objects.filter(virtual_account=default_va).count() == 2
    assert (live(router, engineering, NOW).now_balance, live(router, default_va, NOW).now_balance) == (3, -4)
    assert check_pools(now=NOW) == []
    again = alice_client.post(f"{WIZARD}?step=review", {"key": key_of(page)})
    assert "they were transferred already" in text_of(go(alice_client, again))


def test_many_are_chosen_in_the_table_and_the_ended_one_stays(
    alice_client: Client, instance: ProductInstance, engineering: VirtualAccount, default_va: VirtualAccount
):
    other, ended = make_instance(engineering, NOW), make_instance(engineering, NOW)
    ProductInstance.objects.filter(pk=ended.pk).update(state=InstanceState.REMOVED)
    bar = check_page(alice_client.get(f"{VA}instances/")).xpath("//form[@data-selection]")[0]
    assert WIZARD in bar.xpath(".//button/@formaction")
    choose(alice_client, instance, other, ended)
    page = review(alice_client)
    assert f"{ended.udi} : Its registration has ended." in text_of(page)
    done = check_page(alice_client.post(f"{WIZARD}?step=review", {"key": key_of(page)}))
    assert "2 of 3 product instances were transferred" in text_of(done)
    assert set(ProductInstance.objects.filter(virtual_account=engineering)) == {ended}


def test_nobody_transfers_what_is_not_theirs(
    bob_client: Client,
    carol_client: Client,
    mallory_client: Client,
    instance: ProductInstance,
    default_va: VirtualAccount,
):
    assert carol_client.get(WIZARD).status_code == 403
    assert mallory_client.get(WIZARD).status_code == 404
    assert "transfer/" not in carol_client.get(f"{VA}instances/").content.decode()
    there = make_instance(default_va, NOW)
    response = bob_client.post(WIZARD, {"open": "1", "selected": [str(there.piid)]})
    assert response.headers["Location"] == f"{VA}instances/"
    choose(bob_client, instance)
    refused = check_page(bob_client.post(f"{WIZARD}?step=target", {"target": "DEFAULT"}), status=422)
    assert "Select a valid choice" in text_of(refused)


@pytest.mark.parametrize("key", ["nonsense", "-1", "0", "00000000-0000-0000-0000-000000000000"])
def test_keys_that_are_none_lead_back_to_the_table(alice_client: Client, instance: ProductInstance, key: str):
    assert alice_client.get(WIZARD, {"instance": key}).headers["Location"] == f"{VA}instances/"


def test_without_a_choice_it_leads_back_to_the_table(alice_client: Client, instance: ProductInstance):
    for answer in (alice_client.get(WIZARD), alice_client.post(f"{WIZARD}?step=review")):
        assert answer.headers["Location"] == f"{VA}instances/"
