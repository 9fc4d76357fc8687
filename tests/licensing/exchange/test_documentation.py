"""What the message reference says is what is answered: every example goes through the dispatcher as a product's."""

import json
import re
import textwrap
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from accounts.models import VirtualAccount
from licensing.codecs.device_answer import AnswerStatus
from licensing.codecs.device_data import RequestType
from licensing.codecs.device_message import VERSION, parse_envelope, parse_request
from licensing.codecs.refusals import RefusalCode
from licensing.models import License
from licensing.services.exchange.conversions import carry_out_due
from tests.keys import load_keys
from tests.licensing.device_driver import Device, make_csr
from tests.licensing.stock import deliver, line

REFERENCE = (Path(__file__).parents[3] / "docs" / "device-messages.md").read_text()


def sections() -> dict[str, str]:
    """What stands under each heading, by the heading without its backticks."""
    parts = re.split(r"^#+ (.+)\n", REFERENCE, flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def examples(heading: str) -> list[Any]:
    """The blocks below a heading, indented or fenced, as JSON: of a type the data of a request, then of its answer."""
    found = re.finditer(r"^```json\n((?:.*\n)*?)```|((?:^    .*\n)+)", sections()[heading], flags=re.MULTILINE)
    return [json.loads(textwrap.dedent(each[1] or each[2])) for each in found]


def shape_of(value: Any) -> Any:
    """The members, and not what is in them."""
    if isinstance(value, dict):
        return {name: shape_of(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    return None


def test_the_outer_form_and_the_text_are_read():
    request, answer = examples("The outer form")
    assert parse_envelope(json.dumps(request).encode()).signature.type == "SHA256"
    assert set(answer) == {"response", "signature"}
    [text] = examples("The text of a request")
    assert parse_request(json.dumps(text)).header.version == VERSION


def complete(kind: RequestType, data: dict[str, Any], device: Device, token: str) -> dict[str, Any]:
    """With what no page can hold: a token, a request for a key, and what an earlier answer gave."""
    given = {
        "id_token": lambda: token,
        "csr": lambda: make_csr(load_keys()[6], device.udi),
        "id_cert_serial_number": lambda: device.id_cert_serial,
        "poll_id": lambda: poll_id_of(device),
    }
    return {name: given[name]() if name in given else value for name, value in data.items()}


def poll_id_of(device: Device) -> int:
    """Of the conversion that the page asks for, which has been carried out."""
    poll_id: int = device.ask("CONVERSION", examples(RequestType.CONVERSION)[0]).data["poll_id"]
    carry_out_due(now=device.now)
    return poll_id


@pytest.fixture
def stock(hsec: License, engineering: VirtualAccount, make_license: Callable[..., License], now: datetime) -> None:
    """Of every license that an example names."""
    for row in (*examples("AUTHORIZATION")[0]["entitlements"], *examples("ENDPOINT_REPORT")[0]["endpoints"]):
        deliver(engineering, line(make_license(row["tag"]), 10), now=now)
    for row in examples("CONVERSION")[0]["conversion_lines"]:
        if not License.objects.filter(tag=row["entitlement_tag"]).exists():
            make_license(row["entitlement_tag"])


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("kind", list(RequestType))
def test_every_type_has_an_example_that_is_answered_as_the_page_says(registered: Device, token: str, kind: RequestType):
    request, answer = examples(kind)
    device = registered
    if kind is RequestType.REGISTRATION:
        device = Device(registered.now, 6, sudi={**registered.sudi, "udi_serial_number": "FCW2134L006"})
    reply = device.ask(kind, complete(kind, request, device, token))
    assert reply.code is None, reply.content
    assert shape_of(reply.data) == shape_of(answer)
    fixed = {
        "status",
        "compliance_status",
        "conversion_status",
        "accepted",
        "duplicates",
        "renew_after_seconds",
        "count",
    }
    assert values_of(reply.data, fixed) == values_of(answer, fixed)
    [text] = examples("The text of an answer")
    assert set(reply.content) == set(text)
    assert set(reply.header) == set(text["header"])


def values_of(value: Any, names: set[str]) -> list[tuple[str, Any]]:
    """What stands under these names, anywhere."""
    if isinstance(value, list):
        return [found for member in value for found in values_of(member, names)]
    if not isinstance(value, dict):
        return []
    return [
        found
        for name, member in sorted(value.items())
        for found in ([(name, member)] if name in names else values_of(member, names))
    ]


def test_no_other_type_is_described():
    described = {heading for heading in sections() if f"## `{heading}`" in REFERENCE}
    assert described == {kind.value for kind in RequestType}


def test_every_status_and_error_code_is_explained():
    missing = [value for kind in (AnswerStatus, RefusalCode) for value in kind if f"`{value.value}`" not in REFERENCE]
    assert missing == []
