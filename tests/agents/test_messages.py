"""Requests as bytes, for whoever makes them in bulk; and the agent's place in the house."""

import ast
import base64
import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from agents.smart_agent import identity, messages
from tests.agents.certificates import key
from tests.agents.conftest import PRODUCT

AGENTS = Path(messages.__file__).parent.parent


def test_a_request_is_signed_over_its_text_as_carried() -> None:
    body = messages.build_request(
        key=key(7),
        request_type="AUTHORIZATION",
        sudi=PRODUCT.sudi,
        data=messages.authorization_data({"größe": 1}),
        timestamp=1_772_443_800_000,
        piid="e53fc968-0253-4d61-a355-ba908a6cc920",
        id_cert_serial="ff",
    )
    envelope = json.loads(body)
    signature = base64.b64decode(envelope["signature"]["value"])
    key(7).public_key().verify(signature, envelope["request"].encode(), padding.PKCS1v15(), hashes.SHA256())
    assert envelope["signature"]["type"] == "SHA256"
    text = json.loads(envelope["request"])
    assert text["data"] == {"entitlements": [{"tag": "größe", "count": 1}]}
    assert text["header"]["connect_info"]["name"] == "C_agent"
    assert list(text["header"]) == [
        "version",
        "request_type",
        "timestamp",
        "nonce",
        "locale",
        "sudi",
        "product_instance_identifier",
        "id_cert_serial_number",
        "connect_info",
    ]


def test_the_same_request_gives_the_same_bytes() -> None:
    text = messages.build_text(request_type="ACK", sudi=PRODUCT.sudi, data={}, timestamp=1, nonce="12345678")
    assert messages.sign_request(text, key(7)) == messages.sign_request(text, key(7))


def test_a_csr_has_the_first_64_characters_of_the_udi_and_the_same_bytes_each_time() -> None:
    sudi = messages.Sudi(udi_pid="P" * 40, udi_serial_number="S" * 40)
    pem = identity.make_csr(key(7), identity.common_name(sudi))
    csr = x509.load_pem_x509_csr(pem.encode())
    assert csr.subject.rfc4514_string() == f"CN={'P' * 40}:{'S' * 23}"
    assert csr.is_signature_valid
    assert pem == identity.make_csr(key(7), identity.common_name(sudi))


def test_nonces_are_printable_and_differ() -> None:
    nonces = {messages.make_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(8 <= len(nonce) <= 64 and nonce.isascii() and nonce.isprintable() for nonce in nonces)


def test_the_agent_needs_nothing_of_the_server_and_few_libraries() -> None:
    libraries = {"base58", "cryptography", "lxml", "msgspec"}  # base58 and lxml for the codes of a reservation
    assert _imports("smart_agent", "common") - sys.stdlib_module_names == {"agents", *libraries}


def test_the_on_prem_server_reads_yaml_and_soap_besides() -> None:
    assert _imports("onprem") - sys.stdlib_module_names == {"agents", "cryptography", "lxml", "msgspec", "yaml"}


def _imports(*folders: str) -> set[str]:
    used = set()
    for path in (path for folder in folders for path in (AGENTS / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add((node.module or "").partition(".")[0])
    return used
