from datetime import timedelta

import pytest
from oauth2_provider.models import AccessToken

from accounts.errors import ACCOUNT_EXISTS
from accounts.models import Event, Membership, SmartAccount, User
from accounts.services.actors import accounts_of, actor_for_client, actor_for_user
from accounts.services.api_clients import create_api_client, create_operator_client, note_use, revoke_api_client
from accounts.services.members import add_member
from accounts.services.smart_accounts import (
    accept_agreement,
    create_smart_account,
    get_smart_account,
    rename_smart_account,
    set_account_flags,
)
from accounts.services.users import create_user
from accounts.states import AccountStatus, ExportStatus
from cssm.common.actor import NOBODY, SYSTEM
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission, Role


def make(actor, now, **changes):
    arguments = {"domain": "new.example", "name": "New", "admin_email": "admin@new.example", **changes}
    return create_smart_account(actor=actor, now=now, **arguments)


def test_the_operator_creates_an_account_and_its_first_administrator(olivia, actor_of, now):
    account = make(actor_of(olivia), now, domain="New.Example", export_restricted=True)
    assert account.domain == "new.example"
    assert (account.slr_enabled, account.plr_enabled, account.is_export_restricted) == (True, False, True)
    admin = User.objects.get(email="admin@new.example")
    assert Membership.objects.get(smart_account=account).user == admin
    event = Event.objects.with_personal().get(smart_account=account)
    assert event.message == "The Smart Account new.example was created with admin@new.example as its administrator."


def test_a_domain_is_taken_once(acme, now):
    with pytest.raises(Conflict) as refused:
        make(SYSTEM, now, domain="ACME.example")
    assert refused.value.code == ACCOUNT_EXISTS


@pytest.mark.django_db
@pytest.mark.parametrize(
    "domain",
    [
        "",
        "acme",
        "-a.example",
        "a..example",
        "a b.example",
        "a/b.example",
        "ä.example",
        f"{'a' * 64}.example",
        "a." * 130,
    ],
)
def test_what_is_no_domain_is_refused(domain, now):
    with pytest.raises(Invalid):
        make(SYSTEM, now, domain=domain)
    assert not SmartAccount.objects.exists()


def test_only_the_operator_creates_accounts_and_sets_flags(acme, alice, mallory, actor_of, now):
    for user in (alice, mallory):
        with pytest.raises(Forbidden):
            make(actor_of(user), now)
        with pytest.raises((Forbidden, NotFound)):
            set_account_flags(actor=actor_of(user), smart_account=acme, plr=False, now=now)
    acme.refresh_from_db()
    assert acme.plr_enabled


def test_flags_change_with_before_and_after_in_the_log(acme, olivia, actor_of, now):
    set_account_flags(
        actor=actor_of(olivia), smart_account=acme, plr=False, export_status=ExportStatus.RESTRICTED, now=now
    )
    event = Event.objects.latest("pk")
    assert event.data["before"] == {"SLR": "on", "PLR": "on", "export": "allowed"}
    assert event.data["after"] == {"SLR": "on", "PLR": "off", "export": "restricted"}
    before = Event.objects.count()
    set_account_flags(actor=actor_of(olivia), smart_account=acme, plr=False, now=now)
    assert Event.objects.count() == before


def test_an_approver_accepts_the_agreement_once_and_sees_no_licenses(acme, alice, actor_of, now):
    add_member(actor=actor_of(alice), smart_account=acme, email="pat@acme.example", role=Role.SA_APPROVER, now=now)
    pat = User.objects.get(email="pat@acme.example")
    accept_agreement(actor=actor_of(pat), smart_account=acme, now=now)
    count = Event.objects.count()
    accept_agreement(actor=actor_of(alice), smart_account=acme, now=now)
    acme.refresh_from_db()
    assert acme.agreement_accepted_by == pat
    assert Event.objects.count() == count
    assert get_smart_account(actor=actor_of(pat), domain="acme.example") == acme
    assert not actor_of(pat).may(Permission.VIEW, smart_account_id=acme.pk)
    assert rename_smart_account(actor=actor_of(pat), smart_account=acme, name="Acme Ltd", now=now).name == "Acme Ltd"


def test_a_stranger_finds_no_account(acme, bob, mallory, umbrella, olivia, actor_of):
    with pytest.raises(NotFound):
        get_smart_account(actor=actor_of(mallory), domain="acme.example")
    with pytest.raises(NotFound):
        get_smart_account(actor=NOBODY, domain="acme.example")
    assert [choice.domain for choice in accounts_of(actor_of(bob))] == ["acme.example"]
    assert accounts_of(actor_of(bob))[0].roles == ("Virtual Account User",)
    assert [choice.domain for choice in accounts_of(actor_of(olivia))] == ["acme.example", "umbrella.example"]


def test_an_address_is_one_user_whatever_its_case(alice, now):
    with pytest.raises(Conflict):
        create_user(actor=SYSTEM, email="ALICE@acme.example", now=now)
    assert User.objects.get_by_natural_key("Alice@ACME.example") == alice


def test_the_roles_of_an_inactive_user_or_account_give_nothing(acme, alice, now):
    SmartAccount.objects.filter(pk=acme.pk).update(status=AccountStatus.INACTIVE)
    assert actor_for_user(alice).grants == ()
    alice.is_active = False
    assert actor_for_user(alice) is NOBODY


def test_an_actor_costs_one_query(bob, django_assert_num_queries):
    with django_assert_num_queries(1):
        actor_for_user(bob)


def test_a_clients_secret_is_stored_hashed_and_ends_with_its_revocation(acme, alice, actor_of, now):
    client, secret = create_api_client(actor=actor_of(alice), smart_account=acme, role=Role.SA_USER, now=now)
    client.refresh_from_db()
    assert secret not in client.client_secret
    assert client.is_usable(None)
    assert actor_for_client(client).may(Permission.MANAGE_ASSETS, smart_account_id=acme.pk)
    note_use(client=client, now=now)
    token = AccessToken.objects.create(application=client, token="x", expires=now + timedelta(hours=1), scope="api")
    revoke_api_client(actor=actor_of(alice), client=client, now=now)
    client.refresh_from_db()
    assert not AccessToken.objects.filter(pk=token.pk).exists()
    assert not client.is_usable(None)
    assert client.last_used_at == now
    assert actor_for_client(client) is NOBODY
    count = Event.objects.count()
    revoke_api_client(actor=actor_of(alice), client=client, now=now)
    assert Event.objects.count() == count
    assert secret not in str(list(Event.objects.values()))


def test_only_an_sa_admin_makes_and_revokes_clients(acme, alice, bob, mallory, umbrella, olivia, actor_of, now):
    client, _ = create_api_client(actor=actor_of(alice), smart_account=acme, role=Role.SA_USER, now=now)
    for user, error in ((bob, Forbidden), (olivia, Forbidden), (mallory, NotFound)):
        with pytest.raises(error):
            create_api_client(actor=actor_of(user), smart_account=acme, role=Role.SA_VIEWER, now=now)
        with pytest.raises(error):
            revoke_api_client(actor=actor_of(user), client=client, now=now)
    with pytest.raises(Forbidden):
        create_operator_client(actor=actor_of(alice), now=now)
    operator, _ = create_operator_client(actor=actor_of(olivia), now=now)
    assert actor_for_client(operator).is_operator
    with pytest.raises(Forbidden):
        revoke_api_client(actor=actor_of(alice), client=operator, now=now)


def test_a_client_of_a_virtual_account_needs_one(acme, engineering, alice, actor_of, now):
    with pytest.raises(Invalid):
        create_api_client(actor=actor_of(alice), smart_account=acme, role=Role.VA_USER, now=now)
    client, _ = create_api_client(
        actor=actor_of(alice), smart_account=acme, role=Role.VA_USER, virtual_account=engineering, now=now
    )
    actor = actor_for_client(client)
    assert actor.may(Permission.VIEW, smart_account_id=acme.pk, virtual_account_id=engineering.pk)
    assert not actor.may(Permission.VIEW, smart_account_id=acme.pk)
