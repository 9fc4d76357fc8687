"""Two workers at once: what the locks and conditional updates prevent, each with the control that shows the race."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, BrokenBarrierError, Event

import pytest
from django.core import mail
from django.db import connection

from alerts.models import Alert, Delivery, DeliveryMove
from alerts.services import deliveries
from alerts.services import dispatch as dispatcher
from alerts.services.dispatch import dispatch
from alerts.services.mail import send_due_mail
from alerts.services.relevance import reason_not_to_send
from alerts.services.rules import Source, register_source
from alerts.states import AlertAction, DeliveryState
from tests.alerts.conftest import SHORTAGE, change
from tests.conftest import NOW

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def side_by_side(*jobs):
    """Run each job in a thread with its own connection."""

    def run(job):
        try:
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


@pytest.fixture
def meet(monkeypatch):
    """Both workers wait for each other between reading a message and claiming it."""
    barrier, look = Barrier(2), reason_not_to_send

    def look_then_wait(delivery, *, now):
        reason = look(delivery, now=now)
        try:
            barrier.wait(timeout=1)
        except BrokenBarrierError:
            return reason
        return reason

    monkeypatch.setattr(deliveries, "reason_not_to_send", look_then_wait)


@pytest.fixture
def planned(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)


def without_row_lock(monkeypatch):
    monkeypatch.setattr(
        deliveries, "_next_due", lambda now: Delivery.objects.due(now).select_related("user", "alert").first()
    )


def without_conditional_update(monkeypatch):
    def move(delivery, new, now, reason="", **fields):
        Delivery.objects.filter(pk=delivery.pk).update(state=new, **fields)
        delivery.state = new
        return True

    monkeypatch.setattr(deliveries, "_move", move)


def send_twice_at_once():
    side_by_side(partial(send_due_mail, now=NOW), partial(send_due_mail, now=NOW))
    return len(mail.outbox)


def test_two_workers_send_one_mail(planned, meet):
    assert send_twice_at_once() == 1
    assert list(DeliveryMove.objects.order_by("pk").values_list("new", flat=True)) == ["sending", "sent"]


def test_the_conditional_update_alone_suffices(planned, meet, monkeypatch):
    without_row_lock(monkeypatch)
    assert send_twice_at_once() == 1


def test_control_without_lock_and_condition_two_mails_go_out(planned, meet, monkeypatch):
    without_row_lock(monkeypatch)
    without_conditional_update(monkeypatch)
    assert send_twice_at_once() == 2


def test_four_workers_share_many_messages_without_repeating_one(happen, subscribe, engineering, alice, bob, carol):
    for user in (alice, bob, carol):
        subscribe(user, engineering)
    for number in range(10):
        happen(engineering, cause=f"pool:{number}")
    assert sum(side_by_side(*[partial(send_due_mail, now=NOW)] * 4)) == 30
    seen = [message.extra_headers["Message-ID"] for message in mail.outbox]
    assert len(seen) == len(set(seen)) == 30
    assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.SENT}


@pytest.fixture
def records(shortages):
    """A table of records with the action to take, read as an app above reads its own."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS race_record")
        cursor.execute("CREATE TABLE race_record (id serial PRIMARY KEY, action text, done boolean DEFAULT false)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE race_record")


def fetch(limit):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, action FROM race_record WHERE NOT done ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED", [limit]
        )
        return cursor.fetchall()


def mark(rows, now):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE race_record SET done = true WHERE id = ANY(%s)", [[row[0] for row in rows]])


def fall_short_and_recover(engineering, monkeypatch):
    """One dispatcher stops inside the shortage's transaction while another looks for more; is the alert left over?"""
    holding, other_is_done = Event(), Event()

    def to_changes(row):
        action = AlertAction(row[1])
        if action is AlertAction.RAISE:
            holding.set()
            other_is_done.wait(timeout=1)
        return [change(engineering, action)]

    def second():
        holding.wait(timeout=5)
        dispatch(now=NOW)
        other_is_done.set()

    register_source(Source("race", frozenset(), fetch, to_changes, mark))
    monkeypatch.setattr(dispatcher, "BATCH", 1)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO race_record (action) VALUES ('raise'), ('clear')")
    side_by_side(partial(dispatch, now=NOW), second)
    return Alert.objects.standing().filter(type=SHORTAGE).count()


def test_a_clear_is_never_applied_before_the_raise_it_follows(records, engineering, monkeypatch):
    assert fall_short_and_recover(engineering, monkeypatch) == 0


def test_control_without_the_lock_the_alert_is_left_over(records, engineering, monkeypatch):
    monkeypatch.setattr(dispatcher, "_lock", lambda source: None)
    assert fall_short_and_recover(engineering, monkeypatch) == 1


def test_two_dispatchers_plan_one_message_per_subscriber(records, subscribe, engineering, alice):
    subscribe(alice, engineering)
    register_source(
        Source(
            "race",
            frozenset(),
            fetch,
            lambda row: [change(engineering, AlertAction(row[1]), cause=f"pool:{row[0]}")],
            mark,
        )
    )
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO race_record (action) SELECT 'raise' FROM generate_series(1, 300)")
    assert sum(side_by_side(partial(dispatch, now=NOW), partial(dispatch, now=NOW))) == 300
    assert Alert.objects.count() == Delivery.objects.count() == 300
