from datetime import timedelta

import pytest

from alerts.models import Alert, Delivery, SummaryEntry
from alerts.services import dispatch as dispatcher
from alerts.services import rules
from alerts.services.dispatch import dispatch
from alerts.services.rules import Source, offered_types, present_params, register_source
from alerts.states import AlertAction, AlertType, DeliveryState, Frequency, Severity
from tests.alerts.conftest import change
from tests.conftest import NOW


def test_a_shortage_raises_an_alert_and_one_delivery_per_subscriber(happen, subscribe, engineering, alice, bob):
    subscribe(alice, engineering)
    subscribe(bob, engineering)
    alert = happen(engineering)
    assert (alert.kind, alert.grade) == (AlertType.INSUFFICIENT_LICENSES, Severity.MAJOR)
    assert alert.raised_at == NOW - timedelta(seconds=2)
    deliveries = Delivery.objects.filter(alert=alert)
    assert {row.to for row in deliveries} == {alice.email, bob.email}
    assert {row.state for row in deliveries} == {DeliveryState.PENDING}
    assert len({row.message_id for row in deliveries}) == 2


def test_who_did_not_subscribe_gets_nothing(happen, engineering, alice, bob, carol):
    happen(engineering)
    assert not Delivery.objects.exists()
    assert not SummaryEntry.objects.exists()


def test_while_it_lasts_the_alert_is_updated_and_nobody_is_told_again(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    first = happen(engineering)
    again = happen(engineering, params={"shortage": 9}, at=NOW)
    worse = happen(engineering, AlertAction.UPDATE, params={"shortage": 10}, at=NOW)
    assert first.pk == again.pk == worse.pk
    assert (worse.params["shortage"], worse.raised_at, worse.updated_at) == (10, first.raised_at, NOW)
    assert Delivery.objects.count() == 1


def test_the_cure_clears_and_a_relapse_is_a_new_alert_with_a_new_mail(happen, subscribe, engineering, alice):
    subscribe(alice, engineering)
    first = happen(engineering)
    happen(engineering, AlertAction.CLEAR, at=NOW)
    first.refresh_from_db()
    assert first.cleared_at == NOW
    second = happen(engineering)
    assert second.pk != first.pk
    assert Delivery.objects.count() == 2


def test_clearing_or_updating_what_does_not_stand_does_nothing(shortages, engineering):
    shortages.rows = [change(engineering, AlertAction.CLEAR), change(engineering, AlertAction.UPDATE)]
    assert dispatch(now=NOW) == 2
    assert not Alert.objects.exists()


def test_the_same_pool_number_in_another_account_is_another_cause(happen, engineering, umbrella):
    happen(engineering)
    other = umbrella.virtual_accounts.get(is_default=True)
    happen(other, AlertAction.CLEAR)
    assert Alert.objects.standing().count() == 1


def test_the_choice_on_a_virtual_account_goes_before_the_one_for_all(
    happen, subscribe, acme, engineering, default_va, alice
):
    subscribe(alice, acme)
    subscribe(alice, engineering, Frequency.OFF)
    happen(engineering)
    assert not Delivery.objects.exists()
    happen(default_va, cause="pool:18")
    assert Delivery.objects.get().virtual_account == default_va


def test_the_daily_choice_makes_an_entry_and_no_delivery(happen, subscribe, engineering, alice):
    subscribe(alice, engineering, Frequency.DAILY)
    happen(engineering)
    assert SummaryEntry.objects.get().recipient == f"user:{alice.pk}"
    assert not Delivery.objects.exists()


def test_every_batch_is_drained_in_order(shortages, engineering, monkeypatch):
    monkeypatch.setattr(dispatcher, "BATCH", 2)
    shortages.rows = [change(engineering), change(engineering, AlertAction.CLEAR), change(engineering)]
    assert dispatch(now=NOW) == 3
    assert [alert.cleared_at is None for alert in Alert.objects.order_by("pk")] == [False, True]
    assert shortages.rows == []


def test_a_source_that_fails_changes_nothing_and_does_not_silence_the_others(shortages, engineering):
    def refuse(row):
        yield change(engineering, cause="pool:99")
        raise RuntimeError("broken")

    broken = Source(
        "broken", frozenset({AlertType.DUPLICATE_LICENSES}), lambda limit: ["row"], refuse, lambda rows, now: None
    )
    rules._sources.clear()
    register_source(broken)
    register_source(shortages.source())
    shortages.rows = [change(engineering)]
    with pytest.raises(ExceptionGroup):
        dispatch(now=NOW)
    assert [alert.cause for alert in Alert.objects.all()] == ["pool:17"]


def test_only_types_that_something_raises_are_offered(shortages):
    assert offered_types() == [AlertType.INSUFFICIENT_LICENSES]
    with pytest.raises(ValueError, match="registered twice"):
        register_source(shortages.source())


def test_a_link_never_leads_out_of_the_portal(happen, engineering):
    assert happen(engineering, path="//evil.example/").path == ""
    assert happen(engineering, cause="pool:2", path="https://evil.example/").path == ""
    assert happen(engineering, cause="pool:3", path="/accounts/acme.example/").path == "/accounts/acme.example/"


def test_figures_of_the_moment_come_from_the_source(shortages, happen, engineering):
    alert = happen(engineering)
    assert present_params([alert], now=NOW) == {alert.pk: alert.params}
    shortages.answer_with({"pool:17": {"shortage": 7}})
    assert present_params([alert], now=NOW) == {alert.pk: {"shortage": 7}}
    shortages.answer_with({})
    assert present_params([alert], now=NOW) == {alert.pk: None}
