"""Envelopes of Call Home: the message comes out as it went in, and whatever else is refused."""

import base64

import pytest

from licensing.codecs.soap import (
    MAX_ENVELOPE,
    FaultCode,
    SoapInvalid,
    SoapVersion,
    open_envelope,
    render_fault,
    wrap_message,
)

MESSAGE = b'{"request": "x", "signature": null}'
ENCODED = base64.b64encode(MESSAGE).decode()
V11, V12 = SoapVersion.V1_1, SoapVersion.V1_2


def envelope(content, *, version=V11, prolog="", header=""):
    return f'{prolog}<s:Envelope xmlns:s="{version}">{header}<s:Body>{content}</s:Body></s:Envelope>'.encode()


def licence(text=ENCODED, *, attributes="", message=""):
    return (
        f'<SmartLicense xmlns="urn:cssm:smart-license:1"{attributes}><message{message}>{text}</message></SmartLicense>'
    )


@pytest.mark.parametrize("version", list(SoapVersion))
@pytest.mark.parametrize("text", [ENCODED, f"\n  {ENCODED[:8]}\r\n\t{ENCODED[8:]} "])
def test_the_message_of_an_envelope(version, text):
    opened = open_envelope(envelope(licence(text), version=version))
    assert (opened.version, opened.message) == (version, MESSAGE)


@pytest.mark.parametrize("version", list(SoapVersion))
def test_what_is_wrapped_opens_again(version):
    assert open_envelope(wrap_message(MESSAGE, version)).message == MESSAGE


def test_a_header_that_need_not_be_understood_is_passed_over():
    header = '<s:Header><x xmlns="urn:other" s:mustUnderstand="0"/></s:Header>'
    assert open_envelope(envelope(licence(), header=header)).message == MESSAGE


ENTITY = '<!DOCTYPE x [<!ENTITY e "QQ==">]>'
LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not XML"),
        (b"nonsense", "not XML"),
        (b"\x00", "not XML"),
        (b"{}", "not XML"),
        (envelope(licence("&e;"), prolog=ENTITY), "document type"),
        (envelope(licence("&b;"), prolog=LAUGHS), "document type"),
        (envelope(licence("&e;"), prolog=EXTERNAL), "document type"),
        (envelope(licence(), prolog='<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd">'), "document type"),
        (envelope(licence("&e;")), "not XML"),
        (envelope(licence(f"{ENCODED[:8]}<!-- x -->{ENCODED[8:]}")), "comments"),
        (envelope(licence(f"{ENCODED[:8]}<?x y?>{ENCODED[8:]}")), "comments"),
        (envelope(licence(), prolog="<!-- x -->"), "comments"),
        (envelope("<a>" * 100_000 + "</a>" * 100_000), "not XML"),
        (envelope(licence("<a>" * 300 + "</a>" * 300)), "not XML"),
        (f'<s:Envelope xmlns:s="{V11}"/>'.encode(), "one Body"),
        (f'<s:Envelope xmlns:s="{V11}"><s:Header/></s:Envelope>'.encode(), "one Body"),
        (f'<s:Envelope xmlns:s="{V11}"><s:Body/><s:Body/></s:Envelope>'.encode(), "one Body"),
        (f'<s:Envelope xmlns:s="{V11}"><t:Body xmlns:t="{V12}"/></s:Envelope>'.encode(), "one Body"),
        (envelope(""), "one SmartLicense"),
        (envelope(licence() * 2), "one SmartLicense"),
        (envelope(licence().replace("license:1", "license:2")), "one SmartLicense"),
        (envelope(licence(attributes=' a="b"')), "one SmartLicense"),
        (envelope(licence(message=' a="b"')), "one message"),
        (envelope('<SmartLicense xmlns="urn:cssm:smart-license:1"/>'), "one message"),
        (envelope(licence(f"{ENCODED}<b/>")), "one message"),
        (envelope(licence("!!!!")), "not Base64"),
        (envelope(licence("QQ=")), "not Base64"),
        (envelope(licence("")), "is empty"),
        (b'<Envelope xmlns="urn:other"/>', "SOAP 1.1 or 1.2"),
        (envelope(licence(), prolog='<?xml version="1.0" encoding="ISO-8859-1"?>'), "UTF-8"),
        (envelope(licence()).decode().encode("utf-16"), "UTF-8"),
        (envelope(licence("A" * MAX_ENVELOPE)), "longer than"),
    ],
)
def test_what_is_no_envelope_of_ours(body, reason):
    with pytest.raises(SoapInvalid) as caught:
        open_envelope(body)
    assert reason in caught.value.message


@pytest.mark.parametrize("version", list(SoapVersion))
def test_a_header_that_must_be_understood_is_not(version):
    header = '<s:Header><x xmlns="urn:other" s:mustUnderstand="1"/></s:Header>'
    with pytest.raises(SoapInvalid) as caught:
        open_envelope(envelope(licence(), version=version, header=header))
    assert (caught.value.fault, caught.value.version) == (FaultCode.MUST_UNDERSTAND, version)


@pytest.mark.parametrize(("version", "name"), [(V11, b"soap:Client"), (V12, b"soap:Sender")])
def test_a_fault_names_who_is_to_blame_in_the_words_of_its_version(version, name):
    fault = render_fault("a < b", code="MALFORMED", correlation_id="7", version=version)
    assert name in fault
    assert b"a &lt; b" in fault
