import base64
from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import Event
from accounts.services.virtual_accounts import delete_virtual_account
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from licensing.models import IdToken
from licensing.services.devices.tokens import create_token, find_token, get_token, reveal_token, revoke_token
from licensing.states import TokenState


@pytest.fixture
def create(actor_of, bob, engineering, now):
    def make(**options):
        return create_token(actor=actor_of(bob), virtual_account=engineering, now=now, **options)

    return make


def test_a_token_names_its_virtual_account_and_its_moment(create, engineering, now):
    token, value = create(description="lab")
    signed = base64.b64decode(value)[44:].decode()
    assert signed == f"{engineering.uuid}:{int(now.timestamp() * 1000)}"
    assert token.expires_at == now + timedelta(days=30)
    assert (token.max_uses, token.uses_left, token.export_controlled_allowed) == (None, None, True)


def test_two_tokens_of_one_moment_differ(create):
    assert create()[1] != create()[1]


def test_the_database_holds_no_usable_token(create):
    _, value = create()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM licensing_idtoken")
        stored = [bytes(column) if isinstance(column, memoryview) else column for column in cursor.fetchone()]
    parts = [value.encode(), base64.b64decode(value), base64.b64decode(value)[:44]]
    for column in stored:
        column_bytes = column if isinstance(column, bytes) else str(column).encode()
        assert not any(part in column_bytes for part in parts)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"lifetime_days": 0}, "lifetime_days"),
        ({"lifetime_days": 10000}, "lifetime_days"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": -1}, "max_uses"),
        ({"max_uses": 10**10}, "max_uses"),
        ({"description": "x" * 501}, "description"),
        ({"description": "a\x00b"}, "description"),
    ],
)
def test_an_option_out_of_range_makes_no_token(create, options, where):
    with pytest.raises(Invalid) as caught:
        create(**options)
    assert caught.value.where == where
    assert not IdToken.objects.exists()


@pytest.mark.parametrize("days", [1, 9999])
def test_the_shortest_and_the_longest_life_are_allowed(create, days, now):
    assert create(lifetime_days=days)[0].expires_at == now + timedelta(days=days)


def test_a_viewer_may_neither_create_nor_see_nor_revoke(create, actor_of, carol, engineering, now):
    token, value = create()
    viewer = actor_of(carol)
    for attempt in (
        lambda: create_token(actor=viewer, virtual_account=engineering, now=now),
        lambda: reveal_token(actor=viewer, token=token),
        lambda: revoke_token(actor=viewer, token=token, now=now),
    ):
        with pytest.raises(Forbidden):
            attempt()
    with pytest.raises(NotFound):
        get_token(actor=viewer, value=value)


def test_a_stranger_learns_nothing(create, actor_of, mallory, umbrella, engineering, now):
    token, value = create()
    stranger = actor_of(mallory)
    for attempt in (
        lambda: create_token(actor=stranger, virtual_account=engineering, now=now),
        lambda: reveal_token(actor=stranger, token=token),
        lambda: revoke_token(actor=stranger, token=token, now=now),
        lambda: get_token(actor=stranger, value=value),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_who_may_manage_sees_the_value_and_finds_it_by_any_spelling(create, actor_of, bob):
    token, value = create()
    assert reveal_token(actor=actor_of(bob), token=token) == value
    spelled = value.replace("=", "%3D")
    assert find_token(spelled) == token
    assert get_token(actor=actor_of(bob), value=spelled) == token
    assert find_token(value[:-1]) is None


def test_a_revoked_token_is_revoked_once(create, actor_of, bob, now):
    token, _ = create()
    revoked = revoke_token(actor=actor_of(bob), token=token, now=now)
    again = revoke_token(actor=actor_of(bob), token=token, now=now + timedelta(days=1))
    assert revoked.revoked_at == again.revoked_at == now
    assert revoked.state_at(now) is TokenState.REVOKED
    assert Event.objects.filter(name="token.revoked").count() == 1


def test_a_token_ends_with_its_last_day_and_with_its_last_use(create, now):
    token, _ = create(lifetime_days=1, max_uses=1)
    assert token.state_at(now) is TokenState.ACTIVE
    assert token.state_at(now + timedelta(days=1)) is TokenState.EXPIRED
    token.uses = 1
    assert (token.state_at(now), token.uses_left) == (TokenState.EXHAUSTED, 0)


def test_the_log_tells_of_a_token_but_not_its_value(create):
    _, value = create(description="lab", max_uses=5)
    event = Event.objects.get(name="token.created")
    assert "lab" in event.message
    assert "5 uses" in event.message
    assert value not in str(event.data)


def test_a_virtual_account_with_a_usable_token_cannot_be_deleted(actor_of, alice, engineering):
    now = read_clock()
    token, _ = create_token(actor=actor_of(alice), virtual_account=engineering, now=now)
    with pytest.raises(Conflict, match="1 usable ID token"):
        delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=now)
    revoke_token(actor=actor_of(alice), token=token, now=now)
    delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=now)
    with pytest.raises(NotFound):
        create_token(actor=actor_of(alice), virtual_account=engineering, now=now)
