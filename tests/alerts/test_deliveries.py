"""What becomes of a message, for every way an attempt can end."""

from datetime import timedelta

import pytest

from alerts.models import Delivery, DeliveryMove
from alerts.services import mail as mailing
from alerts.services.deliveries import ABANDONED_AFTER, DOUBT_RETRY, Outcome, claim_next, record_outcome
from alerts.services.mail import send_due_mail
from alerts.states import AlertAction, DeliveryState, OutcomeKind
from tests.conftest import NOW


@pytest.fixture
def planned(happen, subscribe, engineering, alice) -> Delivery:
    subscribe(alice, engineering)
    happen(engineering)
    return Delivery.objects.get()


@pytest.fixture
def outcomes(monkeypatch) -> list[OutcomeKind]:
    """What the mail server will do, in this order; the Message-IDs it saw are not our business here."""
    coming: list[OutcomeKind] = []

    class Scripted:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def send(self, message):
            return Outcome(coming.pop(0), "451 please wait")

    monkeypatch.setattr(mailing, "MailSender", Scripted)
    return coming


def test_a_message_put_off_is_tried_again_with_growing_pauses(planned, outcomes):
    outcomes.extend([OutcomeKind.DEFERRED] * 3 + [OutcomeKind.SENT])
    moment, pauses = NOW, []
    for _ in range(3):
        send_due_mail(now=moment)
        planned.refresh_from_db()
        assert planned.state == DeliveryState.PENDING
        assert planned.error == "451 please wait"
        pauses.append(planned.next_attempt_at - moment)
        moment = planned.next_attempt_at
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(minutes=1)
    assert send_due_mail(now=moment - timedelta(seconds=1)) == 0
    assert send_due_mail(now=moment) == 1
    planned.refresh_from_db()
    assert (planned.state, planned.error) == (DeliveryState.SENT, "")


def test_after_a_day_of_being_put_off_it_has_failed(planned, outcomes):
    outcomes.extend([OutcomeKind.DEFERRED] * 100)
    moment = NOW
    while planned.next_attempt_at is not None:
        moment = planned.next_attempt_at
        send_due_mail(now=moment)
        planned.refresh_from_db()
    assert planned.state == DeliveryState.FAILED
    assert timedelta(hours=22) < moment - NOW <= timedelta(hours=24)


def test_a_refused_message_has_failed(planned, outcomes):
    outcomes.append(OutcomeKind.REFUSED)
    send_due_mail(now=NOW)
    planned.refresh_from_db()
    assert (planned.state, planned.next_attempt_at) == (DeliveryState.FAILED, None)


@pytest.mark.parametrize(
    ("second", "state"),
    [
        (OutcomeKind.SENT, DeliveryState.SENT),
        (OutcomeKind.UNKNOWN, DeliveryState.UNKNOWN),
        (OutcomeKind.REFUSED, DeliveryState.UNKNOWN),
    ],
)
def test_a_doubtful_message_is_handed_over_once_more_and_never_again(planned, outcomes, second, state):
    outcomes.extend([OutcomeKind.UNKNOWN, second])
    send_due_mail(now=NOW)
    planned.refresh_from_db()
    assert (planned.state, planned.next_attempt_at) == (DeliveryState.UNKNOWN, NOW + DOUBT_RETRY)
    send_due_mail(now=NOW + DOUBT_RETRY)
    send_due_mail(now=NOW + timedelta(days=3))
    planned.refresh_from_db()
    assert outcomes == []
    assert (planned.state, planned.attempts, planned.next_attempt_at) == (state, 2, None)


def test_a_doubtful_message_whose_cause_recovered_is_not_repeated(planned, outcomes, happen, engineering):
    outcomes.append(OutcomeKind.UNKNOWN)
    send_due_mail(now=NOW)
    happen(engineering, AlertAction.CLEAR, at=NOW)
    send_due_mail(now=NOW + DOUBT_RETRY)
    planned.refresh_from_db()
    assert (planned.state, planned.attempts, planned.next_attempt_at) == (DeliveryState.UNKNOWN, 1, None)


def test_a_mail_server_out_of_reach_is_asked_once_per_run(planned, outcomes, happen, subscribe, engineering, bob):
    subscribe(bob, engineering)
    happen(engineering, cause="pool:18")
    outcomes.append(OutcomeKind.UNREACHABLE)
    assert send_due_mail(now=NOW) == 0
    assert Delivery.objects.filter(attempts=0).count() == 2
    assert Delivery.objects.filter(attempts=1, state=DeliveryState.PENDING).count() == 1


def test_a_worker_that_died_in_the_conversation_leaves_an_unknown_message_that_is_sent_once_more(planned, outcomes):
    assert claim_next(now=NOW) == planned
    assert claim_next(now=NOW) is None
    outcomes.append(OutcomeKind.SENT)
    assert send_due_mail(now=NOW + ABANDONED_AFTER - timedelta(seconds=1)) == 0
    found = NOW + ABANDONED_AFTER
    assert send_due_mail(now=found) == 0
    planned.refresh_from_db()
    assert planned.state == DeliveryState.UNKNOWN
    assert send_due_mail(now=found + DOUBT_RETRY) == 1
    moves = DeliveryMove.objects.order_by("pk").values_list("old", "new")
    assert list(moves) == [
        ("pending", "sending"),
        ("sending", "unknown"),
        ("unknown", "sending"),
        ("sending", "sent"),
    ]


def test_a_worker_given_up_as_dead_cannot_overwrite_what_was_found(planned, outcomes):
    claimed = claim_next(now=NOW)
    assert claimed is not None
    later = NOW + ABANDONED_AFTER
    send_due_mail(now=later)
    record_outcome(claimed, Outcome(OutcomeKind.REFUSED, "late"), now=later)
    planned.refresh_from_db()
    assert planned.state == DeliveryState.UNKNOWN


def test_a_move_that_is_not_legal_is_refused(planned):
    with pytest.raises(ValueError, match="does not go from pending to sent"):
        record_outcome(planned, Outcome(OutcomeKind.SENT), now=NOW)
