import pytest

from alerts.states import LEGAL_MOVES, AlertType, DeliveryState, Frequency, Severity


def test_every_alert_type_has_a_label_and_a_severity():
    labels = {kind.label for kind in AlertType}
    assert len(labels) == len(AlertType)
    assert AlertType.INSUFFICIENT_LICENSES.label == "Insufficient Licenses"
    assert AlertType.INSUFFICIENT_LICENSES.severity is Severity.MAJOR
    assert AlertType.LICENSES_EXPIRING.severity is Severity.MINOR
    assert AlertType.NEW_LICENSES.severity is Severity.INFORMATIONAL


def test_the_graver_severity_sorts_first():
    assert sorted([Severity.INFORMATIONAL, Severity.MAJOR, Severity.MINOR]) == [
        Severity.MAJOR,
        Severity.MINOR,
        Severity.INFORMATIONAL,
    ]


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.CANCELLED])
def test_what_is_over_never_moves_again(state):
    assert LEGAL_MOVES[state] == frozenset()


def test_only_what_is_being_sent_can_become_sent():
    assert [old for old in DeliveryState if DeliveryState.SENT in LEGAL_MOVES[old]] == [DeliveryState.SENDING]


@pytest.mark.parametrize("values", [DeliveryState, Severity, Frequency, AlertType])
def test_everything_has_a_label(values):
    assert all(value.label for value in values)
