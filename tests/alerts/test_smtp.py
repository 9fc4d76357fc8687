"""The conversation with a real mail server, and every place where it can break."""

import re
import socket

import pytest

from alerts.models import Alert, Delivery
from alerts.services.deliveries import DOUBT_RETRY
from alerts.services.mail import send_due_mail
from alerts.states import DeliveryState
from tests.alerts.sink import running_sink
from tests.conftest import NOW

pytestmark = pytest.mark.flow


@pytest.fixture
def sink(settings):
    with running_sink() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        yield running


@pytest.fixture
def planned(happen, subscribe, engineering, alice) -> Delivery:
    subscribe(alice, engineering)
    happen(engineering)
    return Delivery.objects.get()


def test_each_subscriber_gets_one_mail_and_others_none(
    sink, happen, subscribe, engineering, alice, bob, carol, mallory, umbrella
):
    subscribe(alice, engineering)
    subscribe(bob, engineering)
    happen(engineering)
    assert send_due_mail(now=NOW) == 2
    assert send_due_mail(now=NOW) == 0
    assert sorted(address for address, _ in sink.arrived) == [alice.email, bob.email]
    assert {message_id for _, message_id in sink.arrived} == set(Delivery.objects.values_list("message_id", flat=True))


def test_a_line_that_is_a_dot_neither_ends_the_message_nor_gets_lost(sink, happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    engineering.name = "E\n.\nRCPT TO:<evil@evil.example>\n..two"
    engineering.save(update_fields=["name"])
    happen(engineering, source=".")
    assert send_due_mail(now=NOW) == 1
    assert [address for address, _ in sink.arrived] == [alice.email]
    assert b"\r\n.\r\nRCPT TO" in sink.contents[0]
    assert b"\r\n..two" in sink.contents[0]
    assert b"\n" not in sink.contents[0].replace(b"\r\n", b"")


def test_a_connection_that_dies_after_data_is_unknown_and_repeated_once_with_the_same_message_id(sink, planned):
    sink.at_data = ["drop", "drop"]
    assert send_due_mail(now=NOW) == 0
    planned.refresh_from_db()
    assert planned.state == DeliveryState.UNKNOWN
    assert "before the mail server answered" in planned.error
    assert send_due_mail(now=NOW) == 0
    assert send_due_mail(now=NOW + DOUBT_RETRY) == 0
    assert send_due_mail(now=NOW + 9 * DOUBT_RETRY) == 0
    planned.refresh_from_db()
    assert (planned.state, planned.next_attempt_at) == (DeliveryState.UNKNOWN, None)
    assert [message_id for _, message_id in sink.arrived] == [planned.message_id] * 2
    first, second = (re.sub(rb"=+\d+==", b"boundary", content) for content in sink.contents)
    assert first == second


def test_the_repetition_of_a_doubtful_message_can_settle_it(sink, planned):
    sink.at_data = ["drop"]
    send_due_mail(now=NOW)
    assert send_due_mail(now=NOW + DOUBT_RETRY) == 1
    planned.refresh_from_db()
    assert planned.state == DeliveryState.SENT


@pytest.mark.parametrize("answers", [{"at_rcpt": ["451 later"]}, {"at_data": ["452 full"]}, {"at_rcpt": ["drop"]}])
def test_what_the_server_did_not_take_is_sent_later(sink, planned, answers):
    for name, value in answers.items():
        setattr(sink, name, value)
    assert send_due_mail(now=NOW) == 0
    planned.refresh_from_db()
    assert (planned.state, planned.doubts) == (DeliveryState.PENDING, 0)
    assert send_due_mail(now=planned.next_attempt_at) == 1


@pytest.mark.parametrize("answers", [{"at_rcpt": ["550 no such user"]}, {"at_data": ["554 no spam"]}])
def test_what_the_server_refuses_for_good_has_failed_and_the_next_message_goes_out(
    sink, planned, answers, happen, subscribe, default_va, alice
):
    for name, value in answers.items():
        setattr(sink, name, value)
    subscribe(alice, default_va)
    happen(default_va, cause="pool:18")
    assert send_due_mail(now=NOW) == 1
    planned.refresh_from_db()
    assert planned.state == DeliveryState.FAILED
    assert planned.error[:3] in ("550", "554")


def test_without_a_mail_server_the_message_waits(planned, settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", taken.getsockname()[1]
        assert send_due_mail(now=NOW) == 0
    planned.refresh_from_db()
    assert planned.state == DeliveryState.PENDING
    assert "cannot be used" in planned.error


def test_what_recovered_never_reaches_the_server(sink, planned):
    Alert.objects.update(cleared_at=NOW)
    assert send_due_mail(now=NOW) == 0
    assert sink.arrived == []
