"""What locks prevent, each with the control that shows the race without the lock."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, BrokenBarrierError

import pytest
from django.db import connection

from accounts.models import Event, Membership, User
from accounts.services import members
from accounts.services.events import record_event, seal_events, verify_log
from accounts.services.members import add_member, remove_member
from cssm.common.actor import SYSTEM
from cssm.common.errors import DomainError
from cssm.common.permissions import Role

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def side_by_side(*jobs):
    """Run each job in a thread with its own connection; a refusal is returned."""

    def run(job):
        try:
            return job()
        except DomainError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


@pytest.fixture
def meet(monkeypatch):
    """Both threads wait for each other between the check and the change; with a lock only one gets there."""
    barrier, check = Barrier(2), members._refuse_last_admin

    def check_then_wait(row):
        check(row)
        try:
            barrier.wait(timeout=1)
        except BrokenBarrierError:
            return

    monkeypatch.setattr(members, "_refuse_last_admin", check_then_wait)


def remove_each_other(acme, alice, actor_of, now):
    add_member(actor=actor_of(alice), smart_account=acme, email="dora@acme.example", role=Role.SA_ADMIN, now=now)
    dora = User.objects.get(email="dora@acme.example")
    jobs = [
        partial(remove_member, actor=actor_of(actor), membership=Membership.objects.get(user=victim), now=now)
        for actor, victim in ((alice, dora), (dora, alice))
    ]
    side_by_side(*jobs)
    return Membership.objects.administrators().filter(smart_account=acme).count()


def test_two_administrators_who_remove_each_other_leave_one(acme, alice, actor_of, now, meet):
    assert remove_each_other(acme, alice, actor_of, now) == 1


def test_control_without_the_lock_none_is_left(acme, alice, actor_of, now, meet, monkeypatch):
    monkeypatch.setattr(members, "_lock", lambda smart_account_id: None)
    assert remove_each_other(acme, alice, actor_of, now) == 0


def test_many_sealers_make_one_chain(acme, now):
    for number in range(40):
        record_event(
            actor=SYSTEM,
            name="account.renamed",
            smart_account=acme,
            subject_type="smart_account",
            subject_id=acme.pk,
            data={"before": str(number), "after": "x"},
            now=now,
        )
    side_by_side(*[lambda: seal_events(now=now)] * 4)
    seal_events(now=now)
    positions = Event.objects.filter(smart_account=acme).order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(1, 42))
    assert verify_log(now=now).holds
