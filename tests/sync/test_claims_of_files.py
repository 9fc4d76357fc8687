"""One product in two Smart Accounts, as files report it: who counts it, and who is told (one UDI counts once)."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client

from accounts.models import Event, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.virtual_accounts import create_virtual_account
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.services.texts import describe_alert
from alerts.states import AlertType
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from licensing.models import License, ProductInstance
from licensing.services.devices.moving import transfer_instances
from licensing.services.reservations.move_preview import preview_moves
from tests.keys import load_keys
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

InUse = Callable[..., int]
DAY = timedelta(days=1)


@pytest.fixture
def theirs(registered: Plant, license: License, umbrella: SmartAccount, mallory: User, now: datetime) -> Plant:
    """A server of another company that reported product FCW7 first."""
    keys = load_keys()
    plant = Plant(
        actor_for_user(mallory), VirtualAccount.objects.get(smart_account=umbrella), now,
        uuid="11111111-1111-4111-8111-111111111111", host="p.umbrella.example", name="Secret lab",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    plant.register()
    plant.synchronize(account(1, "DEFAULT", instance(7, uses={"tag_a": 1})))
    return plant


def claimed() -> list[tuple[str, bool]]:
    rows = Alert.objects.filter(type=AlertType.UDI_CLAIMED_ELSEWHERE).order_by("pk")
    return [(row.smart_account.domain, row.cleared_at is None) for row in rows.select_related("smart_account")]


def test_whoever_reports_a_product_of_another_account_is_told_and_learns_no_name(
    registered: Plant, theirs: Plant, in_use: InUse, now: datetime
):
    for quantity in (3, 4):
        registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": quantity}), instance(8)))
        dispatch(now=now)
        assert (claimed(), in_use()) == ([("acme.example", True)], 0)
    alert = Alert.objects.get(type=AlertType.UDI_CLAIMED_ELSEWHERE)
    text = describe_alert(alert)
    assert "C9300-24UX:FCW7" in text
    assert not {"Umbrella", "umbrella", "Secret"} & set(text.replace(".", " ").split())
    row = ProductInstance.objects.get(smart_account=alert.smart_account, external_id="7")
    assert (row.claim_lost, row.is_counted) == (True, False)


def test_the_alert_ends_when_the_product_counts_here(registered: Plant, theirs: Plant, in_use: InUse, now: datetime):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    dispatch(now=now)
    theirs.synchronize(account(1, "DEFAULT"), full=True)
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    dispatch(now=now)
    assert (claimed(), in_use()) == ([("acme.example", False)], 3)


def test_the_alert_ends_with_the_instance(registered: Plant, theirs: Plant, now: datetime):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    dispatch(now=now)
    registered.synchronize(account(1, "Engineering"), full=True)
    dispatch(now=now)
    assert claimed() == [("acme.example", False)]


def test_whoever_lost_a_silent_product_to_a_file_is_told(
    registered: Plant, theirs: Plant, in_use: InUse, now: datetime
):
    later = now + 89 * DAY
    registered.generated = later
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})), now=later)
    dispatch(now=later)
    assert claimed() == [("acme.example", True)]
    last = now + 92 * DAY
    registered.generated = last
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 4})), now=last)
    dispatch(now=last)
    assert (claimed(), in_use(at=last)) == ([("acme.example", False), ("umbrella.example", True)], 4)
    event = Event.objects.get(name="instance.claim_lost")
    assert event.smart_account is not None
    assert event.smart_account.domain == "umbrella.example"
    assert "Plant" not in f"{event.message} {event.actor_label}"


def test_the_alert_moves_with_the_instance(
    registered: Plant, theirs: Plant, acme: SmartAccount, admin_actor: Actor, now: datetime
):
    sales = create_virtual_account(actor=admin_actor, smart_account=acme, name="Sales", now=now)
    registered.synchronize(account(1, "Engineering", instance(7)), account(2, "Sales"))
    registered.synchronize(account(1, "Engineering"), account(2, "Sales", instance(7)))
    dispatch(now=now)
    standing = Alert.objects.get(type=AlertType.UDI_CLAIMED_ELSEWHERE, cleared_at=None)
    assert standing.virtual_account == sales


def test_a_dry_run_tells_nobody(registered: Plant, theirs: Plant, now: datetime):
    registered.upload(registered.write(account(1, "Engineering", instance(7))), dry_run=True)
    dispatch(now=now)
    assert claimed() == []


def test_where_an_instance_of_a_server_is_the_server_alone_says(
    registered: Plant, license: License, acme: SmartAccount, admin_actor: Actor, default_va: VirtualAccount,
    in_use: InUse, now: datetime,
):  # fmt: skip
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    own = ProductInstance.objects.get()
    [preview] = preview_moves(actor=admin_actor, instances=[own], target=default_va, now=now).rows
    [move] = transfer_instances(actor=admin_actor, instances=[own], target=default_va, now=now)
    assert isinstance(move.error, Conflict)
    assert move.error.code == "OWNED_BY_SERVER"
    assert "on-prem server" in preview.refusal
    own.refresh_from_db()
    assert (own.virtual_account.name, in_use()) == ("Engineering", 3)


def test_the_portal_offers_no_transfer_of_an_instance_of_a_server(registered: Plant, alice_client: Client):
    registered.synchronize(account(1, "Engineering", instance(7)))
    own = ProductInstance.objects.get()
    base = "/accounts/acme.example/inventory/Engineering/instances/"
    for path in (base, f"{base}{own.piid}/"):
        page = alice_client.get(path).content.decode()
        assert own.udi in page
        assert f"transfer/?instance={own.piid}" not in page
