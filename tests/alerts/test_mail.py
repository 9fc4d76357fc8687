"""What a mail says, and when none is sent. The mail server here is Django's in-memory back end."""

from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from django.core import mail

from accounts.models import Membership
from alerts.models import Delivery, DeliveryMove
from alerts.services import compose
from alerts.services import mail as mailing
from alerts.services.mail import send_due_mail
from alerts.services.relevance import NO_ACCESS, RECOVERED, UNSUBSCRIBED
from alerts.states import AlertAction, DeliveryState, Frequency
from tests.conftest import NOW


def sent() -> list[EmailMessage]:
    return [message_from_bytes(message.message().as_bytes(), policy=policy.default) for message in mail.outbox]


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_the_mail_says_where_what_how_many_and_since_when(happen, subscribe, engineering, alice, settings):
    settings.PUBLIC_URL = "https://portal.example"
    subscribe(alice, engineering)
    happen(engineering, source="Engineering: C9300 Advantage")
    assert send_due_mail(now=NOW) == 1
    [message] = sent()
    assert message["To"] == alice.email
    assert message["Subject"] == "Insufficient Licenses: Engineering: C9300 Advantage (Acme)"
    for kind in ("plain", "html"):
        text = body(message, kind)
        for expected in ("Engineering", "C9300 Advantage", "Short by", "3", "2026-03-02 09:29 UTC"):
            assert expected in text
        assert "https://portal.example/accounts/acme.example/inventory/Engineering/licenses/" in text
        assert "https://portal.example/accounts/acme.example/preferences/" in text


def test_the_headers_are_those_of_an_automatic_mail_with_one_click_unsubscribing(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    send_due_mail(now=NOW)
    [message] = sent()
    assert message["Message-ID"] == Delivery.objects.get().message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Precedence"] == "bulk"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Unsubscribe"].strip().startswith("<http://127.0.0.1:8000/unsubscribe/")
    assert message["Date"].datetime == NOW
    assert message.as_bytes().isascii()


def test_one_mail_and_no_second(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    assert send_due_mail(now=NOW) == 1
    assert send_due_mail(now=NOW + timedelta(days=1)) == 0
    row = Delivery.objects.get()
    assert (row.state, row.sent_at, row.attempts, row.next_attempt_at) == (DeliveryState.SENT, NOW, 1, None)
    moves = DeliveryMove.objects.order_by("pk").values_list("old", "new")
    assert list(moves) == [("pending", "sending"), ("sending", "sent")]


def test_what_recovered_before_the_mail_left_sends_none(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    happen(engineering, AlertAction.CLEAR, at=NOW)
    assert send_due_mail(now=NOW) == 0
    assert mail.outbox == []
    row = Delivery.objects.get()
    assert (row.state, row.error) == (DeliveryState.CANCELLED, RECOVERED)


def test_what_the_source_says_is_over_sends_none_even_before_it_is_dispatched(
    shortages, happen, subscribe, engineering, alice
):
    subscribe(alice, engineering)
    happen(engineering)
    shortages.answer_with({})
    send_due_mail(now=NOW)
    assert mail.outbox == []
    assert Delivery.objects.get().state == DeliveryState.CANCELLED


def test_the_figures_are_those_of_the_moment_of_sending(shortages, happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    shortages.answer_with({"pool:17": {"license": "C9300 Advantage", "shortage": 41}})
    send_due_mail(now=NOW)
    assert "is 41 short of" in body(sent()[0], "plain")


def test_who_unsubscribed_in_between_gets_none(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    subscribe(alice, engineering, Frequency.OFF)
    send_due_mail(now=NOW)
    assert mail.outbox == []
    assert Delivery.objects.get().error == UNSUBSCRIBED


@pytest.mark.parametrize("loss", ["role", "active"])
def test_who_may_no_longer_see_the_account_gets_none(happen, subscribe, engineering, bob, loss):
    subscribe(bob, engineering)
    happen(engineering)
    if loss == "role":
        Membership.objects.filter(user=bob).delete()
    else:
        bob.is_active = False
        bob.save(update_fields=["is_active"])
    send_due_mail(now=NOW)
    assert mail.outbox == []
    assert Delivery.objects.get().error == NO_ACCESS


def test_mallory_never_gets_acmes_alerts_even_with_a_subscription_that_no_service_would_write(
    happen, force_subscription, engineering, acme, mallory, umbrella
):
    force_subscription(mallory, acme)
    happen(engineering)
    send_due_mail(now=NOW)
    assert mail.outbox == []
    assert Delivery.objects.get().error == NO_ACCESS


def test_the_mail_goes_to_the_address_of_today(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    happen(engineering)
    alice.email = "alice.new@acme.example"
    alice.save(update_fields=["email"])
    send_due_mail(now=NOW)
    assert mail.outbox[0].to == ["alice.new@acme.example"]


EVIL = 'A\r\nBcc: everyone@acme.example\n\n<script>alert("1")</script> & {since} {0} %s \u202eevil\x00'


def test_names_cannot_inject_headers_or_markup(happen, subscribe, engineering, alice):
    engineering.name = 'Eng\r\nX-Evil: 1 <b>"bold"</b>'
    engineering.save(update_fields=["name"])
    subscribe(alice, engineering)
    happen(engineering, params={"license": EVIL.replace("\x00", "")}, source=EVIL.replace("\x00", ""))
    assert send_due_mail(now=NOW) == 1
    [message] = sent()
    assert set(message.keys()) == {
        "Content-Type",
        "MIME-Version",
        "Subject",
        "From",
        "To",
        "Message-ID",
        "Date",
        "Auto-Submitted",
        "Precedence",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    }
    assert "\n" not in message["Subject"]
    assert "\u202e" not in message["Subject"]
    assert mail.outbox[0].recipients() == [alice.email]
    html = body(message, "html")
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    plain = body(message, "plain")
    assert '<script>alert("1")</script> & {since} {0} %s' in plain


def test_the_mail_holds_no_secret_but_its_own_unsubscribe_link(happen, subscribe, engineering, alice, settings):
    subscribe(alice, engineering)
    happen(engineering)
    send_due_mail(now=NOW)
    text = mail.outbox[0].message().as_string()
    for secret in (settings.SECRET_KEY, settings.KEY_ENCRYPTION_KEY, alice.password):
        assert secret not in text


def test_one_mail_that_cannot_be_made_does_not_hold_up_the_others(
    happen, subscribe, engineering, alice, bob, monkeypatch
):
    subscribe(alice, engineering)
    subscribe(bob, engineering)
    happen(engineering)

    def fail_for_alice(delivery, *, now):
        if delivery.user == alice:
            raise RuntimeError("template is broken")
        return compose.compose_message(delivery, now=now)

    monkeypatch.setattr(mailing, "compose_message", fail_for_alice)
    assert send_due_mail(now=NOW) == 1
    assert [message.to for message in mail.outbox] == [[bob.email]]
    assert Delivery.objects.get(user=alice).state == DeliveryState.FAILED


def test_times_are_in_the_readers_zone(happen, subscribe, engineering, alice):
    alice.time_zone = "America/New_York"
    alice.save(update_fields=["time_zone"])
    subscribe(alice, engineering)
    happen(engineering)
    send_due_mail(now=NOW)
    assert "2026-03-02 04:29 EST" in body(sent()[0], "plain")
