"""The worked examples of docs/cycles: what is asked there is asked, and answered as it says there."""

import json
import re
from pathlib import Path

import pytest

from licensing.models import License
from tests.licensing.stock import deliver, import_rows, line, make_license

DOCS = Path(__file__).parents[3] / "docs" / "cycles"
CHANGING = (
    (r"<piid>[0-9a-f-]{36}</piid>", "<piid>00000000-0000-0000-0000-000000000000</piid>"),
    (r'"piid": "[0-9a-f-]{36}"', '"piid": "00000000-0000-0000-0000-000000000000"'),
    (r"SANDBOX-[0-9A-F]{32}", "SANDBOX-0"),
    (r"<timestamp>[0-9]+</timestamp>", "<timestamp>0</timestamp>"),
    (r"<signature>[A-Za-z0-9+/=]*</signature>", "<signature></signature>"),
)


def examples_of(page):
    """The data of the request, and that of its answer."""
    blocks = re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    asked, answered = (json.loads(block) for block in blocks[:2])
    return asked, answered


def plain(data):
    text = json.dumps(data)
    for pattern, instead in CHANGING:
        text = re.sub(pattern, instead, text)
    return json.loads(text)


@pytest.fixture
def stock(engineering, now):
    """Of every license that an example names."""
    asked, _ = examples_of("export-authorization.md")
    make_license("AP_LICENSE", now)
    columns = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"
    row = f'"{asked["tag"]}",entitlement,Router US Export Lic. for DNA,,perpetual,ENFORCED,RESTRICTED,'
    import_rows([row], now, columns=columns)
    deliver(engineering, line(License.objects.get(tag=asked["tag"]), 5), now=now)


@pytest.mark.parametrize(
    ("page", "request_type"),
    [
        ("export-authorization.md", "EXPORT_AUTHORIZATION"),
        ("endpoints.md", "ENDPOINT_REPORT"),
        ("third-party-keys.md", "THIRD_PARTY_KEY"),
    ],
)
def test_an_example_is_answered_as_the_page_says(page, request_type, registered, stock):
    asked, answered = examples_of(page)
    reply = registered.ask(request_type, asked)
    assert (reply.code, plain(reply.data)) == (None, answered)
