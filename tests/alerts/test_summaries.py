from datetime import timedelta

import pytest

from alerts.models import Delivery, SummaryEntry
from alerts.services.mail import send_daily_summaries
from alerts.states import AlertAction, Channel, DeliveryState, Frequency
from tests.conftest import NOW

MORNING = NOW.replace(hour=6, minute=0)


@pytest.fixture
def daily(subscribe, engineering, alice):
    subscribe(alice, engineering, Frequency.DAILY)


def test_all_alerts_of_the_day_come_in_one_mail(daily, happen, engineering, alice, mailoutbox):
    happen(engineering, cause="pool:1", source="C9300 Advantage")
    happen(engineering, cause="pool:2", source="UCM", params={"license": "UCM", "shortage": 8})
    assert send_daily_summaries(now=NOW) == 1
    [message] = mailoutbox
    assert (message.to, message.subject) == ([alice.email], "Daily summary of alerts")
    for text in (message.body, message.alternatives[0].content):
        assert "C9300 Advantage" in text
        assert "UCM" in text
    delivery = Delivery.objects.get()
    assert (delivery.channel, delivery.entries.count()) == (Channel.SUMMARY, 2)


def test_what_comes_after_the_days_summary_waits_for_the_next(daily, happen, engineering, mailoutbox):
    happen(engineering, cause="pool:1")
    send_daily_summaries(now=NOW)
    happen(engineering, cause="pool:2")
    assert send_daily_summaries(now=NOW + timedelta(hours=5)) == 0
    assert send_daily_summaries(now=MORNING + timedelta(days=1, minutes=-1)) == 0
    assert SummaryEntry.objects.waiting().count() == 1
    assert send_daily_summaries(now=MORNING + timedelta(days=1)) == 1
    assert len(mailoutbox) == 2


def test_what_recovered_is_left_out_and_a_summary_of_nothing_is_not_sent(daily, happen, engineering, mailoutbox):
    happen(engineering, cause="pool:1", source="Gone", params={"license": "Gone"})
    happen(engineering, cause="pool:2", source="Here", params={"license": "Here"})
    happen(engineering, AlertAction.CLEAR, cause="pool:1")
    send_daily_summaries(now=NOW)
    assert "Gone" not in mailoutbox[0].body
    happen(engineering, cause="pool:3")
    happen(engineering, AlertAction.CLEAR, cause="pool:3")
    assert send_daily_summaries(now=NOW + timedelta(days=1)) == 0
    assert Delivery.objects.latest("pk").state == DeliveryState.CANCELLED


def test_nobody_else_gets_a_summary(daily, happen, engineering, bob, mallory, umbrella, mailoutbox):
    happen(engineering)
    assert send_daily_summaries(now=NOW) == 1
    assert len(mailoutbox) == 1
