import pytest

from accounts.models import Event
from alerts.models import Delivery, Subscription
from alerts.services.mail import send_due_mail
from alerts.services.subscriptions import choose_notifications, subscribe_address
from alerts.states import AlertType, Frequency
from cssm.common.actor import SYSTEM
from cssm.common.errors import Forbidden, Invalid, NotFound
from tests.alerts.conftest import SHORTAGE
from tests.conftest import NOW


def events() -> list[str]:
    return [event.message for event in Event.objects.filter(name="subscription.changed").order_by("pk")]


def test_a_choice_is_recorded_once_with_before_and_after(subscribe, engineering, bob, acme):
    subscribe(bob, engineering)
    subscribe(bob, engineering)
    subscribe(bob, engineering, Frequency.DAILY)
    assert Subscription.objects.get().frequency == Frequency.DAILY
    assert events() == [
        f'Notifications of {bob.label} about "Insufficient Licenses" in Engineering were changed from '
        "as the Smart Account to immediate.",
        f'Notifications of {bob.label} about "Insufficient Licenses" in Engineering were changed from '
        "immediate to daily.",
    ]


def test_taking_a_choice_back_follows_the_smart_account_again(subscribe, engineering, acme, alice, happen):
    subscribe(alice, acme)
    subscribe(alice, engineering, Frequency.OFF)
    subscribe(alice, engineering, None)
    happen(engineering)
    assert Delivery.objects.count() == 1


def test_choosing_what_is_so_already_writes_nothing(subscribe, acme, alice):
    subscribe(alice, acme, Frequency.OFF)
    assert not Subscription.objects.exists()
    assert events() == []


def test_bob_chooses_for_his_virtual_account_only(subscribe, acme, engineering, default_va, bob):
    subscribe(bob, engineering)
    with pytest.raises(Forbidden):
        subscribe(bob, default_va)
    with pytest.raises(Forbidden):
        subscribe(bob, acme)
    assert Subscription.objects.count() == 1


def test_mallory_cannot_subscribe_to_acme(subscribe, acme, engineering, mallory, umbrella):
    for place in (acme, engineering):
        with pytest.raises(NotFound):
            subscribe(mallory, place)
    assert not Subscription.objects.exists()


def test_a_virtual_account_of_another_smart_account_is_not_found(subscribe, acme, umbrella, alice, actor_of):
    foreign = umbrella.virtual_accounts.get(is_default=True)
    with pytest.raises(NotFound):
        choose_notifications(
            actor=actor_of(alice),
            smart_account=acme,
            choices={(foreign.pk, SHORTAGE): Frequency.IMMEDIATE},
            now=NOW,
        )


def test_only_a_person_chooses(shortages, acme):
    with pytest.raises(Forbidden):
        choose_notifications(actor=SYSTEM, smart_account=acme, choices={}, now=NOW)


def test_a_type_that_nothing_raises_cannot_be_chosen(shortages, acme, alice, actor_of):
    with pytest.raises(Invalid):
        choose_notifications(
            actor=actor_of(alice),
            smart_account=acme,
            choices={(None, AlertType.DUPLICATE_LICENSES): Frequency.DAILY},
            now=NOW,
        )


def _address(actor, acme, address, frequency=Frequency.IMMEDIATE):
    subscribe_address(
        actor=actor, smart_account=acme, address=address, alert_type=SHORTAGE, frequency=frequency, now=NOW
    )


@pytest.mark.parametrize("address", ["noc@acme.example", "NOC@Acme.Example", "noc@emea.acme.example"])
def test_an_address_in_the_own_domain_is_told(happen, acme, engineering, alice, actor_of, address, mailoutbox):
    _address(actor_of(alice), acme, address)
    happen(engineering)
    assert send_due_mail(now=NOW) == 1
    assert mailoutbox[0].to == [address.lower()]
    assert "/preferences/" not in mailoutbox[0].body


@pytest.mark.parametrize(
    "address",
    [
        "noc@umbrella.example",
        "noc@notacme.example",
        "noc@acme.example.evil.example",
        "noc@acme.example\nBcc: x@y.example",
        "a@b@acme.example",
        "@acme.example",
        "",
    ],
)
def test_any_other_address_is_refused(shortages, acme, alice, actor_of, address):
    with pytest.raises(Invalid):
        _address(actor_of(alice), acme, address)
    assert not Subscription.objects.exists()


def test_only_an_administrator_adds_addresses(shortages, acme, bob, mallory, umbrella, actor_of):
    with pytest.raises(Forbidden):
        _address(actor_of(bob), acme, "noc@acme.example")
    with pytest.raises(NotFound):
        _address(actor_of(mallory), acme, "noc@acme.example")


def test_an_address_of_an_account_that_was_closed_is_not_told(happen, acme, engineering, alice, actor_of, mailoutbox):
    _address(actor_of(alice), acme, "noc@acme.example")
    happen(engineering)
    acme.status = "INACTIVE"
    acme.save(update_fields=["status"])
    assert send_due_mail(now=NOW) == 0
    assert mailoutbox == []
