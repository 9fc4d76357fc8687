import csv
import io

import pytest

from alerts.models import Alert, Delivery, Subscription
from alerts.services.mail import send_due_mail
from alerts.states import AlertType, Frequency
from tests.alerts.conftest import SHORTAGE
from tests.conftest import NOW

ALERTS = "/accounts/acme.example/alerts/"
PREFERENCES = "/accounts/acme.example/preferences/"


def text(answer) -> str:
    assert answer.status_code == 200, answer.content[:500]
    return str(answer.content.decode())


def rows(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"{ALERTS}?export=csv{query}")
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))


def test_the_list_shows_what_is_wrong_gravest_first(happen, engineering, alice_client):
    happen(engineering, cause="a", alert_type=AlertType.NEW_LICENSES, source="minor matter")
    happen(engineering, cause="b", alert_type=AlertType.LICENSES_EXPIRING, action_due=NOW, source="due")
    happen(engineering, cause="c", alert_type=AlertType.LICENSES_EXPIRING, source="not due")
    happen(engineering)
    page = text(alice_client.get(ALERTS))
    assert "is 3 short of the license &quot;C9300 Advantage&quot; since" in page
    assert [row["Source"] for row in rows(alice_client)] == ["C9300 Advantage", "due", "not due", "minor matter"]
    assert [row["Severity"] for row in rows(alice_client)] == ["Major", "Minor", "Minor", "Informational"]


def test_without_alerts_the_page_says_so(shortages, alice_client):
    assert "No alerts" in text(alice_client.get(ALERTS))


def test_recovered_and_dismissed_alerts_are_found_by_filter_only(happen, engineering, alice_client):
    alert = happen(engineering)
    Alert.objects.filter(pk=alert.pk).update(dismissed_at=NOW)
    assert rows(alice_client) == []
    assert len(rows(alice_client, "&show=dismissed")) == 1
    Alert.objects.filter(pk=alert.pk).update(cleared_at=NOW)
    assert rows(alice_client, "&show=dismissed") == []
    assert len(rows(alice_client, "&show=past")) == len(rows(alice_client, "&show=all")) == 1


def test_filters_narrow_the_list(happen, engineering, default_va, alice_client):
    happen(engineering)
    happen(default_va, cause="x", alert_type=AlertType.LICENSES_EXPIRING, source="Other")
    assert [row["Source"] for row in rows(alice_client, "&severity=2")] == ["Other"]
    assert [row["Source"] for row in rows(alice_client, "&type=insufficient_licenses")] == ["C9300 Advantage"]
    assert [row["Source"] for row in rows(alice_client, "&q=engineering")] == ["C9300 Advantage"]


def test_names_are_escaped(happen, engineering, alice_client):
    happen(engineering, source="<script>x</script>", params={"license": "<b>x</b>"})
    page = text(alice_client.get(ALERTS))
    assert "<script>x" not in page
    assert "<b>x" not in page


def test_figures_on_the_page_are_those_of_the_moment(shortages, happen, engineering, alice_client):
    happen(engineering)
    shortages.answer_with({"pool:17": {"license": "C9300 Advantage", "shortage": 41}})
    assert "is 41 short of" in text(alice_client.get(ALERTS))
    assert "is 41 short of" in rows(alice_client)[0]["Message"]


def test_a_role_on_one_virtual_account_sees_its_alerts_only(happen, engineering, default_va, bob_client, carol_client):
    happen(engineering, source="ours")
    happen(default_va, cause="pool:18", source="theirs")
    for client in (bob_client, carol_client):
        assert [row["Source"] for row in rows(client)] == ["ours"]


def test_strangers_find_no_page(happen, engineering, mallory_client, client):
    alert = happen(engineering)
    for path in (ALERTS, PREFERENCES, f"{ALERTS}{alert.pk}/dismiss/", f"{PREFERENCES}messages/"):
        assert mallory_client.get(path).status_code == 404
        assert client.get(path).status_code == 302


def test_bob_dismisses_and_shows_again(happen, engineering, bob, bob_client):
    alert = happen(engineering)
    assert "Dismiss" in text(bob_client.get(ALERTS))
    bob_client.post(f"{ALERTS}{alert.pk}/dismiss/")
    alert.refresh_from_db()
    assert (alert.dismissed_at is not None, alert.dismissed_by) == (True, bob)
    assert rows(bob_client) == []
    bob_client.post(f"{ALERTS}{alert.pk}/restore/")
    alert.refresh_from_db()
    assert (alert.dismissed_at, alert.dismissed_by) == (None, None)


def test_carol_may_look_but_not_dismiss(happen, engineering, carol_client):
    alert = happen(engineering)
    assert "/dismiss/" not in text(carol_client.get(ALERTS))
    assert carol_client.post(f"{ALERTS}{alert.pk}/dismiss/").status_code == 403
    alert.refresh_from_db()
    assert alert.dismissed_at is None


def test_bob_cannot_touch_the_alert_of_another_virtual_account(happen, default_va, bob_client):
    alert = happen(default_va)
    assert bob_client.post(f"{ALERTS}{alert.pk}/dismiss/").status_code == 404


def test_a_foreign_alert_is_not_reached_through_the_own_account(happen, engineering, mallory_client):
    alert = happen(engineering)
    assert mallory_client.post(f"/accounts/umbrella.example/alerts/{alert.pk}/dismiss/").status_code == 404


def test_preferences_offer_what_one_may_see_and_save_it(shortages, engineering, bob, bob_client, alice_client):
    page = text(bob_client.get(PREFERENCES))
    assert "Engineering" in page
    assert "All of Acme" not in page
    assert "Insufficient Licenses" in page
    assert "Licenses Expiring" not in page
    answer = bob_client.post(PREFERENCES, {f"{engineering.pk}-{SHORTAGE}": "immediate"})
    assert answer.status_code == 302
    row = Subscription.objects.get()
    assert (row.user, row.virtual_account, row.frequency) == (bob, engineering, Frequency.IMMEDIATE)
    assert '<option value="immediate" selected>' in text(bob_client.get(PREFERENCES))
    assert "All of Acme" in text(alice_client.get(PREFERENCES))


def test_a_choice_that_is_not_offered_is_refused(shortages, engineering, bob_client):
    answer = bob_client.post(PREFERENCES, {f"{engineering.pk}-{SHORTAGE}": "hourly"})
    assert answer.status_code == 422
    assert not Subscription.objects.exists()


def test_a_field_for_a_foreign_place_is_ignored(shortages, default_va, engineering, bob_client):
    bob_client.post(PREFERENCES, {f"{default_va.pk}-{SHORTAGE}": "immediate", f"all-{SHORTAGE}": "immediate"})
    assert not Subscription.objects.exists()


def test_an_administrator_adds_and_removes_addresses(shortages, acme, alice_client, bob_client):
    path = f"{PREFERENCES}addresses/add/"
    good = {"address": "noc@acme.example", "alert_type": SHORTAGE, "frequency": "immediate"}
    assert bob_client.post(path, good).status_code == 403
    assert alice_client.post(path, {**good, "address": "noc@evil.example"}).status_code == 422
    assert alice_client.post(path, good).status_code == 302
    row = Subscription.objects.get()
    assert "noc@acme.example" in text(alice_client.get(PREFERENCES))
    assert "noc@acme.example" not in text(bob_client.get(PREFERENCES))
    assert alice_client.post(f"{PREFERENCES}addresses/{row.pk}/remove/").status_code == 302
    row.refresh_from_db()
    assert row.frequency == Frequency.OFF
    assert alice_client.post(f"{PREFERENCES}addresses/{row.pk}/remove/").status_code == 404


def test_the_log_shows_messages_and_unknown_ones(happen, subscribe, engineering, alice, alice_client, bob_client):
    subscribe(alice, engineering)
    happen(engineering)
    send_due_mail(now=NOW)
    Delivery.objects.update(state="unknown", error="The connection broke.")
    page = text(alice_client.get(f"{PREFERENCES}messages/"))
    for expected in (alice.email, "Unknown", "The connection broke."):
        assert expected in page
    assert bob_client.get(f"{PREFERENCES}messages/").status_code == 403


@pytest.mark.parametrize("frequency", ["immediate", "daily"])
def test_the_log_does_not_show_other_accounts(
    happen, subscribe, engineering, alice, mallory_client, umbrella, frequency
):
    subscribe(alice, engineering, Frequency(frequency))
    happen(engineering)
    page = text(mallory_client.get("/accounts/umbrella.example/preferences/messages/"))
    assert alice.email not in page


def test_the_list_takes_the_same_number_of_queries_for_many_alerts(
    happen, engineering, alice_client, django_assert_max_num_queries
):
    for number in range(30):
        happen(engineering, cause=f"pool:{number}")
    with django_assert_max_num_queries(14):
        text(alice_client.get(ALERTS))
