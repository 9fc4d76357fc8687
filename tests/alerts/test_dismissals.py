import pytest

from accounts.models import Event
from alerts.services.dismissals import dismiss_alert, restore_alert
from cssm.common.errors import Forbidden, NotFound
from tests.conftest import NOW


@pytest.fixture
def alert(happen, engineering):
    return happen(engineering)


def test_dismissing_and_restoring_write_one_event_each_and_repeating_writes_none(alert, acme, bob, actor_of):
    for service in (dismiss_alert, dismiss_alert, restore_alert, restore_alert):
        service(actor=actor_of(bob), smart_account=acme, alert_id=alert.pk, now=NOW)
    events = Event.objects.filter(subject_type="alert").order_by("pk")
    assert [event.name for event in events] == ["alert.dismissed", "alert.restored"]
    assert events[0].message == 'The alert "Insufficient Licenses" of C9300 Advantage was dismissed.'


def test_a_viewer_may_not_dismiss(alert, acme, carol, actor_of):
    with pytest.raises(Forbidden):
        dismiss_alert(actor=actor_of(carol), smart_account=acme, alert_id=alert.pk, now=NOW)


def test_a_stranger_finds_no_alert(alert, acme, umbrella, mallory, actor_of):
    for account in (acme, umbrella):
        with pytest.raises(NotFound):
            dismiss_alert(actor=actor_of(mallory), smart_account=account, alert_id=alert.pk, now=NOW)


def test_a_dismissed_alert_is_still_updated_and_stays_dismissed(alert, acme, bob, actor_of, happen, engineering):
    dismiss_alert(actor=actor_of(bob), smart_account=acme, alert_id=alert.pk, now=NOW)
    happen(engineering, params={"shortage": 9})
    alert.refresh_from_db()
    assert (alert.params["shortage"], alert.dismissed_at) == (9, NOW)
