"""Thousands of messages that are not what somebody signed for us to hear now: none of them changes anything.

`SEED=…` chooses other ones; a failure prints the seed.
"""

import os
import random
from collections import Counter

import pytest
from django.apps import apps

from licensing.codecs.device_message import OuterFormInvalid
from licensing.models import License
from licensing.services.exchange.dispatch import answer_message
from tests.keys import load_keys
from tests.licensing.device_driver import Device, Reply, sign_text
from tests.licensing.stock import deliver, line, make_license

MESSAGES = 10_000 if os.environ.get("SOAK") else 150
SEED = int(os.environ.get("SEED", "20260302"))
TAG = "ADVANTAGE"
KINDS = ("bit", "bit", "wrong key", "retired key", "foreign key", "replay")


@pytest.fixture
def stranger(foreign_token, now):
    """A registered product of another tenant."""
    device = Device(now, 4)
    assert device.register(foreign_token).code is None
    assert device.ack().code is None
    return device


@pytest.fixture
def product(registered, engineering, now):
    """A product with a past: it uses licenses, and has renewed its key; with all that it ever sent, oldest first."""
    license: License = make_license(TAG, now)
    deliver(engineering, line(license, 10), now=now)
    sent = [registered.request("AUTHORIZATION", {"entitlements": [{"tag": TAG, "count": n}]}) for n in (1, 3)]
    for body in sent:
        assert registered.send(body).code is None
    old = Device(registered.now, 0, piid=registered.piid, id_cert_serial=registered.id_cert_serial)
    registered.wait(minutes=1)
    reply, renewed = registered.renew(6)
    assert reply.code is None
    assert renewed.ack("RENEWAL").code is None
    by_new_key = renewed.request("AUTHORIZATION", {"entitlements": [{"tag": TAG, "count": 2}]})
    for body in (by_new_key, renewed.request("AUTHORIZATION", {"entitlements": [{"tag": TAG, "count": 4}]})):
        assert renewed.send(body).code is None
    return renewed, old, [*sent, by_new_key]


def originals(device):
    """One of each kind that would be taken, if it were sent as it is."""
    asked = [
        ("AUTHORIZATION", {"entitlements": [{"tag": TAG, "count": 9}], "hostname": "forged"}),
        ("RENEWAL", device.renewal(load_keys()[7])),
        ("DEREGISTRATION", {}),
        ("ENDPOINT_REPORT", {"endpoints": [{"identifier": "a", "type": "AP", "tag": TAG}]}),
        ("EXPORT_AUTHORIZATION", {"tag": TAG, "count": 1}),
        ("THIRD_PARTY_KEY", {"provider": "PNP", "key_name": "a"}),
    ]
    return [(kind, data, device.text(kind, data)) for kind, data in asked]


def forge(kind, rng, *, product, old, stranger, sent):
    _, _, text = rng.choice(originals(product))
    if kind == "wrong key":
        return sign_text(text, load_keys()[rng.choice((8, 9, 10, 11))])
    if kind == "foreign key":
        claimed = rng.choice((product.id_cert_serial, stranger.id_cert_serial))
        name, data, _ = rng.choice(originals(product))
        return sign_text(product.text(name, data, id_cert_serial_number=claimed), stranger.key)
    if kind == "retired key":
        claimed = rng.choice((product.id_cert_serial, old.id_cert_serial))
        name, data, _ = rng.choice(originals(product))
        return sign_text(product.text(name, data, id_cert_serial_number=claimed), old.key)
    if kind == "replay":
        return rng.choice(sent)
    body = bytearray(sign_text(text, product.key))
    position = rng.randrange(len(body) * 8)
    body[position // 8] ^= 1 << position % 8
    return bytes(body)


def everything():
    """Each row of each table of ours."""
    models = [
        m
        for label in ("licensing", "pki", "accounts", "alerts", "sync")
        for m in apps.get_app_config(label).get_models()
    ]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


@pytest.mark.soak
def test_no_forged_or_repeated_message_changes_anything(product, stranger):
    device, old, sent = product
    rng = random.Random(SEED)
    before = everything()
    told: Counter[str | None] = Counter()
    for number in range(MESSAGES):
        kind = rng.choice(KINDS)
        body = forge(kind, rng, product=device, old=old, stranger=stranger, sent=sent)
        try:
            source = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            code = Reply(answer_message(body=body, source_ip=source, now=device.now)).code
        except OuterFormInvalid:
            code = "no message"
        assert code not in (None, "INTERNAL"), f"{kind}, message {number} of seed {SEED}: {body!r}"
        told[code] += 1
    assert everything() == before, f"seed {SEED}"
    assert {"SIGNATURE_INVALID", "NOT_REGISTERED", "no message"} <= set(told), told
    assert device.authorize({TAG: 5}).code is None


def test_the_unused_bits_of_a_signature_s_base64_are_no_place_for_another_message(registered):
    """The same signature in other letters is not the message that was signed."""
    body = registered.request("AUTHORIZATION", {"entitlements": []})
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    position = body.index(b'=="') - 1
    other = letters[letters.index(body[position]) ^ 1]
    assert registered.send(body[:position] + bytes([other]) + body[position + 1 :]).code == "SIGNATURE_INVALID"
    assert registered.send(body).code is None
