from datetime import timedelta

import pytest
from django.core import mail

from cssm.common.errors import Forbidden
from licensing.models import Pool, PoolCheck
from licensing.services.pools.checks import check_figures_when_due, request_check, send_check_alarms
from tests.licensing.stock import deliver, line, make_license

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool(engineering, now):
    deliver(engineering, line(make_license("ROUTER", now), 10), now=now)
    return Pool.objects.get()


def test_a_check_runs_once_a_night(pool, now):
    assert check_figures_when_due(now=now) == 1
    assert check_figures_when_due(now=now + timedelta(hours=22)) == 0
    night = (now + timedelta(days=1)).replace(hour=2)
    assert check_figures_when_due(now=night) == 0
    assert check_figures_when_due(now=night + timedelta(days=1)) == 1
    # A night that was missed is made up for by day.
    assert check_figures_when_due(now=night + timedelta(days=3, hours=5)) == 1
    assert PoolCheck.objects.count() == 3


def test_figures_that_hold_alarm_nobody(pool, olivia, now):
    check_figures_when_due(now=now)
    assert PoolCheck.objects.get().difference_count == 0
    assert send_check_alarms(now=now) == 0
    assert mail.outbox == []


def test_a_difference_is_kept_and_every_operator_is_told_once(pool, olivia, alice, now):
    Pool.objects.update(in_use=3)
    check_figures_when_due(now=now)
    check = PoolCheck.objects.get()
    assert [(row["tag"], row["figure"], row["stored"], row["recorded"]) for row in check.differences] == [
        ("ROUTER", "in_use", "3", "0")
    ]
    assert send_check_alarms(now=now) == 1
    assert send_check_alarms(now=now + timedelta(days=1)) == 0
    (message,) = mail.outbox
    assert message.to == [olivia.email]
    assert "1 difference." in message.body
    assert Pool.objects.get().in_use == 3


def test_a_mail_that_could_not_be_sent_is_sent_later(pool, olivia, now, monkeypatch):
    Pool.objects.update(in_use=3)
    check_figures_when_due(now=now)

    def refuse(self, **options):
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr("django.core.mail.EmailMessage.send", refuse)
        assert send_check_alarms(now=now) == 0
    assert send_check_alarms(now=now + timedelta(minutes=1)) == 0
    assert send_check_alarms(now=now + timedelta(minutes=20)) == 1


def test_only_operators_ask_for_a_check(pool, alice, actor_of, now):
    with pytest.raises(Forbidden):
        request_check(actor=actor_of(alice), now=now)
