"""A product keeps its own schedules: requests, retries, renewals, warnings (WP "License states")."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from agents.smart_agent.fleet import VirtualClock, walk
from agents.smart_agent.runner import Runner
from agents.smart_agent.schedule import DAY, HOUR, WARNINGS
from agents.smart_agent.status import RegistrationState, registration_state
from agents.smart_agent.syslog import Line, Severity
from tests.agents.conftest import TAG, Device


@pytest.fixture
def virtual(registered: Device) -> VirtualClock:
    """The product is acknowledged and uses one license; one clock for it and the server."""
    clock = VirtualClock(registered.clock.time)
    registered.clock = clock  # type: ignore[assignment]  # it is called like the other one
    registered.server.clock = clock
    registered.server.stock = {TAG: 5}
    registered.agent.acknowledge()
    registered.agent.authorize({TAG: 1})
    return clock


def live(device: Device, clock: VirtualClock, days: float, **options):
    start = clock.milliseconds
    heard = walk([Runner(device.agent, keeps_plan=False, **options)], clock=clock, days=days)
    return [((said.line.at - start) / DAY, said.line.name) for said in heard]


def times(heard, name):
    return [at for at, said in heard if said == name]


def test_an_authorization_every_30_days(registered, virtual):
    heard = live(registered, virtual, 100)
    assert heard == [(30.0, "AUTH_RENEW_SUCCESS"), (60.0, "AUTH_RENEW_SUCCESS"), (90.0, "AUTH_RENEW_SUCCESS")]


def test_retries_while_authorized_come_every_23_hours(registered, virtual):
    failures = times(live(registered, virtual, 40, is_reachable=lambda now: False), "AUTH_RENEW_FAILED")
    assert failures[0] == 30.0
    assert {round((later - sooner) * 24, 6) for sooner, later in pairwise(failures)} == {23.0}


def test_retries_out_of_compliance_come_every_15_minutes_for_2_hours_and_then_every_4_hours(registered, virtual):
    registered.server.stock = {}
    registered.agent.authorize({TAG: 1})
    heard = live(registered, virtual, 31, is_reachable=lambda now: False)
    failures = times(heard, "AUTH_RENEW_FAILED")
    gaps = [round((later - sooner) * 24, 4) for sooner, later in pairwise(failures)]
    assert gaps[:8] == [0.25] * 8
    assert set(gaps[8:]) == {4.0}
    assert times(heard, "OUT_OF_COMPLIANCE") == [0.0, 7.0, 14.0, 21.0, 28.0]


def test_retries_once_expired_come_every_hour_and_a_message_every_week(registered, virtual):
    heard = live(registered, virtual, 120, is_reachable=lambda now: False)
    expired = times(heard, "AUTH_EXPIRED")
    assert expired == [90.0, 97.0, 104.0, 111.0, 118.0]
    late = [at for at in times(heard, "AUTH_RENEW_FAILED") if at > 92]
    assert {round((later - sooner) * 24, 6) for sooner, later in pairwise(late)} == {1.0}


def test_a_renewal_that_fails_is_tried_every_hour_and_the_end_is_warned_of(registered, virtual):
    heard = live(registered, virtual, 366, is_reachable=lambda now: False)
    renewals = times(heard, "ID_CERT_RENEW_FAILED")
    assert renewals[0] == 180.0
    assert {round((later - sooner) * 24, 6) for sooner, later in pairwise(renewals)} == {1.0}
    [end] = times(heard, "ID_CERT_EXPIRED")
    warnings = times(heard, "ID_CERT_EXPIRED_WARNING")
    assert [round((end - at) * DAY) for at in warnings] == list(WARNINGS)
    assert Counter(name for _, name in heard)["ID_CERT_RENEW_SUCCESS"] == 0
    assert registration_state(registered.agent.peek()) is RegistrationState.UNIDENTIFIED


def test_evaluation_resumes_after_the_certificate_s_end_and_is_told_of_when_it_is_over(registered, virtual):
    heard = live(registered, virtual, 500, is_reachable=lambda now: False)
    [end], [over] = times(heard, "ID_CERT_EXPIRED"), times(heard, "EVAL_EXPIRED")
    assert round(over - end, 3) == 90.0


def test_what_was_planned_outlives_a_restart(registered, virtual):
    runner = Runner(registered.agent, is_reachable=lambda now: False)
    walk([runner], clock=virtual, days=30.5)
    assert Runner(registered.agent).next_at() == runner.next_at() == virtual.milliseconds + 11 * HOUR


def test_a_line_is_syslog() -> None:
    line = Line(0, Severity.ERROR, "AUTH_RENEW_FAILED", "No answer.")
    assert line.render("edge-1") == "<187>1 1970-01-01T00:00:00Z edge-1 smart-agent - AUTH_RENEW_FAILED - No answer."
    assert line.render("").split()[2] == "-"


def test_the_clock_never_runs_backwards() -> None:
    clock = VirtualClock()
    before = clock.now
    clock.set(0)
    assert clock.now == before
    assert timedelta(0) == clock.now - before
