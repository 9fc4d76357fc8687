"""Registrations and messages at once, on real connections."""

import threading
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache

from accounts.models import VirtualAccount
from accounts.services.actors import actor_for_user
from licensing.models import IdToken, InstanceContact, InstanceKey, ProductInstance, UdiClaim, Usage
from licensing.services.devices import enrolment
from licensing.services.devices.answers import Contended
from licensing.services.devices.tokens import create_token
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState
from pki.models import Certificate
from tests.authorities import prepare_authorities
from tests.concurrency.threads import run_at_once
from tests.licensing.device_driver import Device
from tests.licensing.stock import deliver, line, make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

MANY, USES = 64, 5


@pytest.fixture(autouse=True)
def _authorities(db, now, monkeypatch):
    cache.clear()
    prepare_authorities(now, monkeypatch)


@pytest.fixture(scope="module")
def many_keys():
    """More keys than are checked in: one for each product."""
    keys: list[Any] = [None] * MANY

    def generate(number):
        keys[number] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    run_at_once(*(lambda n=n: generate(n) for n in range(MANY)))
    return keys


@pytest.fixture
def make_token(alice, engineering, now):
    def make(virtual_account=engineering, user=alice, **options):
        return create_token(
            actor=actor_for_user(user), virtual_account=virtual_account, lifetime_days=365, now=now, **options
        )[1]

    return make


def test_64_products_at_once_with_a_token_of_5_uses_are_exactly_5_registrations(many_keys, make_token, now):
    token = make_token(max_uses=USES)
    devices = [Device(now, number, key=key) for number, key in enumerate(many_keys)]
    codes = run_at_once(*(lambda d=d: d.register(token).code for d in devices))
    assert sorted(codes, key=str) == [None] * USES + ["TOKEN_EXHAUSTED"] * (MANY - USES)
    assert IdToken.objects.get().uses == ProductInstance.objects.count() == InstanceKey.objects.count() == USES
    assert UdiClaim.objects.count() == USES
    assert Certificate.objects.filter(profile="product-id").count() == USES


def test_they_would_be_more_if_the_use_were_read_and_then_written(many_keys, make_token, now, monkeypatch):
    """The control: all look, see a use left, and then count it."""
    everyone_looked = threading.Barrier(USES + 3)

    def read_then_write(*, token, free, now):
        row = IdToken.objects.get(pk=token.pk)
        everyone_looked.wait(timeout=60)
        if row.uses >= USES:
            raise Contended
        row.uses += 1
        row.save(update_fields=["uses"])

    # The very first registration of all makes the origin that the others then share.
    assert Device(now, sudi={"uuid": "first"}).register(make_token()).code is None
    monkeypatch.setattr(enrolment, "take_use", read_then_write)
    monkeypatch.setattr(enrolment, "in_one", lambda **_how: nullcontext())
    token = make_token(max_uses=USES)
    devices = [Device(now, number, key=key) for number, key in enumerate(many_keys[: USES + 3])]
    assert run_at_once(*(lambda d=d: d.register(token).code for d in devices)) == [None] * (USES + 3)


def test_one_request_sent_many_times_at_once_registers_once(make_token, now):
    device = Device(now)
    body = device.request("REGISTRATION", device.registration(make_token()))
    answers = run_at_once(*[lambda: device.send(body).body] * 8)
    assert len(set(answers)) == 1
    assert device.send(body).code is None
    assert ProductInstance.objects.count() == 1


def test_of_two_companies_that_register_one_product_at_once_one_gets_it(make_token, mallory, umbrella, now):
    foreign = VirtualAccount.objects.get(smart_account=umbrella)
    tokens = [make_token(), make_token(foreign, mallory)] * 3
    devices = [Device(now, number, sudi={"udi_pid": "A", "udi_serial_number": "B"}) for number in range(6)]
    codes = run_at_once(*(lambda d=d, t=t: d.register(t).code for d, t in zip(devices, tokens, strict=True)))
    winner = UdiClaim.objects.get()
    assert [code for code in codes if code] == ["UDI_REGISTERED_ELSEWHERE"] * 3
    assert ProductInstance.objects.active().get() == winner.instance
    assert winner.instance.smart_account == winner.smart_account


def test_messages_of_one_instance_at_once_leave_the_latest_use_and_true_figures(make_token, engineering, umbrella, now):
    license = make_license("ROUTER", now)
    deliver(engineering, line(license, 10), now=now)
    device = Device(now)
    device.register(make_token())
    bodies = [
        device.request("AUTHORIZATION", {"entitlements": [{"tag": "ROUTER", "count": count}]}) for count in range(1, 9)
    ]
    replies = run_at_once(*(lambda b=b: device.send(b) for b in bodies))
    assert {reply.code for reply in replies} <= {None, "REPLAYED"}
    assert Usage.objects.get().quantity == 8
    assert InstanceContact.objects.get().last_timestamp == device.last
    assert check_pools(now=now) == []


def send(device, body):
    return device.send(body).code


def register(device, token):
    return device.register(token).code


def test_a_product_that_leaves_and_comes_at_once_is_never_half_there(make_token, engineering, now):
    license = make_license("ROUTER", now)
    token = make_token()
    for turn in range(4):
        moment = now + timedelta(hours=turn)
        leaving = Device(moment, 0, sudi={"udi_pid": "A", "udi_serial_number": "B"})
        assert leaving.register(token).code is None
        leaving.authorize({"ROUTER": 3})
        coming = Device(moment, 1 + turn, sudi=leaving.sudi)
        other = leaving.request("DEREGISTRATION", {})
        codes = run_at_once(partial(send, leaving, other), partial(register, coming, token))
        assert codes[1] is None
        assert codes[0] in (None, "NOT_REGISTERED")
        alive = ProductInstance.objects.active().get()
        assert (alive.state, str(alive.piid)) == (InstanceState.REGISTERING, coming.piid)
        assert UdiClaim.objects.get().instance == alive
        assert not Usage.objects.exists()
        assert check_pools(now=moment) == []
    assert license.pools.get()
