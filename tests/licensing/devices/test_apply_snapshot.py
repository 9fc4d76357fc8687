"""What an on-prem server says of its instances becomes what is known of them, and pools change by the difference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Event, SmartAccount, VirtualAccount
from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus
from cssm.common.actor import SYSTEM, Actor, ActorKind
from licensing.models import (
    InstanceContact,
    InstanceNotice,
    License,
    Pool,
    ProductInstance,
    StagedInstance,
    StagedUse,
    UdiClaim,
    Usage,
)
from licensing.services.devices import snapshot_sql, staging
from licensing.services.devices.apply_snapshot import Outcome, apply_snapshot, end_origin
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.staging import StagedRow
from licensing.services.pools.rebuild import check_pools
from licensing.states import NoticeKind
from tests.licensing.device_driver import Device

SERVER = Actor(kind=ActorKind.ON_PREM, id="a", label="on-prem server Plant 7")


def row(id: str, uses: dict[str, int] | None = None, **fields: Any) -> StagedRow:
    values = {
        "line": int("".join(c for c in id if c.isdigit()) or 1), "account": 0, "external_id": id, "is_active": True,
        "software_tag": "software", "udi_pid": "C9300", "udi_serial_number": f"S{id}", "hostname": "", "ip_address": "",
        "mac_address": "", "host_identifier": "", "registered_at": None, "ha_group": "",
        "uses": tuple((uses or {}).items()),
    }  # fmt: skip
    return StagedRow(**values | fields)


@pytest.fixture
def apply(acme: SmartAccount, engineering: VirtualAccount, now: datetime) -> Callable[..., Outcome]:
    def make(
        *rows: StagedRow,
        full: bool = True,
        at: datetime = now,
        server: str = "plant-7",
        accounts: dict[int, int | None] | None = None,
        owner: SmartAccount = acme,
    ) -> Outcome:
        with transaction.atomic():
            origin = staging.open_origin(name=server, smart_account_id=owner.pk)
            snapshot = staging.open_snapshot(origin=origin, smart_account_id=owner.pk, now=at)
            staging.stage_rows(snapshot_id=snapshot.pk, rows=rows)
            staging.link_accounts(snapshot_id=snapshot.pk, virtual_accounts=accounts or {0: engineering.pk})
            outcome = apply_snapshot(actor=SERVER, snapshot=snapshot, full=full, generated=at, now=at)
            staging.discard_snapshot(snapshot_id=snapshot.pk)
        return outcome

    return make


@pytest.fixture
def license(make_license: Callable[..., License]) -> License:
    return make_license("tag_a")


def in_use(license: License, account: VirtualAccount, now: datetime) -> int:
    pool = Pool.objects.filter(license=license, virtual_account=account).with_figures(now).first()
    return 0 if pool is None else pool.now_in_use


def figures_follow_from_records(now: datetime) -> bool:
    return not check_pools(now=now)


Apply = Callable[..., Outcome]


def test_a_first_file_makes_instances_and_counts_their_use(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    outcome = apply(row("1", {"tag_a": 3}, hostname="sw-1"), row("2", {"tag_a": 4, "unknown": 9}), row("3"))
    assert (outcome.added_count, outcome.removed_count, outcome.named) == (3, 0, 3)
    assert in_use(license, engineering, now) == 7
    first = ProductInstance.objects.get(external_id="1")
    assert (first.udi, first.hostname, first.state, first.is_counted) == ("C9300:S1", "sw-1", "registered", True)
    assert first.contact.last_contact_at == now
    assert Usage.objects.get(tag="unknown").kind == "invalid_tag"
    assert UdiClaim.objects.get(udi="C9300:S2").instance.external_id == "2"
    assert Event.objects.filter(name="instance.synchronized_in").count() == 3
    assert (StagedInstance.objects.count(), StagedUse.objects.count()) == (0, 0)


def test_the_same_again_changes_nothing(apply: Apply, license: License, engineering: VirtualAccount, now: datetime):
    rows = [row("1", {"tag_a": 3}), row("2", {"tag_a": 4}, ha_group="g"), row("3", {"tag_a": 4}, ha_group="g")]
    apply(*rows)
    before = list(Usage.objects.order_by("pk").values())
    later = now + timedelta(days=2)
    outcome = apply(*rows, at=later)
    assert (outcome.added_count, outcome.changed_count, outcome.use_changed_count, outcome.use) == (0, 0, 0, [])
    assert list(Usage.objects.order_by("pk").values()) == before
    assert in_use(license, engineering, later) == 7
    assert set(InstanceContact.objects.values_list("last_contact_at", flat=True)) == {later}


def test_the_whole_use_of_a_named_instance_is_in_the_file(
    apply: Apply, license: License, engineering: VirtualAccount, make_license: Callable[..., License], now: datetime
):
    other = make_license("tag_b")
    apply(row("1", {"tag_a": 3, "tag_b": 1}))
    outcome = apply(row("1", {"tag_a": 5}), full=False, at=now + timedelta(hours=1))
    assert outcome.use_changed_count == 1
    assert (in_use(license, engineering, now), in_use(other, engineering, now)) == (5, 0)


def test_what_a_full_file_does_not_name_ends_and_an_incremental_one_leaves_it(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    apply(row("1", {"tag_a": 3}), row("2", {"tag_a": 4}))
    apply(row("1", {"tag_a": 3}), full=False, at=now + timedelta(hours=1))
    assert in_use(license, engineering, now) == 7
    outcome = apply(row("1", {"tag_a": 3}), at=now + timedelta(hours=2))
    assert (outcome.removed_count, in_use(license, engineering, now)) == (1, 3)
    assert ProductInstance.objects.get(external_id="2").state == "removed"
    assert not UdiClaim.objects.filter(udi="C9300:S2").exists()
    assert Event.objects.filter(name="instance.synchronized_out").count() == 1


def test_an_instance_that_is_not_active_leaves_and_can_come_back(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    apply(row("1", {"tag_a": 3}))
    apply(row("1", {"tag_a": 3}, is_active=False), full=False, at=now + timedelta(hours=1))
    assert ProductInstance.objects.get().state == "deregistered"
    assert in_use(license, engineering, now) == 0
    outcome = apply(row("1", {"tag_a": 2}), full=False, at=now + timedelta(hours=2))
    assert (outcome.returned_count, in_use(license, engineering, now)) == (1, 2)
    assert ProductInstance.objects.get().ended_at is None


def test_what_was_known_of_a_device_is_erased_when_the_file_is_silent(apply: Apply, now: datetime):
    apply(row("1", hostname="sw-1", ip_address="10.0.0.1"))
    outcome = apply(row("1"), at=now + timedelta(hours=1))
    assert outcome.changed_count == 1
    assert (ProductInstance.objects.get().hostname, ProductInstance.objects.get().ip_address) == ("", "")


def test_an_instance_moves_with_its_use(
    apply: Apply, license: License, engineering: VirtualAccount, default_va: VirtualAccount, now: datetime
):
    accounts: dict[int, int | None] = {0: engineering.pk, 1: default_va.pk}
    apply(row("1", {"tag_a": 3}), accounts=accounts)
    outcome = apply(row("1", {"tag_a": 4}, account=1), accounts=accounts, at=now + timedelta(hours=1))
    assert outcome.moved_count == 1
    assert (in_use(license, engineering, now), in_use(license, default_va, now)) == (0, 4)
    instance = ProductInstance.objects.get()
    assert instance.virtual_account == instance.ha_group.virtual_account == Usage.objects.get().virtual_account


def test_instances_of_an_unlinked_account_are_named_and_counted_nowhere(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    outcome = apply(row("1", {"tag_a": 3}), accounts={0: None})
    assert not ProductInstance.objects.exists()
    assert [marked.reason for marked in outcome.marked] == ["unlinked_account"]
    apply(row("1", {"tag_a": 3}), at=now + timedelta(hours=1))
    assert in_use(license, engineering, now) == 3
    apply(row("1", {"tag_a": 3}), accounts={0: None}, at=now + timedelta(hours=2))
    assert in_use(license, engineering, now) == 0


def test_ids_of_two_servers_never_mix(apply: Apply, license: License, engineering: VirtualAccount, now: datetime):
    apply(row("1", {"tag_a": 3}), server="a")
    apply(row("1", {"tag_a": 4}, udi_serial_number="other"), server="b")
    assert (ProductInstance.objects.count(), in_use(license, engineering, now)) == (2, 7)
    apply(server="b", at=now + timedelta(hours=1))
    assert in_use(license, engineering, now) == 3


def test_one_product_twice_in_a_file_counts_once(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    outcome = apply(row("1", {"tag_a": 3}, udi_serial_number="X"), row("2", {"tag_a": 4}, udi_serial_number="X"))
    assert in_use(license, engineering, now) == 4
    assert [(marked.external_id, marked.reason) for marked in outcome.marked] == [("1", "twice_in_file")]


def test_a_product_whose_claim_is_released_while_a_file_is_applied_counts_with_the_next_file(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Without a claim somebody else could count it at the same time."""
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_sql, "NEW_CLAIMS", "SELECT 1")  # it was there, and is gone when it is to be locked
        apply(row("1", {"tag_a": 3}))
    assert not ProductInstance.objects.get(external_id="1").is_counted
    assert in_use(license, engineering, now) == 0
    later = now + timedelta(hours=1)
    apply(row("1", {"tag_a": 3}), at=later)
    assert UdiClaim.objects.get().instance.external_id == "1"
    assert in_use(license, engineering, later) == 3


def test_a_product_registered_directly_and_on_a_server_counts_once_where_it_was_in_touch_last(
    apply: Apply, license: License, engineering: VirtualAccount, token: str, now: datetime
):
    device = Device(now)
    device.register(token)
    device.ack()
    device.authorize({"tag_a": 5})
    direct = ProductInstance.objects.get()
    named = row("1", {"tag_a": 3}, udi_pid=direct.udi_pid, udi_serial_number=direct.udi_serial_number)
    early = apply(named, at=now - timedelta(hours=1))
    assert [marked.reason for marked in early.marked] == ["later_contact"]
    assert in_use(license, engineering, now) == 5
    again = apply(named, at=now + timedelta(hours=1))
    assert [marked.reason for marked in again.marked] == ["later_contact"], "an unchanged row is no contact"
    used = row("1", {"tag_a": 4}, udi_pid=direct.udi_pid, udi_serial_number=direct.udi_serial_number)
    assert apply(used, at=now + timedelta(hours=2)).marked == []
    assert in_use(license, engineering, now) == 4
    direct.refresh_from_db()
    assert not direct.is_counted
    assert figures_follow_from_records(now)


def test_a_product_of_another_smart_account_is_stored_marked_and_not_counted(
    apply: Apply, license: License, engineering: VirtualAccount, foreign_token: str, now: datetime
):
    device = Device(now)
    device.register(foreign_token)
    device.ack()
    foreign = ProductInstance.objects.get()
    named = row("1", {"tag_a": 3}, udi_pid=foreign.udi_pid, udi_serial_number=foreign.udi_serial_number)
    outcome = apply(named, row("2", {"tag_a": 1}), at=now + timedelta(hours=1))
    assert [(marked.external_id, marked.reason) for marked in outcome.marked] == [("1", "claimed_elsewhere")]
    assert (ProductInstance.objects.count(), in_use(license, engineering, now)) == (3, 1)
    later = now + timedelta(days=91)
    assert apply(named, row("2", {"tag_a": 1}), at=later).marked == []
    assert in_use(license, engineering, later) == 4
    foreign.refresh_from_db()
    assert not foreign.is_counted


def test_of_a_group_that_the_server_names_the_active_member_counts(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    outcome = apply(
        row("1", {"tag_a": 3}, ha_group="pair"), row("2", {"tag_a": 5}, ha_group="pair"), row("3", {"tag_a": 1})
    )
    assert in_use(license, engineering, now) == 6
    assert [(marked.external_id, marked.reason) for marked in outcome.marked] == [("1", "ha_peer")]
    assert (
        ProductInstance.objects.get(external_id="1").ha_group == ProductInstance.objects.get(external_id="2").ha_group
    )
    apply(row("2", is_active=False), full=False, at=now + timedelta(hours=1))
    assert in_use(license, engineering, now) == 4  # the other one is not named, and counts at once
    apply(row("1", {"tag_a": 3}, ha_group="pair"), full=False, at=now + timedelta(hours=2))
    assert in_use(license, engineering, now) == 4
    assert figures_follow_from_records(now)


@pytest.mark.parametrize("change", [{"software_tag": "other"}, {"udi_pid": "other"}])
def test_members_of_different_kind_all_count(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime, change: dict[str, str]
):
    apply(row("1", {"tag_a": 3}, ha_group="pair"), row("2", {"tag_a": 5}, ha_group="pair", **change))
    assert in_use(license, engineering, now) == 8


def test_nine_are_no_group(apply: Apply, license: License, engineering: VirtualAccount, now: datetime):
    apply(*(row(str(number), {"tag_a": 1}, ha_group="crowd") for number in range(1, 10)))
    assert in_use(license, engineering, now) == 9


def test_figures_follow_from_the_records_after_any_files(apply: Apply, license: License, now: datetime):
    apply(*(row(str(n), {"tag_a": n}) for n in range(1, 30)))
    apply(
        *(row(str(n), {"tag_a": n + n % 3}, ha_group=f"g{n % 4}") for n in range(10, 40)), at=now + timedelta(hours=1)
    )
    apply(
        *(row(str(n), {"tag_a": 1}, is_active=n % 2 == 0) for n in range(1, 20)),
        full=False,
        at=now + timedelta(hours=2),
    )
    assert figures_follow_from_records(now)


def test_a_server_that_is_removed_takes_its_instances_along(
    apply: Apply, license: License, engineering: VirtualAccount, now: datetime
):
    apply(row("1", {"tag_a": 3}), row("2", {"tag_a": 4}))
    with transaction.atomic():
        origin = ProductInstance.objects.earliest("pk").origin
        outcome = end_origin(actor=SERVER, origin=origin, smart_account_id=engineering.smart_account_id, now=now)
    assert (outcome.removed_count, in_use(license, engineering, now)) == (2, 0)


def test_instances_of_a_server_are_not_removed_by_hand(apply: Apply, now: datetime, alice: Any, actor_of: Any):
    apply(row("1"))
    with pytest.raises(Exception, match="on-prem server"):
        remove_instance(actor=actor_of(alice), instance=ProductInstance.objects.get(), now=now)


def test_use_of_licenses_that_the_account_may_not_have_is_told_until_it_ends(
    apply: Apply, acme: SmartAccount, engineering: VirtualAccount, make_license: Callable[..., License], now: datetime
):
    strong = make_license("strong", export_restricted=True)
    set_account_flags(actor=SYSTEM, smart_account=acme, export_status=ExportStatus.RESTRICTED, now=now)
    told = InstanceNotice.objects.standing().filter(kind=NoticeKind.USE_REFUSED).order_by("pk")
    fields = ("instance__external_id", "license", "quantity", "reason")
    later = [now + timedelta(hours=hours) for hours in range(1, 4)]
    apply(row("1", {"strong": 3}), row("2", {"strong": 1}))
    assert list(told.values_list(*fields)) == [("1", strong.pk, 3, "account"), ("2", strong.pk, 1, "account")]
    apply(row("1", {"strong": 4}), full=False, at=later[0])
    assert list(told.values_list(*fields)) == [("1", strong.pk, 4, "account"), ("2", strong.pk, 1, "account")]
    apply(row("1"), full=False, at=later[1])
    assert list(told.values_list(*fields)) == [("2", strong.pk, 1, "account")]
    apply(row("2", is_active=False), full=False, at=later[2])
    assert not told.exists()


def test_who_stands_by_for_a_product_that_a_file_takes_over_counts_at_once(
    apply: Apply, license: License, engineering: VirtualAccount, token: str, now: datetime
):
    names = [{"udi_pid": "C9300-24UX", "udi_serial_number": f"SN{number}"} for number in (1, 2)]
    pair = [Device(now, number, sudi=name) for number, name in enumerate(names)]
    for device, peer in zip(pair, reversed(names), strict=True):
        device.register(token, ha_peers=[peer])
        device.ack()
    for device, peer in zip(pair, reversed(names), strict=True):
        device.wait(seconds=1)
        device.authorize({"tag_a": 5}, ha_peers=[peer])
    assert in_use(license, engineering, now) == 5
    assert apply(row("1", {"tag_a": 3}, **names[0]), at=now + timedelta(hours=2)).marked == []
    assert in_use(license, engineering, now) == 8
    assert figures_follow_from_records(now)


@contextmanager
def counting_work() -> Iterator[list[int]]:
    """Counts thousands of steps of SQLite's machine, whatever the clock says."""
    steps = [0]

    def step() -> int:
        steps[0] += 1
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(step, 1_000)
    try:
        yield steps
    finally:
        connection.connection.set_progress_handler(None, 0)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="counts the steps of SQLite")
def test_the_work_grows_with_the_file_and_not_with_its_square(apply: Apply, license: License, now: datetime):
    """Of an engine that nests loops: every statement must look up what it joins."""
    work: dict[tuple[str, int], int] = {}
    for count in (150, 1_200):
        rows = [row(f"{count}-{n}", {"tag_a": 1}, line=n) for n in range(count)]
        for hour, what in enumerate(("new", "unchanged", "removed")):
            named = rows if what != "removed" else rows[:1]
            with counting_work() as steps:
                apply(*named, server=str(count), at=now + timedelta(hours=hour))
            work[what, count] = steps[0]
    for what in ("new", "unchanged", "removed"):
        assert work[what, 1_200] <= 8 * 2 * max(1, work[what, 150]), work
