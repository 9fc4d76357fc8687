import pytest

from accounts.errors import DEFAULT_VIRTUAL_ACCOUNT, NAME_TAKEN, VIRTUAL_ACCOUNT_OCCUPIED
from accounts.models import Event, Membership, VirtualAccount
from accounts.services import virtual_accounts
from accounts.services.api_clients import create_api_client
from accounts.services.virtual_accounts import (
    change_virtual_account,
    create_virtual_account,
    delete_virtual_account,
    get_virtual_account,
)
from accounts.states import AccessLevel
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission, Role


def test_a_smart_account_starts_with_one_default_virtual_account(acme):
    row = VirtualAccount.objects.get(smart_account=acme)
    assert (row.name, row.is_default) == ("DEFAULT", True)


def test_an_administrator_creates_renames_and_deletes(acme, alice, actor_of, now):
    actor = actor_of(alice)
    row = create_virtual_account(actor=actor, smart_account=acme, name=" Lab   West ", description="x", now=now)
    assert row.name == "Lab West"
    change_virtual_account(actor=actor, virtual_account=row, name="Lab East", now=now)
    event = Event.objects.latest("pk")
    assert event.message == 'The Virtual Account "Lab West" was changed: name "Lab West" → "Lab East".'
    delete_virtual_account(actor=actor, virtual_account=row, now=now)
    assert not VirtualAccount.objects.live().filter(pk=row.pk).exists()
    create_virtual_account(actor=actor, smart_account=acme, name="Lab East", now=now)


def test_the_default_one_is_renamed_but_never_deleted(default_va, alice, actor_of, now):
    change_virtual_account(actor=actor_of(alice), virtual_account=default_va, name="Main", now=now)
    with pytest.raises(Conflict) as refused:
        delete_virtual_account(actor=actor_of(alice), virtual_account=default_va, now=now)
    assert refused.value.code == DEFAULT_VIRTUAL_ACCOUNT


def test_an_occupied_one_stays(engineering, alice, actor_of, now, monkeypatch):
    monkeypatch.setattr(virtual_accounts, "_occupancy_checks", [lambda va, now: f"3 licenses in {va.name}"])
    with pytest.raises(Conflict) as refused:
        delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=now)
    assert refused.value.code == VIRTUAL_ACCOUNT_OCCUPIED
    assert "3 licenses in Engineering" in refused.value.message


def test_deleting_takes_the_roles_and_the_clients_along(engineering, acme, alice, bob, actor_of, now):
    client, _ = create_api_client(
        actor=actor_of(alice), smart_account=acme, role=Role.VA_USER, virtual_account=engineering, now=now
    )
    delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=now)
    client.refresh_from_db()
    assert client.revoked_at == now
    assert not Membership.objects.filter(virtual_account=engineering).exists()
    assert actor_of(bob).grants == ()
    with pytest.raises(NotFound):
        delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=now)


@pytest.mark.parametrize("name", ["", "   ", "a/b", "a\\b", ".", "..", "a\x00b", "x" * 121, "tab\x07"])
def test_a_name_that_no_address_can_carry_is_refused(acme, alice, actor_of, now, name):
    with pytest.raises(Invalid):
        create_virtual_account(actor=actor_of(alice), smart_account=acme, name=name, now=now)
    assert VirtualAccount.objects.filter(smart_account=acme).count() == 1


def test_names_differ_by_more_than_case(acme, engineering, alice, actor_of, now, umbrella, mallory):
    with pytest.raises(Conflict) as refused:
        create_virtual_account(actor=actor_of(alice), smart_account=acme, name="ENGINEERING", now=now)
    assert refused.value.code == NAME_TAKEN
    create_virtual_account(actor=actor_of(mallory), smart_account=umbrella, name="Engineering", now=now)


def test_only_an_sa_admin_manages_virtual_accounts(
    acme, engineering, bob, carol, mallory, umbrella, olivia, actor_of, now
):
    for user, error in ((bob, Forbidden), (carol, Forbidden), (olivia, Forbidden), (mallory, NotFound)):
        actor = actor_of(user)
        with pytest.raises(error):
            create_virtual_account(actor=actor, smart_account=acme, name="x", now=now)
        with pytest.raises(error):
            change_virtual_account(actor=actor, virtual_account=engineering, name="x", now=now)
        with pytest.raises(error):
            delete_virtual_account(actor=actor, virtual_account=engineering, now=now)
    engineering.refresh_from_db()
    assert (engineering.name, engineering.deleted_at) == ("Engineering", None)


def test_a_private_one_is_found_only_by_its_exact_name(acme, alice, bob, engineering, mallory, umbrella, actor_of, now):
    create_virtual_account(
        actor=actor_of(alice), smart_account=acme, name="Skunkworks", access_level=AccessLevel.PRIVATE, now=now
    )
    found = VirtualAccount.objects.found_by

    def names(user, search):
        return set(found(actor_of(user), search=search).values_list("name", flat=True))

    assert names(bob, "") == {"DEFAULT", "Engineering"}
    assert "Skunkworks" not in names(bob, "Skunk")
    assert "Skunkworks" in names(bob, "Skunkworks")
    assert "Skunkworks" not in names(mallory, "Skunkworks")
    assert "Skunkworks" in names(alice, "")


def test_a_virtual_account_is_got_within_ones_reach(acme, engineering, default_va, bob, carol, mallory, actor_of):
    assert get_virtual_account(actor=actor_of(bob), smart_account=acme, name="engineering") == engineering
    with pytest.raises(Forbidden):
        get_virtual_account(
            actor=actor_of(carol), smart_account=acme, name="Engineering", permission=Permission.MANAGE_ASSETS
        )
    for user, name in ((bob, "DEFAULT"), (mallory, "Engineering"), (bob, "nowhere")):
        with pytest.raises(NotFound):
            get_virtual_account(actor=actor_of(user), smart_account=acme, name=name)


def test_what_changes_nothing_writes_no_event(engineering, alice, actor_of, now):
    before = Event.objects.count()
    change_virtual_account(actor=actor_of(alice), virtual_account=engineering, name="Engineering", now=now)
    assert Event.objects.count() == before
