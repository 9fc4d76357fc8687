"""The outer form: packed or plain, signed over its exact bytes."""

import gzip
import io
from collections.abc import Callable

import pytest

from sync.codecs.envelope import FileRefused, digest_content, read_envelope, unpack
from tests.keys import load_keys
from tests.sync.files import sign

CONTENT = ":format: cssm-onprem/1\n:type: synchronization_request\n"
SIGNED = sign(CONTENT, load_keys()[0])
MOST = 100 * 1024 * 1024


def unpacked(data: bytes, *, piece: int = 7, most: int = MOST) -> bytes:
    out = io.BytesIO()
    plain = unpack((data[n : n + piece] for n in range(0, len(data), piece)), out.write, most=most)
    assert plain.size == len(out.getvalue())
    return out.getvalue()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(FileRefused) as caught:
        action()
    return caught.value.code


def test_plain_and_packed_are_the_same_file():
    assert unpacked(SIGNED) == unpacked(gzip.compress(SIGNED)) == SIGNED


def test_the_signed_range_ends_before_the_last_line_of_dashes():
    tricky = CONTENT + ":extensions:\n  a: |\n    ---\n"
    signed = sign(tricky, load_keys()[0])
    envelope = read_envelope(io.BytesIO(signed), len(signed))
    assert signed[: envelope.content_length] == tricky.encode()
    assert len(digest_content(io.BytesIO(signed), envelope.content_length)) == 32


@pytest.mark.parametrize(
    "data",
    [
        CONTENT.encode(),
        SIGNED.replace(b"---\n", b""),
        SIGNED + b":more: 1\n",
        SIGNED + b"\n",
        SIGNED + SIGNED.partition(b"---\n")[2],
        SIGNED.replace(b":signature:", b":signature2:"),
        SIGNED.replace(b':signing_cert: ""\n', b""),
        SIGNED.replace(b':signature: "', b':signature: "&'),
        SIGNED[:-20],
        SIGNED.replace(b':signature: "', b':signature: "A'),
    ],
)
def test_an_end_that_is_not_exactly_two_lines_is_refused(data: bytes):
    assert code_of(lambda: read_envelope(io.BytesIO(data), len(data))) == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "MALFORMED"),
        (b"\xef\xbb\xbf" + SIGNED, "FORBIDDEN_YAML"),
        (SIGNED.decode().encode("utf-16"), "FORBIDDEN_YAML"),
        (SIGNED.decode().encode("utf-16-le"), "MALFORMED"),
        (SIGNED + b"\x00", "MALFORMED"),
        (gzip.compress(SIGNED)[:-3], "MALFORMED"),
        (gzip.compress(SIGNED) + b"x", "MALFORMED"),
        (gzip.compress(SIGNED) + gzip.compress(SIGNED), "MALFORMED"),
        (gzip.compress(SIGNED)[:20] + b"xxxxxxxx" + gzip.compress(SIGNED)[28:], "MALFORMED"),
        (gzip.compress(b"a" * 40_000_000), "TOO_LARGE"),
        (gzip.compress(b"# a comment\n" * 4_000_000), "TOO_LARGE"),
        (b"a: " + b"x" * 800_000 + b"\n" + SIGNED, "TOO_LARGE"),
        (gzip.compress(b"\x00" * 40_000_000), "MALFORMED"),
        (b"\x1f\x8b", "MALFORMED"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_file_is_refused(data: bytes, code: str):
    assert code_of(lambda: unpacked(data, piece=100_000)) == code


@pytest.mark.parametrize("bad", [b"x\x00y", b"x" * 800_000])
def test_what_is_no_text_is_refused_with_its_line(bad: bytes):
    with pytest.raises(FileRefused) as caught:
        unpacked(b"a: b\n" * 70_000 + bad + b"\n" + SIGNED, piece=100_000)
    assert caught.value.details["errors"][0]["line"] == 70_001


def test_a_bomb_is_refused_after_the_first_megabytes_of_it():
    written: list[int] = []
    bomb = gzip.compress(b"# a comment\n" * 4_000_000)
    assert code_of(lambda: unpack([bomb], lambda piece: written.append(len(piece)), most=10**9)) == "TOO_LARGE"
    assert sum(written) < 5_000_000


def test_a_file_over_the_limit_is_refused_without_being_read_to_its_end():
    def endless():
        while True:
            yield b"a: b\n" * 1000

    assert code_of(lambda: unpack(endless(), io.BytesIO().write, most=1_000_000)) == "TOO_LARGE"
