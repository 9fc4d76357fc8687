"""The usage reports of a synchronization file: handed on when it is applied, acknowledged in its response."""

import json
from typing import Any

import pytest

from licensing.models import MeteredDay, RumReport
from licensing.states import RumChannel
from sync.models import KeptRequest
from sync.services import imports
from tests.licensing.usage_reports import HOUR, measurement, moment, payload_of
from tests.sync.conftest import Plant
from tests.sync.files import account, instance

DAY1 = moment("2026-03-01T00:00:00")
SUDI = {"udi_pid": "C9300-24UX", "udi_serial_number": "FCW7"}


def rum(*rows: tuple[str, str]) -> str:
    """(payload, signature as YAML) each."""
    return ":rum_reports:\n" + "".join(f"- :payload: {json.dumps(text)}\n  :signature:{by}\n" for text, by in rows)


BUILTIN = ' "abc="'
BY_LOCAL_CA = '\n    :signing_type: "SHA256withRSA"\n    :key: "0123"\n    :value: "abc="'


def report(report_id: int, sudi: Any = SUDI, count: int = 3) -> str:
    return payload_of(sudi, report_id, measurement(DAY1, DAY1 + HOUR, count))


def test_reports_are_kept_metered_and_acknowledged_each_by_itself(registered: Plant, engineering):
    stranger = {"udi_pid": "C9300-24UX", "udi_serial_number": "NOT-HERE"}
    more = rum((report(1), BUILTIN), (report(2), BY_LOCAL_CA), (report(3, stranger), BUILTIN), ('{"x": 1}', BUILTIN))
    response = registered.synchronize(account(1, "Engineering", instance(7)), more=more)
    told = response[":extensions"][":rum_acknowledgements"]
    assert [(row[":report_id"], row[":status"]) for row in told] == [
        ("1", "ACCEPTED"),
        ("2", "ACCEPTED"),
        ("3", "UDI_MISMATCH"),
        ("null", "MALFORMED"),
    ]
    assert told[0][":udi_serial_number"] == "FCW7"
    kept = RumReport.objects.order_by("pk")
    assert [(row.payload, row.is_verified, row.channel) for row in kept] == [
        (report(1), False, RumChannel.ONPREM),
        (report(2), False, RumChannel.ONPREM),
    ]
    assert {row.virtual_account for row in kept} == {engineering}
    assert MeteredDay.objects.get().unit_seconds == 3 * 3600
    assert not KeptRequest.objects.filter(taken_at__isnull=True).exists()


def test_reports_in_the_next_file_again_are_duplicates_and_a_file_without_has_no_word_of_them(registered: Plant):
    here = account(1, "Engineering", instance(7))
    registered.synchronize(here, more=rum((report(1), BUILTIN)))
    response = registered.synchronize(here, more=rum((report(1), BUILTIN)))
    [row] = response[":extensions"][":rum_acknowledgements"]
    assert row[":status"] == "DUPLICATE"
    assert RumReport.objects.count() == 1
    assert ":extensions" not in registered.synchronize(here)


def test_a_file_that_is_not_applied_leaves_no_report(registered: Plant, monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(imports.exports, "write_response", fail)
    here = account(1, "Engineering", instance(7))
    with pytest.raises(ZeroDivisionError):
        registered.upload(registered.write(here, more=rum((report(1), BUILTIN))))
    assert not RumReport.objects.exists()


def test_a_dry_run_takes_no_report(registered: Plant):
    here = account(1, "Engineering", instance(7))
    registered.upload(registered.write(here, more=rum((report(1), BUILTIN))), dry_run=True)
    assert not RumReport.objects.exists()
