"""What is written reads back as what was meant, in PyYAML and byte for byte as the golden files."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pki.crypto.keys import encode_public_key
from pki.crypto.messages import verify_digest
from sync.codecs.envelope import digest_content, read_envelope, write_signed
from sync.codecs.responses import (
    AccountFigures,
    LicenseFigures,
    Marked,
    Response,
    Term,
    write_authorization,
    write_synchronization,
)
from sync.codecs.writing import write_mapping
from tests.keys import load_keys
from tests.sync.files import PADDING, SHA256, UUID

GOLDEN = Path(__file__).parents[2] / "formats" / "onprem"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n"
PROVIDER = {"provider": "APNS", "enabled": True, "keys": [{"name": "key", "value": "secret"}]}
FIGURES = ("regid.2026-01.example,1.0_x", 'Öl & Gas: "x"\\\n\u2028\U0001f600', 10, 0, 3, "In Compliance")
WHEN = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def response(**changes: Any) -> Response:
    term = Term(10, "subscription", WHEN, WHEN.replace(year=2027), "Sub-1: #7")
    figures = LicenseFigures(*FIGURES, (term,))
    values: dict[str, Any] = {
        "uuid": UUID,
        "satellite_name": "Plant 7",
        "last_sync": "2026-03-02T09:30:00.000Z",
        "last_generated": "2026-03-02T09:29:00Z",
        "smart_account": "yes",
        "account_domain": "acme.example",
        "certificates": {"id_cert": PEM, "sub_ca_cert": PEM, "signing_cert": PEM},
        "accounts": [AccountFigures("1", "Engineering", [figures]), AccountFigures("007", "Empty", [])],
        "marked": [Marked("7", "C9300", "FCW7", "claimed_elsewhere", "It counts elsewhere.")],
    }  # fmt: skip
    return Response(**values | changes)


def signed(content: Iterator[str]) -> bytes:
    out = io.BytesIO()
    key = load_keys()[0]
    write_signed(content, out.write, sign=lambda digest: key.sign(digest, PADDING, SHA256), signing_cert=PEM)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "write", "changes"),
    [
        ("authorization_response", write_authorization, {"providers": []}),
        ("synchronization_response", write_synchronization, {}),
        ("synchronization_response_full", write_synchronization, {"providers": [PROVIDER]}),
    ],
)  # fmt: skip
def test_files_are_as_the_golden_ones(name: str, write: Callable[..., Iterator[str]], changes: dict[str, Any]):
    data = signed(write(response(**changes)))
    path = GOLDEN / f"{name}.yaml"
    assert data == path.read_bytes()
    content, trailer = yaml.safe_load_all(data)
    assert content[":type"] in name
    assert content[":id_cert"] == PEM
    account = content[":synchronization"][":virtual_accounts"][0]
    assert account[":id"] == 1
    assert account[":licenses"][0][":display_name"] == 'Öl & Gas: "x"\\\n\u2028\U0001f600'
    assert content[":synchronization"][":virtual_accounts"][1] == {":id": "007", ":name": "Empty", ":licenses": []}
    assert trailer.keys() == {":signing_cert", ":signature"}


def test_the_signature_holds_over_the_exact_bytes_and_no_others():
    data = signed(write_synchronization(response()))
    spki = encode_public_key(load_keys()[0].public_key())

    def holds(changed: bytes) -> bool:
        envelope = read_envelope(io.BytesIO(changed), len(changed))
        return verify_digest(spki, envelope.signature, digest_content(io.BytesIO(changed), envelope.content_length))

    assert holds(data)
    end = data.rindex(b"---\n")
    for position in range(0, end, 97):
        tampered = bytearray(data)
        tampered[position] ^= 1
        assert not holds(bytes(tampered)), position
    assert not holds(data[:end].replace(b"\n", b"\r\n") + data[end:])


@pytest.mark.parametrize(
    "text", ["no", "007", "1:30", "~", "", " a", "a: b", "- a", "#", "\ufeffa", "é", "\x85", "'", "null"]
)
def test_any_text_reads_back_as_itself(text: str):
    written = "".join(write_mapping({"a": text, "b": {}, "c": [], "d": None, "e": True, "f": [{"g": [{"h": text}]}]}))
    assert yaml.safe_load(written) == {
        ":a": text, ":b": {}, ":c": [], ":d": None, ":e": True, ":f": [{":g": [{":h": text}]}],
    }  # fmt: skip


def test_what_became_of_usage_reports_stands_where_a_file_may_hold_more_than_the_tables_name():
    rows = [
        {"line": 40, "udi_pid": "C9300", "udi_serial_number": "FCW7", "report_id": 7, "status": "ACCEPTED"},
        {"line": 43, "udi_pid": None, "udi_serial_number": None, "report_id": None, "status": "MALFORMED"},
    ]
    written = "".join(write_synchronization(response(usage_reports=rows)))
    plain = "".join(write_synchronization(response()))
    assert written == plain + (
        ":extensions:\n"
        "  :rum_acknowledgements:\n"
        "  - :line: 40\n    :udi_pid: C9300\n    :udi_serial_number: FCW7\n    :report_id: 7\n    :status: ACCEPTED\n"
        "  - :line: 43\n    :udi_pid: null\n    :udi_serial_number: null\n    :report_id: null\n"
        "    :status: MALFORMED\n"
    )
