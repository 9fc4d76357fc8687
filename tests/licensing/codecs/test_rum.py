"""Usage reports as bytes: the samples from the field, the file of acknowledgements, and what is neither."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licensing.codecs.refusals import Refusal
from licensing.codecs.rum.acknowledgement import Acknowledgement, ProductAcknowledgements, render_acknowledgements
from licensing.codecs.rum.payload import parse_payload
from licensing.codecs.rum.report import parse_call, read_file

FOLDER = Path(__file__).parents[2] / "formats" / "rum"
NAMES = ("payload_v1.json", "payload_v2_open.json", "report_v2.xml")


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "version", "report_id", "tag", "counts", "closed"),
    [
        ("payload_v1.json", "1", 1646687408, "regid.2018-12.com.cisco.DNA_P_50M_A", [1], False),
        ("payload_v2_open.json", "2.0", 1671840757, "regid.2017-08.com.cisco.AIR-DNA-A", [3], False),
        ("report_v2.xml", "2.0", 1671840750, "regid.2018-06.com.cisco.DNA_NWStack", [2, 3, 3], True),
    ],
)
def test_the_samples_are_read(name, version, report_id, tag, counts, closed):
    [submitted] = read_file(read(name))
    payload = parse_payload(submitted.payload)
    assert (payload.version, payload.report_id, payload.is_closed) == (version, report_id, closed)
    assert payload.entitlement_tag.startswith(tag)
    assert [one.quantity for one in payload.measurements] == counts
    assert submitted.signature.signing_type == "builtin"


@pytest.mark.parametrize("name", NAMES)
def test_the_payload_is_kept_byte_for_byte(name):
    [submitted] = read_file(read(name))
    raw = read(name).decode()
    if name.endswith("xml"):
        raw = json.loads(raw[raw.index("{") : raw.rindex("}") + 1])["payload"]
    assert submitted.payload == raw.strip()
    assert parse_payload(submitted.payload).digest == hashlib.sha256(raw.strip().encode()).hexdigest()


@settings(max_examples=60, deadline=None)
@given(place=st.integers(min_value=0), byte=st.integers(0, 255), name=st.sampled_from(NAMES))
def test_a_changed_byte_is_refused_or_read_but_never_another_error(place, byte, name):
    content = bytearray(read(name))
    content[place % len(content)] = byte
    try:
        for submitted in read_file(bytes(content)):
            parse_payload(submitted.payload)
    except Refusal:
        pass


def test_a_call_takes_the_payload_as_text_or_as_the_bytes_of_an_object():
    [submitted] = read_file(read("report_v2.xml"))
    spaced = submitted.payload.replace(",", " ,  ")
    signature = json.dumps({"signing_type": "builtin", "key": "k", "value": "v"})
    for payload in (json.dumps(spaced), spaced):
        usage = f'[{{"payload": {payload}, "signature": {signature}}}]'
        body = f'{{"data": {{"nonce": "n", "reports": [{{"usage": {usage}}}]}}}}'
        call = parse_call(body.encode())
        assert (call.nonce, [one.payload for one in call.reports]) == ("n", [spaced])


GOLDEN = (
    '<smartLicense><smartLicenseRumAck><data>{"sudi":{"udi_pid":"P&lt;","udi_serial_number":"S"},'
    '"software_tag_identifier":"tag","timestamp":1772443800000,"acknowledgements":[{"report_id":7,"status":"ACCEPTED"},'
    '{"report_id":8,"status":"DUPLICATE"}]}</data><signature>c2lnbmVk</signature></smartLicenseRumAck></smartLicense>'
)


def test_the_file_of_acknowledgements_is_as_it_always_was():
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return b"signed"

    product = ProductAcknowledgements(
        sudi={"udi_pid": "P<", "udi_serial_number": "S"},
        software_tag="tag",
        milliseconds=1772443800000,
        rows=[Acknowledgement(7, "ACCEPTED"), Acknowledgement(8, "DUPLICATE")],
    )
    text = render_acknowledgements([product], sign=sign)
    assert text == GOLDEN
    assert signed == [GOLDEN[GOLDEN.index("<data>") : GOLDEN.index("<signature>")].encode()]
    assert base64.b64decode("c2lnbmVk") == b"signed"


def test_an_id_that_stands_in_both_places_must_be_one():
    text = read("payload_v2_open.json").decode()
    twice = text.replace('"meta":{"entitlement_tag"', '"meta":{"report_id":1671840757,"entitlement_tag"')
    assert parse_payload(twice).report_id == 1671840757
    with pytest.raises(Refusal, match="one report_id"):
        parse_payload(twice.replace('"report_id":1671840757,"entitlement_tag"', '"report_id":1,"entitlement_tag"'))
    with pytest.raises(Refusal, match="one report_id"):
        parse_payload(text.replace('"report_id":1671840757,', ""))
