"""Who may give, change and take which role."""

import pytest

from accounts.errors import ALREADY_MEMBER, LAST_ADMIN, MORE_THAN_HELD, OWN_ROLE
from accounts.models import Event, Membership, User, VirtualAccount
from accounts.services.members import add_member, change_role, remove_member
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Role


def only_membership(user):
    return Membership.objects.get(user=user)


@pytest.fixture
def dora(acme, alice, actor_of, now):
    """A second administrator of Acme."""
    add_member(actor=actor_of(alice), smart_account=acme, email="dora@acme.example", role=Role.SA_ADMIN, now=now)
    return User.objects.get(email="dora@acme.example")


@pytest.fixture
def vera(acme, alice, engineering, actor_of, now):
    """VA_ADMIN of Engineering."""
    add_member(
        actor=actor_of(alice),
        smart_account=acme,
        email="vera@acme.example",
        role=Role.VA_ADMIN,
        virtual_account=engineering,
        now=now,
    )
    return User.objects.get(email="vera@acme.example")


def test_an_administrator_gives_a_role_to_a_person_not_yet_known(acme, alice, actor_of, now):
    add_member(actor=actor_of(alice), smart_account=acme, email=" New@Acme.Example ", role=Role.SA_USER, now=now)
    user = User.objects.get(email="new@acme.example")
    assert not user.has_usable_password()
    assert [grant.role for grant in actor_of(user).grants] == [Role.SA_USER]
    event = Event.objects.with_personal().latest("pk")
    assert event.name == "member.added"
    assert event.message == "new@acme.example was given the role SA_USER."
    assert event.actor_name == alice.label


@pytest.mark.parametrize("role", list(Role))
def test_nobody_changes_their_own_role(acme, alice, dora, engineering, actor_of, now, role):
    virtual_account = engineering if role.is_virtual_account_role else None
    with pytest.raises(Forbidden) as refused:
        add_member(
            actor=actor_of(alice),
            smart_account=acme,
            email=alice.email,
            role=role,
            virtual_account=virtual_account,
            now=now,
        )
    assert refused.value.code == OWN_ROLE
    if role is Role.SA_VIEWER:
        with pytest.raises(Forbidden, match="own role"):
            change_role(actor=actor_of(alice), membership=only_membership(alice), role=role, now=now)
    with pytest.raises(Forbidden, match="own role"):
        remove_member(actor=actor_of(alice), membership=only_membership(alice), now=now)


def test_a_va_admin_manages_only_the_users_of_the_own_virtual_account(
    acme, vera, bob, default_va, engineering, actor_of, now
):
    add_member(
        actor=actor_of(vera),
        smart_account=acme,
        email="new@acme.example",
        role=Role.VA_USER,
        virtual_account=engineering,
        now=now,
    )
    change_role(actor=actor_of(vera), membership=only_membership(bob), role=Role.VA_VIEWER, now=now)
    assert only_membership(bob).role == Role.VA_VIEWER
    for role, virtual_account in ((Role.SA_VIEWER, None), (Role.VA_VIEWER, default_va)):
        with pytest.raises(Forbidden):
            add_member(
                actor=actor_of(vera),
                smart_account=acme,
                email="other@acme.example",
                role=role,
                virtual_account=virtual_account,
                now=now,
            )


def test_nobody_grants_more_than_they_hold(acme, engineering, actor_of, now, alice, monkeypatch):
    """The table gives MANAGE_VA_USERS to no role below VA_ADMIN today; the rule must hold should that change."""
    monkeypatch.setattr(
        "cssm.common.actor.ROLE_PERMISSIONS",
        {role: frozenset({"manage_sa_users", "manage_va_users", "view"}) for role in Role},
    )
    add_member(actor=actor_of(alice), smart_account=acme, email="eve@acme.example", role=Role.SA_VIEWER, now=now)
    eve = User.objects.get(email="eve@acme.example")
    with pytest.raises(Forbidden) as refused:
        add_member(actor=actor_of(eve), smart_account=acme, email="x@acme.example", role=Role.SA_USER, now=now)
    assert refused.value.code == MORE_THAN_HELD
    with pytest.raises(Forbidden) as refused:
        remove_member(actor=actor_of(eve), membership=only_membership(alice), now=now)
    assert refused.value.code == MORE_THAN_HELD


def test_bob_and_carol_manage_nobody(acme, alice, bob, carol, engineering, actor_of, now):
    for user in (bob, carol):
        with pytest.raises(Forbidden):
            add_member(actor=actor_of(user), smart_account=acme, email="x@x.example", role=Role.SA_VIEWER, now=now)
        with pytest.raises(Forbidden):
            remove_member(actor=actor_of(user), membership=only_membership(alice), now=now)


def test_to_mallory_the_account_does_not_exist(acme, alice, mallory, umbrella, engineering, bob, actor_of, now):
    actor = actor_of(mallory)
    with pytest.raises(NotFound):
        add_member(actor=actor, smart_account=acme, email="x@x.example", role=Role.SA_VIEWER, now=now)
    with pytest.raises(NotFound):
        remove_member(actor=actor, membership=only_membership(bob), now=now)
    with pytest.raises(NotFound):
        change_role(actor=actor, membership=only_membership(bob), role=Role.VA_ADMIN, now=now)
    with pytest.raises(NotFound):
        add_member(
            actor=actor,
            smart_account=umbrella,
            email="x@x.example",
            role=Role.VA_USER,
            virtual_account=engineering,
            now=now,
        )


def test_an_operator_manages_no_customers_users(acme, olivia, actor_of, now):
    with pytest.raises(Forbidden):
        add_member(actor=actor_of(olivia), smart_account=acme, email=olivia.email, role=Role.SA_ADMIN, now=now)


def test_the_last_administrator_stays(acme, alice, dora, actor_of, now):
    remove_member(actor=actor_of(dora), membership=only_membership(alice), now=now)
    # alice's browser still believes that she administers the account
    with pytest.raises(NotFound):
        remove_member(actor=actor_of(alice), membership=only_membership(dora), now=now)
    assert only_membership(dora).role == Role.SA_ADMIN


def test_an_inactive_administrator_does_not_count_as_another_one(acme, alice, dora, actor_of, now):
    actor = actor_of(dora)
    dora.is_active = False
    dora.save()
    with pytest.raises(Conflict) as refused:
        remove_member(actor=actor, membership=only_membership(alice), now=now)
    assert refused.value.code == LAST_ADMIN
    with pytest.raises(Conflict) as refused:
        change_role(actor=actor, membership=only_membership(alice), role=Role.SA_USER, now=now)
    assert refused.value.code == LAST_ADMIN


def test_a_role_fits_its_account(acme, alice, engineering, bob, actor_of, now):
    actor = actor_of(alice)
    with pytest.raises(Invalid):
        add_member(actor=actor, smart_account=acme, email="x@x.example", role=Role.VA_USER, now=now)
    with pytest.raises(Invalid):
        change_role(actor=actor, membership=only_membership(bob), role=Role.SA_USER, now=now)
    with pytest.raises(Invalid):
        add_member(actor=actor, smart_account=acme, email="not an address", role=Role.SA_USER, now=now)


def test_a_role_is_given_once(acme, alice, bob, engineering, actor_of, now):
    with pytest.raises(Conflict) as refused:
        add_member(
            actor=actor_of(alice),
            smart_account=acme,
            email="BOB@acme.example",
            role=Role.VA_USER,
            virtual_account=engineering,
            now=now,
        )
    assert refused.value.code == ALREADY_MEMBER


def test_what_changes_nothing_writes_no_event(acme, alice, bob, actor_of, now):
    before = Event.objects.count()
    change_role(actor=actor_of(alice), membership=only_membership(bob), role=Role.VA_USER, now=now)
    assert Event.objects.count() == before


def test_a_refused_change_leaves_nothing_behind(acme, alice, engineering, actor_of, now):
    users, events = User.objects.count(), Event.objects.count()
    VirtualAccount.objects.filter(pk=engineering.pk).update(deleted_at=now)
    engineering.refresh_from_db()
    with pytest.raises(NotFound):
        add_member(
            actor=actor_of(alice),
            smart_account=acme,
            email="x@x.example",
            role=Role.VA_USER,
            virtual_account=engineering,
            now=now,
        )
    assert (User.objects.count(), Event.objects.count()) == (users, events)
