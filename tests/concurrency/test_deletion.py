"""A Virtual Account that is deleted while somebody puts something into it: it is empty then, or it stays."""

import time
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.virtual_accounts import create_virtual_account, delete_virtual_account
from cssm.common.errors import NotFound
from licensing.models import IdToken
from licensing.services.devices import tokens
from licensing.services.devices.tokens import create_token
from tests.concurrency.threads import Crew

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lab(alice, acme, now):
    return create_virtual_account(actor=actor_for_user(alice), smart_account=acme, name="Lab", now=now)


def wait_for_a_waiter() -> None:
    """Until somebody else waits for a lock."""
    deadline = time.monotonic() + 30
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


def delete_while(put: Any, alice, lab, now) -> None:
    """Something is put into the account when its deletion has found it empty, and has not ended yet."""
    with transaction.atomic():
        delete_virtual_account(actor=actor_for_user(alice), virtual_account=lab, now=now)
        crew = Crew(put)
        wait_for_a_waiter()
    crew.join()


def test_nothing_gets_into_an_account_that_is_being_deleted(alice, lab, now):
    def put() -> None:
        with pytest.raises(NotFound):
            create_token(actor=actor_for_user(alice), virtual_account=lab, now=now)

    delete_while(put, alice, lab, now)
    assert not IdToken.objects.filter(virtual_account=lab).exists()


def test_without_the_lock_it_would_be_in_there(alice, lab, now, monkeypatch):
    live = VirtualAccount.objects.live()
    monkeypatch.setattr(tokens, "keep_from_deletion", lambda pk: live.filter(pk=pk).exists())
    delete_while(lambda: create_token(actor=actor_for_user(alice), virtual_account=lab, now=now), alice, lab, now)
    assert IdToken.objects.filter(virtual_account__deleted_at__isnull=False).exists()
