import base64
import hmac
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensing.codecs.id_token import make_token, normalise_token
from tests.formats import read_golden

ACCOUNT = UUID("0b8f2f2e-9a3d-4d38-8f0c-4f6f1c9a7b11")
KEY = bytes(range(32))
TOKEN = make_token(key=KEY, virtual_account=ACCOUNT, milliseconds=1772443800000)


def test_the_bytes_are_those_of_the_golden_file():
    assert f"{TOKEN}\n" == read_golden("id_token.txt")


def test_a_token_is_the_signature_and_what_was_signed_each_in_its_base64():
    inner = base64.b64decode(TOKEN, validate=True)
    signature, signed = base64.b64decode(inner[:44], validate=True), inner[44:]
    assert signed == b"0b8f2f2e-9a3d-4d38-8f0c-4f6f1c9a7b11:1772443800000"
    assert signature == hmac.digest(KEY, signed, "sha256")


def test_another_key_gives_another_token():
    assert make_token(key=bytes(32), virtual_account=ACCOUNT, milliseconds=1772443800000) != TOKEN


def test_a_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        make_token(key=b"short", virtual_account=ACCOUNT, milliseconds=0)


@pytest.mark.parametrize(
    "spelling",
    [
        TOKEN,
        TOKEN.replace("=", "%3D").replace("+", "%2B").replace("/", "%2F"),
        TOKEN.replace("=", "%3d"),
        "".join(f"%{byte:02X}" for byte in TOKEN.encode()),
        "\n".join(TOKEN[i : i + 64] for i in range(0, len(TOKEN), 64)),
        TOKEN + "\r\n",
        TOKEN[:20] + "%0D%0A" + TOKEN[20:],
    ],
)
def test_percent_encoding_and_line_breaks_are_the_same_token(spelling):
    assert normalise_token(spelling) == TOKEN


@pytest.mark.parametrize(
    "other",
    [
        TOKEN.rstrip("="),
        TOKEN + "=",
        f" {TOKEN}",
        TOKEN.swapcase(),
        TOKEN.replace("M", "%4D%4D", 1),
        "".join(f"%25{byte:02X}" for byte in TOKEN.encode()),
        TOKEN.replace("w", "ｗ"),
        TOKEN + "\x00",
        "",
        "%00",
        "%ff" * 10,
        "\n",
        "x" * 3000,
    ],
)
def test_nothing_else_counts_as_equal(other):
    assert normalise_token(other) != TOKEN


@given(st.text(max_size=300))
def test_any_text_is_normalised_or_refused(text):
    plain = normalise_token(text)
    assert plain is None or (plain.isascii() and "\n" not in plain)
