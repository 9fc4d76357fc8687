"""What the message reference says is what is answered: every example goes through the dispatcher as a product's."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from licensing.codecs.device_answer import AnswerStatus
from licensing.codecs.device_data import RequestType
from licensing.codecs.device_message import VERSION, parse_envelope, parse_request
from licensing.codecs.refusals import RefusalCode
from tests.licensing.device_driver import Device

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


@pytest.mark.parametrize("kind", list(RequestType))
def test_every_type_has_an_example_that_is_read(registered: Device, kind: RequestType):
    request, answer = examples(kind)
    reply = registered.ask(kind, request)
    assert reply.code not in ("MALFORMED", "UNSUPPORTED_REQUEST", "INTERNAL")
    if reply.code is None:
        assert shape_of(reply.data) == shape_of(answer)
        [text] = examples("The text of an answer")
        assert set(reply.content) == set(text)
        assert set(reply.header) == set(text["header"])


def test_no_other_type_is_described():
    described = {heading for heading in sections() if f"## `{heading}`" in REFERENCE}
    assert described == {kind.value for kind in RequestType}


def test_every_status_and_error_code_is_explained():
    missing = [value for kind in (AnswerStatus, RefusalCode) for value in kind if f"`{value.value}`" not in REFERENCE]
    assert missing == []
