"""Usage reports that come several ways at once, on real connections."""

import threading
from functools import partial

import pytest
from django.core.cache import cache

from accounts.services.actors import actor_for_user
from licensing.models import MeteredDay, RumReport
from licensing.services.devices.tokens import create_token
from licensing.services.exchange.rum import metering
from licensing.services.exchange.rum.uploads import upload_file
from pki.services.authorities import bootstrap_authorities
from tests.concurrency.threads import run_at_once
from tests.keys import use_checked_in_keys
from tests.licensing.device_driver import Device
from tests.licensing.usage_reports import HOUR, as_xml, hand_in, measurement, moment, report

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
DAY1 = moment("2026-03-01T00:00:00")
MANY = 6


@pytest.fixture
def device(engineering, alice, now, monkeypatch):
    cache.clear()
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=now)
    _, token = create_token(actor=actor_for_user(alice), virtual_account=engineering, now=now)
    made = Device(now)
    assert made.register(token).code is None
    assert made.ack().code is None
    return made


def upload(alice, engineering, now, content):
    made = upload_file(
        actor=actor_for_user(alice), virtual_account=engineering, content=content, file_name="x", now=now
    )
    return [row["status"] for row in made.results]


def total() -> int:
    return sum(MeteredDay.objects.values_list("unit_seconds", flat=True))


def test_one_report_that_comes_by_message_and_by_many_uploads_at_once_is_kept_once(device, alice, engineering, now):
    one = report(device, 1, measurement(DAY1, DAY1 + HOUR, 3))
    content = as_xml(one)
    works = [partial(upload, alice, engineering, now, content)] * MANY
    *statuses, reply = run_at_once(*works, partial(hand_in, device, one))
    told = [*(status for [status] in statuses), reply.data["acknowledgements"][0]["status"]]
    assert sorted(told) == ["ACCEPTED"] + ["DUPLICATE"] * MANY
    assert (RumReport.objects.count(), total()) == (1, 3 * 3600)


def test_different_reports_of_one_day_at_once_all_count(device, alice, engineering, now):
    contents = [as_xml(report(device, n, measurement(DAY1 + n * HOUR, DAY1 + (n + 1) * HOUR, 1))) for n in range(MANY)]
    assert run_at_once(*(partial(upload, alice, engineering, now, c) for c in contents)) == [["ACCEPTED"]] * MANY
    assert (RumReport.objects.count(), total()) == (MANY, MANY * 3600)


def test_they_would_be_lost_if_meters_were_not_locked(device, alice, engineering, now, monkeypatch):
    """The control: both read before the other has written, and the second makes the day anew without the first's."""
    both_read, first_is_done = threading.Barrier(2), threading.Event()
    read_stretches = metering._read_stretches

    def read_and_wait(*arguments):
        found = read_stretches(*arguments)
        if both_read.wait(timeout=60):
            first_is_done.wait(timeout=60)
        return found

    def lock_nothing(pks):
        return {row.pk: row for row in metering.Meter.objects.filter(pk__in=pks)}

    def attempt(content):
        upload(alice, engineering, now, content)
        first_is_done.set()

    assert hand_in(device, report(device, 9, measurement(DAY1, DAY1, 1))).code is None
    monkeypatch.setattr(metering, "_lock", lock_nothing)
    monkeypatch.setattr(metering, "_read_stretches", read_and_wait)
    contents = [as_xml(report(device, n, measurement(DAY1 + n * HOUR, DAY1 + (n + 1) * HOUR, 1))) for n in (1, 2)]
    run_at_once(*(partial(attempt, c) for c in contents))
    assert (RumReport.objects.count(), total()) == (3, 3600)


def test_an_open_report_that_grows_two_ways_at_once_has_one_successor(device, alice, engineering, now):
    assert hand_in(device, report(device, 1, measurement(DAY1, DAY1 + HOUR, 1))).code is None
    grown = [as_xml(report(device, 1, measurement(DAY1, DAY1 + n * HOUR, 1))) for n in (2, 3)]

    def attempt(content):
        try:
            return upload(alice, engineering, now, content)
        except Exception as error:
            return getattr(error, "code", repr(error))

    outcomes = run_at_once(*(partial(attempt, c) for c in grown))
    assert outcomes[1] == ["ACCEPTED"]
    assert outcomes[0] in (["ACCEPTED"], "REPLAYED")
    current = RumReport.objects.current().get()
    assert (current.period_end, total()) == (DAY1 + 3 * HOUR, 3 * 3600)
