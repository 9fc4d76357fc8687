"""Endpoint reports: what several controllers see counts once, with one that is there."""

from datetime import timedelta

import pytest

from accounts.models import Event
from accounts.services.actors import actor_for_user
from licensing.models import Endpoint, ProductInstance, Usage
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.moving import transfer_instances
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.licensing.device_driver import Device
from tests.licensing.stock import deliver, line, live, make_license

TAG = "AP_LICENSE"


@pytest.fixture
def license(engineering, now):
    license = make_license(TAG, now)
    deliver(engineering, line(license, 10), now=now)
    return license


@pytest.fixture
def controllers(token, license, now):
    """Two controllers of Engineering."""
    both = [Device(now, number) for number in (0, 1)]
    for device in both:
        assert device.register(token).code is None
        assert device.ack().code is None
    return both


def report(device, *names, tag=TAG):
    endpoints = [{"identifier": name, "type": "AP", "tag": tag} for name in names]
    reply = device.ask("ENDPOINT_REPORT", {"endpoints": endpoints})
    assert (reply.code, reply.is_by(device.signing_cert)) == (None, True), reply.text
    return reply.data["accepted"], reply.data["duplicates"]


@pytest.fixture
def in_use(license, engineering, now):
    """Live, folded, and from the records."""

    def figure(place=engineering, at=now):
        assert check_pools(now=at) == []
        fold_due(now=at)
        assert check_pools(now=at) == []
        return live(license, place, at).now_in_use

    return figure


def instance_of(device):
    return ProductInstance.objects.get(piid=device.piid)


def counted_by(device):
    rows = Endpoint.objects.filter(instance=instance_of(device), is_counted=True)
    return sorted(rows.values_list("identifier", flat=True))


def test_an_endpoint_that_two_controllers_see_counts_once(controllers, in_use):
    one, two = controllers
    assert report(one, "a", "b") == (2, 0)
    assert report(two, "b", "c") == (1, 1)
    assert in_use() == 3
    assert (counted_by(one), counted_by(two)) == (["a", "b"], ["c"])


def test_an_endpoint_that_is_named_twice_counts_once(controllers, in_use):
    assert report(controllers[0], "a", "a") == (1, 1)
    assert in_use() == 1


def test_it_counts_beside_what_the_controller_reports_by_itself(controllers, in_use):
    one, _ = controllers
    report(one, "a", "b")
    assert one.authorize({TAG: 4}).data["entitlements"] == [{"tag": TAG, "count": 4, "status": "AUTHORIZED"}]
    assert in_use() == 6
    assert one.authorize({}).code is None
    assert in_use() == 2


def test_the_same_report_again_writes_nothing(controllers, count_rows, in_use):
    one, _ = controllers
    body = one.request("ENDPOINT_REPORT", {"endpoints": [{"identifier": "a", "type": "AP", "tag": TAG}]})
    first = one.send(body)
    before = count_rows()
    assert one.send(body).body == first.body
    one.wait(hours=1)
    assert report(one, "a") == (1, 0)
    assert count_rows() == before
    assert in_use() == 1


def test_what_is_reported_no_more_is_counted_by_another_that_sees_it(controllers, in_use):
    one, two = controllers
    report(one, "a", "b")
    report(two, "a")
    assert report(one, "b") == (1, 0)
    assert (counted_by(one), counted_by(two)) == (["b"], ["a"])
    assert in_use() == 2
    assert report(two, "a") == (1, 0)


def test_when_a_controller_ends_another_that_sees_its_endpoints_takes_over_at_once(controllers, in_use, alice, now):
    one, two = controllers
    report(one, "a", "b")
    report(two, "b")
    remove_instance(actor=actor_for_user(alice), instance=instance_of(one), now=now)
    assert in_use() == 1
    assert counted_by(two) == ["b"]
    assert not Endpoint.objects.filter(instance=instance_of(one)).exists()
    assert two.deregister().code is None
    assert in_use() == 0
    assert not Usage.objects.exists()


def test_endpoints_of_another_account_are_none_of_ours(controllers, foreign_token, now):
    stranger = Device(now, 4)
    stranger.register(foreign_token)
    assert report(controllers[0], "a") == (1, 0)
    assert report(stranger, "a") == (1, 0)


def test_controllers_in_two_virtual_accounts_count_once_and_move_with_what_they_count(
    controllers, in_use, alice, engineering, default_va, now
):
    one, two = controllers
    report(one, "a", "b")
    transfer_instances(actor=actor_for_user(alice), instances=[instance_of(one)], target=default_va, now=now)
    assert (in_use(), in_use(default_va)) == (0, 2)
    assert report(two, "a") == (0, 1)
    assert report(one) == (0, 0)
    assert (in_use(), in_use(default_va)) == (1, 0)


def test_who_stands_by_counts_no_endpoints_and_takes_over_when_it_becomes_active(controllers, in_use):
    one, two = controllers
    one.authorize({TAG: 1}, ha_peers=[two.sudi])
    two.authorize({TAG: 1}, ha_peers=[one.sudi])
    one.authorize({TAG: 1}, ha_peers=[two.sudi])
    assert report(one, "a", "b") == (2, 0)
    assert report(two, "a", "b", "c") == (0, 3)
    assert in_use() == 1 + 2
    two.authorize({TAG: 2}, ha_peers=[one.sudi])
    assert in_use() == 2 + 3
    assert (counted_by(one), counted_by(two)) == ([], ["a", "b", "c"])


def test_a_tag_that_the_catalog_does_not_know_is_kept_and_counts_nowhere(controllers, in_use):
    assert report(controllers[0], "a", tag="NOSUCH") == (1, 0)
    assert in_use() == 0
    assert Usage.objects.get().kind == "invalid_tag"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"endpoints": [{"identifier": "a", "type": "AP"}]},
        {"endpoints": [{"identifier": "", "type": "AP", "tag": "T"}]},
        {"endpoints": [{"identifier": "a\nb", "type": "AP", "tag": "T"}]},
        {"endpoints": [{"identifier": "a", "type": "AP", "tag": "T", "count": 2}]},
    ],
)
def test_a_report_out_of_order_is_malformed(controllers, data, count_rows):
    before = count_rows()
    assert controllers[0].ask("ENDPOINT_REPORT", data).code == "MALFORMED"
    assert count_rows() == before


def test_the_page_of_the_instance_shows_what_it_sees_and_what_it_counts(controllers, alice_client):
    one, two = controllers
    report(one, "a", "b")
    report(two, "b", "c", "d")
    page = alice_client.get(f"/accounts/acme.example/inventory/Engineering/instances/{two.piid}/").content.decode()
    assert '<td class="num" data-label="Seen">3</td><td class="num" data-label="Counted here">2</td>' in page
    event = Event.objects.filter(name="instance.endpoints_changed").latest("pk")
    assert event.message == f"{two.udi} sees 3 endpoints that use licenses; 2 of them count here."


def test_the_use_of_many_endpoints_leaves_with_the_certificate(controllers, in_use, now):
    report(controllers[0], *(f"ap-{number}" for number in range(40)))
    assert in_use() == 40
    end = now + timedelta(days=366)
    advance_lives(now=end)
    assert in_use(at=end) == 0
