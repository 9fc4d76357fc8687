"""Device messages over HTTP."""

import json

import pytest
import time_machine
from django.conf import settings
from django.test import Client

from tests.licensing.device_driver import Reply

URLS = ("/licservice/license", "/SmartTransport")


def post(body, *, url=URLS[0], content_type="application/json", **headers):
    return Client(enforce_csrf_checks=True).post(url, body, content_type=content_type, headers=headers)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_a_product_registers_over_http(device, token, url, content_type):
    body = device.request("REGISTRATION", device.registration(token))
    with time_machine.travel(device.now, tick=False):
        response = post(body, url=url, content_type=content_type)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    reply = Reply(response.content)
    assert reply.code is None
    device.learn(reply)
    assert reply.is_by(device.signing_cert)


def test_a_wrong_message_of_the_right_form_is_answered_with_200(registered):
    response = post(registered.request("AUTHORIZATION", {}))
    assert (response.status_code, Reply(response.content).code) == (200, "CLOCK_SKEW")


@pytest.mark.django_db
@pytest.mark.parametrize("body", [b" ", b"nonsense", b"{}", b'{"request": 1}', b"\x00"])
def test_what_is_no_message_gets_400(body):
    response = post(body)
    assert (response.status_code, response.json()["code"]) == (400, "MALFORMED")
    assert response.json()["correlationId"] == response.headers["X-Correlation-ID"]


@pytest.mark.django_db
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_gets_415(content_type):
    assert post(b"{}", content_type=content_type).status_code == 415


@pytest.mark.django_db
def test_another_method_gets_405_and_why():
    response = Client().get(URLS[1])
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "POST"


@pytest.mark.django_db
def test_more_than_a_mebibyte_gets_413():
    signature = {"type": "SHA256", "value": ""}
    empty = len(json.dumps({"request": "", "signature": signature}))
    at_the_limit = json.dumps({"request": "x" * (settings.DEVICE_BODY_LIMIT - empty), "signature": signature})
    assert len(at_the_limit) == settings.DEVICE_BODY_LIMIT
    assert post(at_the_limit).status_code == 200
    assert post(at_the_limit + " ").status_code == 413


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "put", "delete", "options"])
def test_other_methods_are_not_known(method):
    assert getattr(Client(), method)(URLS[0]).status_code == 405
