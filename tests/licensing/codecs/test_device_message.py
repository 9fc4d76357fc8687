"""The outer form and the header; nothing here touches a database."""

import base64
import json
from datetime import UTC, datetime

import pytest

from licensing.codecs.device_answer import Echo, glimpse, render_outer, render_refusal, render_success
from licensing.codecs.device_data import parse_authorization, parse_registration
from licensing.codecs.device_message import (
    MAX_BODY,
    OuterFormInvalid,
    normalise_serial,
    parse_envelope,
    parse_request,
)
from licensing.codecs.refusals import Refusal, RefusalCode
from tests.formats import read_golden
from tests.licensing.device_driver import Device

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
OUTER = {"request": "{}", "signature": {"type": "SHA256", "value": "AAAA"}}


def text_of(data: object = None, **header: object) -> str:
    return Device(NOW).text("AUTHORIZATION", {} if data is None else data, **header)  # type: ignore[arg-type]


def refusal_of(text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_request(text)
    return caught.value


def test_a_signature_covers_the_text_exactly_as_carried():
    text = '{ "a":\t"ü" }'
    envelope = parse_envelope(json.dumps({**OUTER, "request": text}).encode())
    assert envelope.signed_bytes == text.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"\xef\xbb\xbf" + json.dumps(OUTER).encode(),
        json.dumps({"request": "{}"}).encode(),
        json.dumps({**OUTER, "request": {}}).encode(),
        json.dumps({**OUTER, "request": None}).encode(),
        json.dumps({**OUTER, "more": 1}).encode(),
        json.dumps({**OUTER, "signature": None}).encode(),
        json.dumps({**OUTER, "signature": {"type": "MD5", "value": "AAAA"}}).encode(),
        json.dumps({**OUTER, "signature": {"type": "SHA256", "value": 1}}).encode(),
        json.dumps({**OUTER, "signature": {"type": "SHA256", "value": "A" * 5000}}).encode(),
        json.dumps({**OUTER, "signature": {"type": "SHA256", "value": "AAAA", "key": "x"}}).encode(),
        b'{"request": "{}", "request": "{}", "signature": {"type": "SHA256", "value": "AAAA"}}',
        b'{"request": "\\ud800", "signature": {"type": "SHA256", "value": "AAAA"}}',
        b'{"request": ' + b"[" * 100_000 + b"}",
        json.dumps({**OUTER, "request": "x" * MAX_BODY}).encode(),
    ],
)
def test_what_is_not_of_the_outer_form_is_no_message(body):
    with pytest.raises(OuterFormInvalid):
        parse_envelope(body)


def test_a_signature_that_is_not_base64_is_of_the_form_and_verifies_nothing():
    body = json.dumps({**OUTER, "signature": {"type": "SHA256", "value": "no base64!"}}).encode()
    assert parse_envelope(body).signature_bytes == b""


def test_the_text_of_the_golden_request_is_read_whole():
    request = parse_request(read_golden("device_request.json").rstrip("\n"))
    assert request.sudi.udi == "C9300-24UX:FCW2134L0RN"
    assert request.header.connect_info.capabilities[-1] == "OK_TRY_AGAIN"
    assert [(each.tag, each.count) for each in parse_authorization(request.data).entitlements] == [
        ("regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53", 2),
        ("short-name", 0),
    ]


def test_the_golden_answers_come_out_byte_for_byte():
    request = parse_request(read_golden("device_request.json").rstrip("\n"))
    refusal = Refusal(RefusalCode.INTERNAL, "Later.", retry_seconds=60)
    success = render_success(Echo.of(request.header), {"a": 1}, milliseconds=1772443800001)
    failure = render_refusal(Echo.of(request.header), refusal, milliseconds=1772443800001)
    assert [render_outer(success, b"signature").decode(), render_outer(failure, None).decode()] == read_golden(
        "device_answers.jsonl"
    ).splitlines()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"timestamp": "1772443800000"}, "$.header.timestamp"),
        ({"timestamp": 1.5}, "$.header.timestamp"),
        ({"timestamp": True}, "$.header.timestamp"),
        ({"timestamp": -1}, "$.header.timestamp"),
        ({"timestamp": 10**18}, "$.header.timestamp"),
        ({"nonce": "short"}, "$.header.nonce"),
        ({"nonce": "x" * 65}, "$.header.nonce"),
        ({"nonce": "12345678é"}, "$.header.nonce"),
        ({"nonce": "12345678\n"}, "$.header.nonce"),
        ({"nonce": ...}, "$.header"),
        ({"surprise": 1}, "$.header"),
        ({"locale": "X" * 65}, "$.header.locale"),
        ({"product_instance_identifier": 7}, "$.header.product_instance_identifier"),
        ({"sudi": None}, "$.header.sudi"),
        ({"sudi": {}}, "$.header.sudi"),
        ({"sudi": {"udi_pid": "A"}}, "$.header.sudi"),
        ({"sudi": {"udi_serial_number": "B"}}, "$.header.sudi.udi_pid"),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": "B:C"}}, "$.header.sudi.udi_serial_number"),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": "B" * 129}}, "$.header.sudi.udi_serial_number"),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": "B\x00"}}, None),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": " B"}}, "$.header.sudi.udi_serial_number"),
        ({"sudi": {"udi_pid": "A\n", "udi_serial_number": "B"}}, "$.header.sudi.udi_pid"),
        ({"sudi": {"uuid": "a:b"}}, "$.header.sudi.uuid"),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": "ü"}}, "$.header.sudi.udi_serial_number"),
        ({"sudi": {"udi_pid": "A", "udi_serial_number": "B", "color": "red"}}, "$.header.sudi"),
        ({"connect_info": {"name": "a"}}, "$.header.connect_info"),
        ({"connect_info": []}, "$.header.connect_info"),
    ],
)
def test_a_header_out_of_order_is_malformed_and_the_place_is_named(change, where):
    refusal = refusal_of(text_of(**change))
    assert refusal.refusal_code is RefusalCode.MALFORMED
    assert refusal.where == where
    assert where is None or where in refusal.message


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"header": {}}', '{"header": 1, "data": {}}', "\x00", "{" * 9]
)
def test_a_text_that_is_no_request_is_malformed(text):
    assert refusal_of(text).refusal_code is RefusalCode.MALFORMED


def test_a_double_key_anywhere_is_malformed():
    refusal = refusal_of(text_of().replace('"data": {}', '"data": {"a": 1, "a": 1}'))
    assert (refusal.refusal_code, "stands twice" in refusal.message) == (RefusalCode.MALFORMED, True)


def test_another_version_is_told_from_a_malformed_message():
    assert refusal_of(text_of(version="9.9", surprise=1)).refusal_code is RefusalCode.UNSUPPORTED_VERSION
    assert not parse_request(text_of(version="1.2")).speaks_our_version


def test_a_serial_number_identifies_before_a_uuid_does():
    both = {"udi_pid": "A/B-C", "udi_serial_number": "S", "uuid": "u"}
    assert parse_request(text_of(sudi=both)).sudi.udi == "A/B-C:S"
    assert parse_request(text_of(sudi={"udi_pid": "A", "udi_serial_number": "", "uuid": "u"})).sudi.udi == "u"
    assert parse_request(text_of(sudi={"uuid": "u", "udi_pid": None, "udi_vid": None})).sudi.udi == "u"


@pytest.mark.parametrize(
    ("entitlements", "where"),
    [
        ([{"tag": "a", "count": 1}, {"tag": "b", "count": 1}, {"tag": "a", "count": 1}], "$.data.entitlements[2].tag"),
        ([{"tag": "a", "count": -1}], "$.data.entitlements[0].count"),
        ([{"tag": "a", "count": 1_000_000_001}], "$.data.entitlements[0].count"),
        ([{"tag": "a", "count": "1"}], "$.data.entitlements[0].count"),
        ([{"tag": "a", "count": None}], "$.data.entitlements[0].count"),
        ([{"tag": "", "count": 1}], "$.data.entitlements[0].tag"),
        ([{"tag": "x" * 256, "count": 1}], "$.data.entitlements[0].tag"),
        ([{"tag": "a"}], "$.data.entitlements[0]"),
        ([{"tag": "a", "count": 1, "unit": 1}], "$.data.entitlements[0]"),
        ({}, "$.data.entitlements"),
        ([{"tag": str(n), "count": 1} for n in range(5001)], "$.data.entitlements"),
    ],
)
def test_a_use_out_of_order_is_malformed_and_the_place_is_named(entitlements, where):
    request = parse_request(text_of({"entitlements": entitlements}))
    with pytest.raises(Refusal) as caught:
        parse_authorization(request.data)
    assert (caught.value.refusal_code, caught.value.where) == (RefusalCode.MALFORMED, where)


def test_a_peer_needs_an_identity_too():
    request = parse_request(text_of({"entitlements": [], "ha_peers": [{"udi_pid": "A"}]}))
    with pytest.raises(Refusal, match="ha_peers"):
        parse_authorization(request.data)


def test_a_registration_needs_its_token():
    with pytest.raises(Refusal, match="id_token"):
        parse_registration(parse_request(text_of({"csr": "", "software_tag_identifier": "x"})).data)


def test_serial_numbers_are_compared_without_case_and_leading_zeros():
    assert normalise_serial("00ABCDEF") == normalise_serial("abcdef") == "abcdef"


def test_what_can_be_echoed_of_a_malformed_message_is_and_the_rest_is_null():
    assert glimpse("no json") == Echo()
    echo = glimpse('{"header": {"nonce": 1, "request_type": "ACK", "sudi": {"uuid": "u"}, "surprise": 1}}')
    assert (echo.request_type, echo.nonce, bytes(echo.sudi)) == ("ACK", None, b'{"uuid": "u"}')
    assert bytes(glimpse('{"header": {"sudi": {"uuid": 1}}}').sudi) == b"null"


def test_a_signature_is_carried_in_base64():
    assert json.loads(render_outer("{}", b"\xff"))["signature"]["value"] == base64.b64encode(b"\xff").decode()
