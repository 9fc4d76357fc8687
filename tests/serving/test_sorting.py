"""A look at a message's bytes tells its lane."""

import base64
import json
from typing import Any

import pytest

from cssm.serving.sorting import is_registration, key_of_token, open_envelope

TOKEN = "Umd0MkxhWTEybHQwNjdtRkUvRk0vWXJZQzNPdnBQSFR5SzV2WnJxMVA0dz0zYTQyZGFlZA=="


def message(request_type: str, *, separators: Any = None, **data: Any) -> bytes:
    text = json.dumps({"header": {"request_type": request_type}, "data": data}, separators=separators)
    return json.dumps({"request": text, "signature": {"type": "SHA256", "value": "c2ln"}}).encode()


def test_a_registration_is_known_by_its_type():
    assert is_registration(message("REGISTRATION", id_token=TOKEN))
    assert is_registration(message("REGISTRATION", separators=(",", ":")))


@pytest.mark.parametrize("other", ["DEREGISTRATION", "AUTHORIZATION", "RENEWAL", "ACK", "REGISTRATIONS"])
def test_nothing_else_is_taken_for_one(other: str):
    assert not is_registration(message(other, acknowledges="REGISTRATION"))


def test_messages_with_one_token_have_one_key():
    plain = message("REGISTRATION", id_token=TOKEN, csr="one")
    assert key_of_token(plain) == key_of_token(message("REGISTRATION", csr="two", id_token=TOKEN))
    assert key_of_token(plain) != key_of_token(message("REGISTRATION", id_token=TOKEN.lower()))
    assert TOKEN not in str(key_of_token(plain))


@pytest.mark.parametrize(
    "written",
    [TOKEN.replace("=", "%3D"), TOKEN.replace("=", "%3d").replace("U", "%55"), f"{TOKEN[:40]}\n{TOKEN[40:]}\r\n"],
)
def test_writing_a_token_in_another_way_makes_no_other_key(written: str):
    assert key_of_token(message("REGISTRATION", id_token=written)) == key_of_token(message("R", id_token=TOKEN))


def test_messages_without_a_token_share_a_key():
    assert key_of_token(message("REGISTRATION")) is None


@pytest.mark.parametrize("name", ["message", "sl:message"])
def test_an_envelope_is_opened(name: str):
    inner = message("REGISTRATION", id_token=TOKEN)
    body = base64.encodebytes(inner)
    envelope = b"<Envelope><Body><%b>\n%b</%b></Body></Envelope>" % (name.encode(), body, name.encode())
    assert open_envelope(envelope) == inner


@pytest.mark.parametrize("body", [b"", b"junk", b"<message>abcde</message>", b"<message>abcd", b"\xff\xfe"])
def test_what_is_no_envelope_is_looked_at_as_it_is(body: bytes):
    assert open_envelope(body) == body
    assert not is_registration(body)
