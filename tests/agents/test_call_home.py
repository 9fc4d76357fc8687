"""The agent over Call Home: the same messages, in envelopes."""

import base64

import pytest

from agents.smart_agent import call_home
from agents.smart_agent.errors import NetworkFailure
from agents.smart_agent.transport import CallHomeTransport, SmartTransport, open_transport, place_url

URL = "https://portal.example"


def answer(content: str, prolog: str = "") -> bytes:
    return f'{prolog}<s:Envelope xmlns:s="{call_home.SOAP_NS}"><s:Body>{content}</s:Body></s:Envelope>'.encode()


def licence(text: str) -> str:
    return f'<SmartLicense xmlns="{call_home.MESSAGE_NS}"><message>{text}</message></SmartLicense>'


def test_what_is_wrapped_is_unwrapped() -> None:
    assert call_home.unwrap(call_home.wrap(b"message")) == b"message"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        answer(""),
        answer(licence("!")),
        answer(licence("QQ==") * 2),
        answer(licence("Q<!-- -->Q==")),
        answer(licence("&e;"), '<!DOCTYPE x [<!ENTITY e "QQ==">]>'),
        answer("<s:Fault><faultcode>s:Server</faultcode></s:Fault>"),
    ],
)
def test_another_answer_is_none(content: bytes) -> None:
    with pytest.raises(NetworkFailure):
        call_home.unwrap(content)


def test_the_url_says_which_way_a_message_goes() -> None:
    call_home_url = place_url(URL, "callhome")
    assert isinstance(open_transport(call_home_url), CallHomeTransport)
    assert isinstance(open_transport(f"{URL}/Transportgateway/services/DeviceRequestHandler"), CallHomeTransport)
    assert type(open_transport(place_url(call_home_url, "smart"))) is SmartTransport
    assert type(open_transport(f"{URL}/SmartTransport")) is SmartTransport
    assert base64.b64encode(b"message") in call_home.wrap(b"message")
