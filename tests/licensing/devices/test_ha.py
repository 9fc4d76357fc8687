"""High availability: a group's use counts once, and nobody gets into a group by claiming it."""

from datetime import timedelta

import pytest

from accounts.models import Event
from accounts.services.virtual_accounts import create_virtual_account
from licensing.models import DuplicateFinding, Pool, PoolDelta, ProductInstance, Usage
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.tokens import create_token
from licensing.services.insight.duplicates import find_duplicates
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import DuplicateKind, DuplicateReason, UsageKind
from tests.keys import load_keys
from tests.licensing.device_driver import Device
from tests.licensing.stock import deliver, line

TAG = "ADVANTAGE"


@pytest.fixture(autouse=True)
def license(make_license):
    return make_license(TAG)


@pytest.fixture
def enrol(token, now):
    """Registers products of one kind; each names those given by number."""

    def register(number, *peers, token=token, key=None, **data):
        device = Device(now, number % 12, sudi=name(number), key=key)
        assert device.register(token, ha_peers=[name(peer) for peer in peers], **data).code is None
        assert device.ack().code is None
        return device

    return register


def name(number):
    return {"udi_pid": "C9300-24UX", "udi_serial_number": f"SN{number}"}


def report(device, count, *peers):
    device.wait(seconds=1)
    reply = device.authorize({TAG: count}, ha_peers=[name(peer) for peer in peers])
    assert reply.code is None
    return reply


def in_use(now):
    fold_due(now=now)
    assert not check_pools(now=now)
    pool = Pool.objects.filter(license__tag=TAG).first()
    return 0 if pool is None else pool.in_use


def groups():
    return len(set(ProductInstance.objects.active().values_list("ha_group", flat=True)))


def test_the_use_of_a_pair_counts_once_whoever_reports_it(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    assert groups() == 1
    report(first, 3, 2)
    report(second, 3, 1)
    assert in_use(now) == 3
    report(second, 5, 1)  # a switchover
    assert in_use(now) == 5
    report(first, 4, 2)
    assert in_use(now) == 4


def test_who_stands_by_and_reports_the_same_writes_nothing(enrol, now, count_rows):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 3, 1)
    before = count_rows()
    for _ in range(3):
        report(first, 3, 2)
        report(second, 3, 1)
    assert count_rows() == before


def test_the_answer_to_a_switchover_counts_the_use_that_leaves(enrol, stock_of, now):
    stock_of(5)
    first, second = enrol(1, 2), enrol(2, 1)
    assert report(first, 4, 2).data["compliance_status"] == "In Compliance"
    assert report(second, 5, 1).data["compliance_status"] == "In Compliance"
    assert in_use(now) == 5


@pytest.fixture
def stock_of(license, engineering, now):
    return lambda quantity: deliver(engineering, line(license, quantity), now=now)


def test_a_claim_moves_nobody_else_before_that_ones_own_message(enrol, now):
    first = enrol(1)
    report(first, 3)
    second = enrol(2, 1)
    report(second, 2, 1)
    assert (groups(), in_use(now)) == (2, 5)
    report(first, 3, 2)  # names it in turn, and is the older: the other one comes to its group
    assert (groups(), in_use(now)) == (2, 5)
    report(second, 2, 1)
    assert (groups(), in_use(now)) == (1, 2)


def test_who_is_not_named_any_more_counts_from_its_own_message_on(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 2, 1)
    assert in_use(now) == 2
    report(first, 3)
    assert in_use(now) == 5
    report(second, 2, 1)
    assert (groups(), in_use(now)) == (2, 5)


def test_a_peer_that_never_registered_changes_nothing(enrol, now, count_rows):
    first = enrol(1, 2)
    report(first, 3, 2)
    before = count_rows()
    report(first, 3, 2)
    assert (groups(), in_use(now)) == (1, 3)
    assert Usage.objects.get().quantity == 3
    assert count_rows()["licensing.Usage"] == before["licensing.Usage"]


@pytest.mark.parametrize("size", [2, 8])
def test_a_group_of_up_to_8_counts_once(enrol, now, size):
    members = [enrol(n, *(m for m in range(size) if m != n)) for n in range(size)]
    for number, member in enumerate(members):
        report(member, 2, *(m for m in range(size) if m != number))
    assert (groups(), in_use(now)) == (1, 2)


def test_a_fleet_of_9_that_names_each_other_counts_each_and_is_shown(enrol, now):
    fleet = range(9)
    members = [enrol(n, *(m for m in fleet if m != n)) for n in fleet]
    for number, member in enumerate(members):
        report(member, 2, *(m for m in fleet if m != number))
    assert (groups(), in_use(now)) == (9, 18)
    find_duplicates(now=now)
    found = DuplicateFinding.objects.standing().filter(kind=DuplicateKind.HA_CLAIM)
    assert set(found.values_list("reason", flat=True)) == {DuplicateReason.GROUP_TOO_LARGE}
    assert found.count() == 9


def test_a_chain_in_which_each_names_its_neighbours_counts_each_and_is_shown(enrol, now):
    size = 6
    ring = [enrol(n, (n - 1) % size, (n + 1) % size) for n in range(size)]
    for _ in range(2):
        for number, member in enumerate(ring):
            report(member, 2, (number - 1) % size, (number + 1) % size)
    assert (groups(), in_use(now)) == (size, 2 * size)
    find_duplicates(now=now)
    found = DuplicateFinding.objects.standing().filter(kind=DuplicateKind.HA_CLAIM)
    assert set(found.values_list("reason", flat=True)) == {DuplicateReason.PEERS_DIFFER}


def test_other_software_another_kind_and_another_place_count(enrol, actor_of, alice, acme, now):
    first = enrol(1, 2, 3, 4)
    enrol(2, 1, software_tag_identifier="OTHER")
    elsewhere = create_virtual_account(actor=actor_of(alice), smart_account=acme, name="Elsewhere", now=now)
    _, value = create_token(actor=actor_of(alice), virtual_account=elsewhere, now=now)
    enrol(3, 1, token=value)
    other = Device(now, 4, sudi={"udi_pid": "OTHER", "udi_serial_number": "SN4"})
    assert other.register(value, ha_peers=[name(1)]).code is None
    report(first, 1, 2, 3, 4)
    assert groups() == 4


def test_another_smart_account_s_product_is_never_a_peer(enrol, foreign_token, now):
    mine = enrol(1, 2)
    foreign = enrol(2, 1, token=foreign_token)
    report(mine, 3, 2)
    report(foreign, 4, 1)
    assert groups() == 2
    assert sum(Usage.objects.counted().values_list("quantity", flat=True)) == 7


def test_when_the_active_one_ends_the_one_heard_of_last_counts_at_once(enrol, now):
    first, second, third = enrol(1, 2, 3), enrol(2, 1, 3), enrol(3, 1, 2)
    for _ in range(2):
        report(first, 3, 2, 3)
        report(third, 3, 1, 2)
    second.wait(minutes=1)
    report(second, 3, 1, 3)
    assert in_use(now) == 3
    assert first.deregister().code is None
    assert in_use(now) == 3
    assert [
        str(piid) for piid in ProductInstance.objects.filter(is_counted=True).active().values_list("piid", flat=True)
    ] == [second.piid]
    event = Event.objects.get(name="instance.ha_promoted")
    assert event.subject_id == second.piid
    assert second.deregister().code is None
    assert third.deregister().code is None
    assert in_use(now) == 0


def test_the_last_of_a_group_leaves_nothing_behind_when_its_certificate_ends(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 3, 1)
    end = now + timedelta(days=366)
    advance_lives(now=end)
    fold_due(now=end)
    assert not check_pools(now=end)
    assert Pool.objects.get(license__tag=TAG).in_use == 0


def test_a_member_that_registers_again_stays_in_the_group(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 3, 1)
    again = enrol(1, 2, key=load_keys()[9])
    report(second, 3, 1)
    report(again, 3, 2)
    assert (groups(), in_use(now)) == (1, 3)


def test_joining_and_leaving_and_a_switchover_are_in_the_event_log(enrol, now):
    first, second = enrol(1, 2), enrol(2)
    report(second, 2)
    report(second, 2, 1)
    report(first, 3, 2)
    report(second, 2)
    names = Event.objects.filter(name__startswith="instance.ha_").order_by("pk").values_list("name", flat=True)
    assert [name.removeprefix("instance.ha_") for name in names] == ["relieved", "joined", "relieved", "left"]


def test_the_page_of_who_stands_by_says_why_its_use_does_not_count(enrol, alice_client):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 3, 1)
    page = "/accounts/acme.example/inventory/Engineering/instances/{}/"
    assert "no: another member of its group reports" in alice_client.get(page.format(second.piid)).content.decode()
    assert "no: another" not in alice_client.get(page.format(first.piid)).content.decode()


def test_nothing_is_written_to_the_pools_for_who_stands_by(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    fold_due(now=now)
    report(second, 3, 1)
    assert not PoolDelta.objects.exists()
    assert Usage.objects.filter(kind=UsageKind.COUNTED).count() == 2


def counted():
    return {str(row.piid) for row in ProductInstance.objects.filter(is_counted=True).active()}


@pytest.fixture
def silenced(enrol, now):
    """A pair of which the active one was silent for 91 days; the other speaks and stands by."""
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    second.wait(days=91)
    report(second, 3, 1)
    assert counted() == {first.piid}
    return first, second


def test_when_the_active_one_loses_its_udi_who_stands_by_counts_at_once(silenced, foreign_token, acme):
    _, second = silenced
    taker = Device(second.now, 5, sudi=name(1))
    assert taker.register(foreign_token).code is None
    assert counted() == {second.piid, taker.piid}
    assert in_use(second.now) == 3
    assert Event.objects.get(name="instance.ha_promoted").subject_id == second.piid


def test_who_gets_its_udi_back_stands_by_where_another_counts_for_the_group_by_now(silenced, foreign_token):
    first, second = silenced
    taker = Device(second.now, 5, sudi=name(1))
    assert taker.register(foreign_token).code is None
    assert taker.ack().code is None
    later = second.now + timedelta(days=91)
    first.now = second.now = later
    report(second, 3, 1)
    report(first, 3, 2)
    advance_lives(now=later + timedelta(minutes=1))
    lost = ProductInstance.objects.get(piid=str(taker.piid))
    again = ProductInstance.objects.get(piid=str(first.piid))
    assert (lost.claim_lost, again.claim_lost) == (True, False)
    assert counted() == {second.piid}
    assert in_use(later) == 3


def test_when_the_active_one_leaves_its_group_who_stands_by_counts_at_once(enrol, now):
    first, second = enrol(1, 2), enrol(2, 1)
    report(first, 3, 2)
    report(second, 3, 1)
    assert in_use(now) == 3
    report(first, 4)
    assert counted() == {first.piid, second.piid}
    assert in_use(now) == 7
