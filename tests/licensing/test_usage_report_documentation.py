"""What the page on usage reports says is what the product does: its example is sent, its statuses are all there are."""

import json
import re
from pathlib import Path

from licensing.codecs.rum.acknowledgement import AckStatus
from licensing.models import MeteredDay
from licensing.states import Billing
from tests.licensing.usage_reports import METERED

PAGE = (Path(__file__).parents[2] / "docs" / "cycles" / "usage-reports.md").read_text()
STATUSES = {
    "MALFORMED",
    "UNSUPPORTED_VERSION",
    "SIGNATURE_INVALID",
    "UDI_MISMATCH",
    "UDI_REGISTERED_ELSEWHERE",
    "REPLAYED",
}


def test_the_worked_example_is_answered_and_metered_as_the_page_says(registered, make_license):
    sent, told = (json.loads(line) for line in re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE))
    make_license(METERED, billing=Billing.USAGE)
    reply = registered.ask("RUM_REPORT", sent)
    assert (reply.code, reply.data) == (None, told)
    day = MeteredDay.objects.billed_by_use().get()
    assert (f"{day.day:%-d %B %Y}", day.unit_seconds, day.peak) == ("1 March 2026", 6 * 3600, 3)


def test_every_status_is_on_the_page():
    assert [one for one in STATUSES | set(AckStatus) if f"`{one}`" not in PAGE] == []
