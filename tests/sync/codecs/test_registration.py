"""The registration request: its key is found under all limits, then it is parsed."""

import io

import pytest

from sync.codecs.envelope import read_envelope
from sync.codecs.registration import find_lcs_csr, read_registration
from sync.errors import FileRefused
from tests.sync.files import Server


def opened(data: bytes) -> tuple[io.BytesIO, int]:
    return io.BytesIO(data), read_envelope(io.BytesIO(data), len(data)).content_length


def test_a_request_is_read_whole():
    request = read_registration(*opened(Server().registration()))
    assert (request.instance_id, request.satellite_name) == (Server().uuid, "Plant 7")
    assert request.tg_csr.startswith("-----BEGIN CERTIFICATE REQUEST-----\n")


def test_the_key_is_found_before_the_rest_is_looked_at():
    content = Server().registration_content().replace(":instance_id:", ":colour:").encode()
    assert find_lcs_csr(io.BytesIO(content), len(content)).startswith("-----BEGIN CERTIFICATE REQUEST-----")
    with pytest.raises(FileRefused) as caught:
        read_registration(io.BytesIO(content), len(content))
    assert [(problem.code, problem.key) for problem in caught.value.problems] == [
        ("UNKNOWN_KEY", ":colour:"),
        ("MISSING_KEY", ":instance_id:"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (Server().registration_content().replace(":lcs_csr:", ":other:"), "MISSING_KEY"),
        (Server().registration_content() + ":lcs_csr: x\n", "DUPLICATE"),
        (Server().registration_content() + ":extensions: !!map {}\n", "FORBIDDEN_YAML"),
        (Server().registration_content().replace("registration_", "x_"), "UNSUPPORTED_FORMAT"),
        (":format: cssm-onprem/1\n:type: registration_request\n:lcs_csr:\n  :a: b\n", "MISSING_KEY"),
    ],
)  # fmt: skip
def test_a_request_without_its_key_is_refused(content: str, code: str):
    data = content.encode()
    with pytest.raises(FileRefused) as caught:
        find_lcs_csr(io.BytesIO(data), len(data))
    assert caught.value.code == code
