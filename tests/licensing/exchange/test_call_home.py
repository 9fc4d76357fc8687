"""The same messages in SOAP, at both addresses and in both versions, as an independent client reads the description."""

import base64
import io
import re
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from lxml import etree
from zeep import Client as SoapClient
from zeep.exceptions import Fault
from zeep.transports import Transport

from licensing.codecs.soap import SoapVersion, open_envelope, wrap_message
from tests.licensing.device_driver import Reply

URLS = ("/its/service/oddce/services/DDCEService", "/Transportgateway/services/DeviceRequestHandler")
TYPES = {SoapVersion.V1_1: "text/xml", SoapVersion.V1_2: "application/soap+xml"}
PORTS = ("Soap11", "Soap12")
PAGE = Path(__file__).parents[3] / "docs" / "cycles" / "call-home.md"


class Answer:
    """As much of an HTTP response as zeep looks at."""

    def __init__(self, response):
        self.status_code, self.content = response.status_code, response.content
        self.headers, self.encoding = response.headers, "utf-8"


class InMemory(Transport):
    """zeep's own transport, with our views instead of a network."""

    def load(self, url):
        return Client().get(url.removeprefix(settings.PUBLIC_URL.rstrip("/"))).content

    def post(self, address, message, headers):
        path = address.removeprefix(settings.PUBLIC_URL.rstrip("/"))
        types = {key.lower(): value for key, value in headers.items()}
        return Answer(Client(enforce_csrf_checks=True).post(path, message, content_type=types["content-type"]))


def connect(url, port):
    client = SoapClient(f"{settings.PUBLIC_URL.rstrip('/')}{url}?wsdl", transport=InMemory())
    return client.bind("CallHome", port)


def post(body, *, url=URLS[0], version=SoapVersion.V1_1, content_type=None):
    return Client(enforce_csrf_checks=True).post(url, body, content_type=content_type or TYPES[version])


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("port", PORTS)
def test_a_soap_client_made_from_the_description_registers_a_product(device, token, url, port):
    service = connect(url, port)
    with time_machine.travel(device.now, tick=False):
        answer = service.SmartLicense(message=device.request("REGISTRATION", device.registration(token)))
    reply = Reply(answer)
    assert reply.code is None
    device.learn(reply)
    assert reply.is_by(device.signing_cert)


def outline(element):
    """Names and texts, without prefixes."""
    return element.tag, (element.text or "").strip(), [outline(child) for child in element]


@pytest.mark.parametrize("port", PORTS)
def test_the_sample_of_the_page_is_what_a_client_made_from_the_description_sends(registered, port):
    """Of 1.1 as it stands, of 1.2 in its namespace; and what is sent is valid by the schema, and answered."""
    message = registered.request("AUTHORIZATION", {"entitlements": []})
    [sample] = re.findall(r"<soap:Envelope.*</soap:Envelope>", PAGE.read_text(), re.DOTALL)
    sample = sample.replace("BASE64 of the JSON form", base64.b64encode(message).decode())
    if port == "Soap12":
        sample = sample.replace(SoapVersion.V1_1, SoapVersion.V1_2)
    client = SoapClient(f"{settings.PUBLIC_URL.rstrip('/')}{URLS[0]}?wsdl", transport=InMemory())
    sent = client.create_message(client.bind("CallHome", port), "SmartLicense", message=message)
    assert outline(etree.fromstring(sample)) == outline(sent)
    schema = etree.XMLSchema(etree.parse(io.BytesIO(Client().get(f"{URLS[0]}?xsd").content)))
    schema.assertValid(etree.fromstring(sample)[0][0])
    with time_machine.travel(registered.now, tick=False):
        version = SoapVersion.V1_2 if port == "Soap12" else SoapVersion.V1_1
        answer = post(sample.encode(), version=version)
    assert Reply(open_envelope(answer.content).message).code is None


@pytest.mark.parametrize("version", list(SoapVersion))
def test_answers_validate_against_the_published_schema(registered, version):
    schema = etree.XMLSchema(etree.parse(io.BytesIO(Client().get(f"{URLS[0]}?xsd").content)))
    response = post(wrap_message(registered.request("ACK", {}), version), version=version)
    assert response.headers["Content-Type"] == version.content_type
    root = etree.fromstring(response.content)
    schema.assertValid(root[0][0])
    assert Reply(open_envelope(response.content).message).code == "CLOCK_SKEW"


@pytest.mark.parametrize("port", PORTS)
def test_what_is_no_message_is_a_fault_with_a_code(db, port):
    with pytest.raises(Fault) as caught:
        connect(URLS[0], port).SmartLicense(message=b"nonsense")
    assert "not a device message" in caught.value.message
    detail = etree.tostring(caught.value.detail)
    assert b"MALFORMED" in detail
    assert b"correlationId" in detail


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/xml", b"x" * (1024 * 1024 + 1), 413),
        ("text/xml", b"<a/>", 400),
        ("application/soap+xml; charset=utf-8", b" ", 400),
    ],
)
def test_every_refusal_is_a_fault(db, content_type, body, status):
    response = post(body, content_type=content_type)
    assert response.status_code == status
    assert etree.fromstring(response.content)[0][0].tag.endswith("Fault")


def test_the_answer_to_a_repeated_message_is_the_same_over_either_transport(registered):
    body = registered.request("AUTHORIZATION", {"entitlements": []})
    with time_machine.travel(registered.now, tick=False):
        plain = Client().post("/licservice/license", body, content_type="application/json").content
        soap = post(wrap_message(body, SoapVersion.V1_2), version=SoapVersion.V1_2).content
    assert open_envelope(soap).message == plain


def test_a_plain_get_says_what_to_do(db):
    response = Client().get(URLS[0])
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert b"?wsdl" in response.content


def test_base64_of_something_else_is_no_message(db):
    response = post(wrap_message(base64.b64encode(b"x"), SoapVersion.V1_1))
    assert response.status_code == 400
