import pytest
from django.test import Client

from accounts.models import Event
from alerts.models import Delivery, Subscription
from alerts.services.mail import send_daily_summaries, send_due_mail
from alerts.services.subscriptions import subscribe_address
from alerts.services.unsubscribing import unsubscribe_path
from alerts.states import Frequency
from tests.alerts.conftest import SHORTAGE
from tests.conftest import NOW


@pytest.fixture
def link(happen, subscribe, engineering, acme, alice, mailoutbox) -> str:
    """The address in the List-Unsubscribe header of a mail that alice got."""
    subscribe(alice, acme)
    happen(engineering)
    send_due_mail(now=NOW)
    url: str = mailoutbox[0].extra_headers["List-Unsubscribe"].strip("<>")
    return url.removeprefix("http://127.0.0.1:8000")


def test_one_post_without_login_or_cookie_is_enough(link, alice):
    answer = Client(enforce_csrf_checks=True).post(link, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert Subscription.objects.get().frequency == Frequency.OFF
    event = Event.objects.filter(name="subscription.changed").latest("pk")
    assert event.actor_id == str(alice.pk)
    assert Client().post(link).status_code == 200
    assert Event.objects.filter(name="subscription.changed").count() == 2


def test_following_the_link_only_asks(link):
    answer = Client().get(link)
    assert answer.status_code == 200
    assert "Insufficient Licenses, Acme" in answer.content.decode()
    assert Subscription.objects.get().frequency == Frequency.IMMEDIATE


def test_the_page_shows_no_address(link, alice):
    assert alice.email not in Client().get(link).content.decode()


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "1" + t, lambda t: "x", lambda t: t.replace(".", ":")])
def test_a_changed_link_stops_nothing(link, change):
    token = link.split("/")[2]
    answer = Client().post(f"/unsubscribe/{change(token)}/")
    assert answer.status_code == 404
    assert Subscription.objects.get().frequency == Frequency.IMMEDIATE


def test_a_link_stops_only_its_own_recipient(link, subscribe, engineering, bob):
    subscribe(bob, engineering)
    Client().post(link)
    assert Subscription.objects.get(user=bob).frequency == Frequency.IMMEDIATE


def test_the_link_of_a_summary_stops_what_it_told(happen, subscribe, engineering, alice, mailoutbox):
    subscribe(alice, engineering, Frequency.DAILY)
    happen(engineering)
    send_daily_summaries(now=NOW)
    assert Client().post(unsubscribe_path(Delivery.objects.get())).status_code == 200
    assert Subscription.objects.get().frequency == Frequency.OFF


def test_an_address_of_the_account_can_leave_too(happen, engineering, acme, alice, actor_of):
    subscribe_address(
        actor=actor_of(alice),
        smart_account=acme,
        address="noc@acme.example",
        alert_type=SHORTAGE,
        frequency=Frequency.IMMEDIATE,
        now=NOW,
    )
    happen(engineering)
    assert Client().post(unsubscribe_path(Delivery.objects.get())).status_code == 200
    assert Subscription.objects.get().frequency == Frequency.OFF
