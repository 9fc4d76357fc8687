"""The life of a server: told of when it falls silent, removed at 90 days; its 3-tier certificate and the operator."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from accounts.models import Event, User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.virtual_accounts import delete_virtual_account
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.services.texts import describe_alert
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Forbidden, Invalid
from licensing.models import License, ProductInstance
from pki.models import Revocation
from pki.services import root_queue
from sync.services.deadlines import watch_deadlines
from sync.services.servers import remove_server
from sync.services.three_tier import hold_three_tier, release_three_tier, tell_signed
from sync.states import ServerHealth
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

InUse = Callable[..., int]


def standing(now: datetime) -> set[str]:
    dispatch(now=now)
    return set(Alert.objects.filter(cleared_at=None).values_list("type", flat=True))


def test_a_silent_server_is_told_of_at_30_and_60_days_and_removed_at_90(
    registered: Plant, license: License, in_use: InUse, now: datetime
):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    assert standing(now) == set()
    day = timedelta(days=1)
    assert watch_deadlines(now=now + 30 * day - timedelta(seconds=1)) == 0
    assert watch_deadlines(now=now + 30 * day) == 1
    assert watch_deadlines(now=now + 31 * day) == 0, "once per cause"
    assert standing(now + 30 * day) == {"synchronization_overdue"}
    assert registered.row.health_at(now + 30 * day) is ServerHealth.OVERDUE
    assert watch_deadlines(now=now + 60 * day) == 1
    assert standing(now + 60 * day) == {"synchronization_overdue", "upcoming_sync_deadline"}
    alert = Alert.objects.get(type="upcoming_sync_deadline")
    assert alert.action_due == now + 90 * day
    assert "Plant 7" in describe_alert(alert)
    assert watch_deadlines(now=now + 90 * day - timedelta(seconds=1)) == 0
    assert in_use(at=now + 89 * day) == 3
    assert watch_deadlines(now=now + 90 * day) == 1
    assert (in_use(at=now + 90 * day), ProductInstance.objects.get().state) == (0, "removed")
    assert standing(now + 90 * day) == {"on_prem_unregistered_and_removed"}
    assert "1 product instances" in describe_alert(Alert.objects.get(type="on_prem_unregistered_and_removed"))
    assert Event.objects.filter(name="onprem.expired").count() == 1
    assert Revocation.objects.count() == 6


def test_a_synchronization_clears_the_alerts(registered: Plant, now: datetime):
    assert standing(now) == {"on_prem_authorization_file_ready"}
    later = now + timedelta(days=61)
    watch_deadlines(now=later)
    assert len(standing(later)) == 3
    registered.generated = later
    registered.synchronize(account(1, "Engineering"), now=later)
    assert standing(later) == set()
    watch_deadlines(now=later + timedelta(days=30))
    assert standing(later + timedelta(days=30)) == {"synchronization_overdue"}


def test_a_server_removed_by_an_administrator_takes_its_instances_along(
    registered: Plant, license: License, in_use: InUse, admin_actor: Actor, carol: User, now: datetime
):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    with pytest.raises(Forbidden):
        remove_server(actor=actor_for_user(carol), server=registered.row, now=now)
    remove_server(actor=admin_actor, server=registered.row, now=now)
    assert (in_use(), registered.row.state) == (0, "removed")
    with pytest.raises(Conflict):
        remove_server(actor=admin_actor, server=registered.row, now=now)
    assert watch_deadlines(now=now + timedelta(days=200)) == 0


def test_an_account_with_a_server_is_not_deleted(
    registered: Plant, engineering: VirtualAccount, admin_actor: Actor, now: datetime
):
    with pytest.raises(Conflict, match="1 on-prem server"):
        delete_virtual_account(actor=admin_actor, virtual_account=engineering, now=now)
    remove_server(actor=admin_actor, server=registered.row, now=now)
    delete_virtual_account(actor=admin_actor, virtual_account=engineering, now=now)


def test_only_an_operator_signs_early_or_holds_and_says_why(
    registered: Plant, olivia: User, admin_actor: Actor, now: datetime
):
    server, operator = registered.row, actor_for_user(olivia)
    with pytest.raises(Forbidden):
        release_three_tier(actor=admin_actor, server=server, reason="urgent", now=now)
    with pytest.raises(Invalid):
        release_three_tier(actor=operator, server=server, reason=" ", now=now)
    hold_three_tier(actor=operator, server=server, reason="identity not clear", now=now)
    assert root_queue.sign_due(now=now + timedelta(hours=49)) == 0
    release_three_tier(actor=operator, server=server, reason="cleared by phone", now=now)
    assert tell_signed(now=now) == 0
    assert root_queue.sign_due(now=now) == 1
    assert (tell_signed(now=now), tell_signed(now=now)) == (1, 0)
    names = (
        Event.objects.filter(name__startswith="onprem.three_tier").order_by("pk").values_list("name", "data__reason")
    )
    assert list(names) == [
        ("onprem.three_tier_held", "identity not clear"),
        ("onprem.three_tier_released", "cleared by phone"),
        ("onprem.three_tier_signed", None),
    ]
    with pytest.raises(Conflict):
        hold_three_tier(actor=operator, server=server, reason="too late", now=now)
