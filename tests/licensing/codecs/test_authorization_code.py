"""Authorization codes: a real one byte for byte, ours, and everything that is refused."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cssm.common.errors import Invalid
from licensing.codecs.authorization_code import (
    Entitlement,
    SpecificAuthorization,
    UniversalAuthorization,
    file_name,
    parse_specific,
    parse_universal,
    render_specific,
    render_universal,
    signed_bytes_of,
    universal_signed_bytes,
)
from licensing.codecs.device_udi import DeviceUdi, parse_udi_text
from tests.formats import read_golden

REAL = read_golden("specific_authorization_real.xml")
PIID = UUID("6ca07f56-145c-4ace-bdc2-40417fd49d47")
UDI = DeviceUdi("C9300-24UX", "FCW2134L0RN")
OURS = SpecificAuthorization(
    piid=PIID,
    timestamp=1772443800123,
    udi=UDI,
    entitlements=(
        Entitlement("ROUTER", 5, "PERPETUAL", "Router", "Routing & more"),
        Entitlement("SWITCH", 2, "TERM", "Switch <24>", "", date(2026, 1, 1), date(2027, 1, 1), "Sub-17"),
    ),
    signature=bytes(range(70)),
)


def refused(text):
    with pytest.raises(Invalid) as raised:
        parse_specific(text)
    assert raised.value.code == "AUTHORIZATION_CODE_INVALID"
    return raised.value.message


def test_the_real_file_is_read_and_written_again_byte_for_byte():
    code = parse_specific(REAL)
    assert render_specific(code) == REAL
    assert (code.piid, code.timestamp, code.flag, code.version) == (PIID, 1552292522579, "A", "C")
    assert code.udi == DeviceUdi("UCM", "cc920", "e53fc968-0253-4d61-a355-ba908a6cc920")
    assert [each.count for each in code.entitlements] == [5] * 5
    assert code.entitlements[0].tag == "regid.2017-02.com.cisco.UCM_CUWL,12.0_cc59375a-1cd8-4b36-8366-6f4d2abba965"
    assert {each.license_type for each in code.entitlements} == {"PERPETUAL"}
    assert code.signature[0] == 0x30
    assert len(code.signature) == 72


def test_ours_is_as_agreed():
    assert render_specific(OURS) == read_golden("specific_authorization.xml")
    assert parse_specific(render_specific(OURS)) == OURS


def test_what_is_signed_are_the_bytes_as_they_stand_in_the_file():
    text = render_specific(OURS)
    start, end = text.index("<authorizationCode>"), text.index("</authorizationCode>") + len("</authorizationCode>")
    udi = text[text.index("<udi>") : text.index("</udi>") + len("</udi>")]
    assert signed_bytes_of(OURS) == (text[start:end] + udi).encode()


@pytest.mark.parametrize(("serial", "name"), [("FCW1", "AC_FCW1.xml"), ("../a b\n/c", "AC_.._a_b__c.xml")])
def test_the_file_is_named_after_the_serial_number(serial, name):
    assert file_name(serial) == name


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.replace("<flag>", "<!-- x --><flag>"), "comment"),
        (lambda t: f'<!DOCTYPE x [<!ENTITY a "b">]>{t}', "document type"),
        (lambda t: f'<?xml version="1.0"?>{t}', "declaration"),
        (lambda t: t.replace("Router<", "<![CDATA[Router]]><", 1), "CDATA"),
        (lambda t: t.replace(">Router<", ">&amp;#82;outer<"), None),
        (lambda t: t.replace(">Router<", ">&#82;outer<"), "not written"),
        (lambda t: t.replace(">Router<", ">&quot;<"), "not written"),
        (lambda t: t.replace("<flag>", "\n<flag>"), "should be"),
        (lambda t: t.replace("<flag>", '<flag a="b">'), "should be"),
        (lambda t: t.replace("<flag>A</flag>", ""), "should be"),
        (lambda t: t.replace("<flag>A</flag>", "<flag>A</flag>" * 2), "should be"),
        (lambda t: t + t, "not written"),
        (lambda t: t[:-5], "should be"),
        (lambda t: t.replace("<count>5", "<count>05"), "not written"),
        (lambda t: t.replace("<count>5", "<count>-5"), "no count"),
        (lambda t: t.replace("<count>5", "<count>" + "9" * 30), "no count"),
        (lambda t: t.replace("2026-01-01", "01.01.2026"), "no date"),
        (lambda t: t.replace("PERPETUAL", "FOREVER"), "licenseType"),
        (lambda t: t.replace(str(PIID), str(PIID).upper()), "not written"),
        (lambda t: t.replace("P:C9300-24UX", "C9300-24UX"), "udi"),
        (lambda t: t.replace("<signature>", "<signature>*"), "Base64"),
        (lambda t: "x" * 1_000_000, "at most"),
        (lambda t: "<specificPLR>" * 1000, "should be"),
        (lambda t: "", "should be"),
        (lambda t: "\ud800", "should be"),
    ],
)
def test_what_would_not_be_written_again_is_not_read(spoil, said):
    text = spoil(render_specific(OURS))
    if said is None:
        assert parse_specific(text).entitlements[0].display_name == "&#82;outer"
    else:
        assert said in refused(text)


def test_a_final_line_break_and_a_byte_order_mark_are_not_seen():
    assert parse_specific("\ufeff" + render_specific(OURS) + "\r\n") == OURS


names = st.text(max_size=40)


@given(name=names, description=names, count=st.integers(1, 10**17))
def test_whatever_a_license_is_called_it_is_read_as_it_was_written(name, description, count):
    code = SpecificAuthorization(PIID, 1, UDI, (Entitlement("T", count, "DEMO", name, description),), b"x")
    text = render_specific(code)
    assert render_specific(parse_specific(text)) == text


def test_the_universal_code_is_as_agreed():
    signature = bytes(range(64))
    code = UniversalAuthorization(PIID, 1772443800123, signature)
    text = render_universal(code)
    assert text == read_golden("universal_authorization.txt")
    assert parse_universal(f" {text}\n") == code
    groups = text.split("-")
    assert [len(group) for group in groups] == [6] * 19 + [5]
    assert universal_signed_bytes(piid=PIID, udi=UDI, timestamp=5) == f"{PIID}|P:C9300-24UX,S:FCW2134L0RN|5".encode()


def test_leading_zeros_survive():
    code = UniversalAuthorization(UUID(int=0), 0, bytes(63) + b"\x01")
    assert parse_universal(render_universal(code)) == code


@pytest.mark.parametrize(
    "text", ["D", "C" + "1" * 118, "D" + "1" * 117, "D" + "z" * 118, "D" + "0" * 118, "DADzdk-bUCHFW"]
)
def test_what_is_no_universal_code_is_refused(text):
    with pytest.raises(Invalid, match="universal"):
        parse_universal(text)


@pytest.mark.parametrize(
    "text", ["P:A,S:B,", "P:,S:B", "S:B", "P:A,S:B,U:", "P:A,S:B,U:x,U:y", "P:A<,S:B", "P:A,S:a:b"]
)
def test_what_is_no_udi_is_not_read(text):
    assert parse_udi_text(text) is None
