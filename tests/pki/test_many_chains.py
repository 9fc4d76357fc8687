"""Many issued chains: OpenSSL, GnuTLS and pkilint agree with us on each, and nothing in them is there twice."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction

from cssm.common.clock import read_clock
from pki.services import authorities, issuance
from tests.keys import load_keys
from tests.pki.tools import lint, spki_of, verify_chain
from tests.programs import need_program

SOAK = bool(os.environ.get("SOAK"))
CHAINS = 1_000 if SOAK else 10
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"


@pytest.fixture
def now() -> datetime:
    """GnuTLS's program judges by the clock of the machine."""
    return read_clock()


@pytest.fixture
def chains(hierarchy: None, now: datetime, monkeypatch: pytest.MonkeyPatch) -> list[issuance.IssuedPair]:
    """As products get them, each with a signing key that is really made for it."""
    monkeypatch.undo()
    chains = []
    for number in range(CHAINS):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if SOAK else load_keys()[number]
        prepared = issuance.prepare_product_certificates(
            csr_public_key=spki_of(key),
            common_name=f"C9300-24UX:CHAIN{number}",
            permanent_identifier=f"C9300-24UX:CHAIN{number}",
            serial_number=f"CHAIN{number}",
            now=now,
        )
        issued = issuance.sign_prepared(prepared)
        with transaction.atomic():
            issuance.record_issued(issued, now=now)
        chains.append(issued)
    return chains


@pytest.mark.soak
def test_openssl_gnutls_and_pkilint_accept_every_chain_and_nothing_is_there_twice(
    chains: list[issuance.IssuedPair], tmp_path: Path, now: datetime
) -> None:
    root = next(path for path in authorities.export_trust(tmp_path) if path.name == "root.pem")
    sub_ca = tmp_path / "issuer.pem"
    sub_ca.write_text(chains[0].sub_ca_pem)
    serials, public_keys = [], []
    for issued in chains:
        for pem, purpose in ((issued.id_cert_pem, "sslclient"), (issued.signing_cert_pem, None)):
            leaf = tmp_path / "leaf.pem"
            leaf.write_text(pem)
            accepted = verify_chain(leaf, root=root, between=[sub_ca], at=read_clock(), purpose=purpose)
            assert accepted.returncode == 0, accepted.stderr
            assert lint(pem) == []
            certificate = x509.load_pem_x509_certificate(pem.encode())
            serials.append(certificate.serial_number)
            public_keys.append(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert len(set(serials)) == len(set(public_keys)) == 2 * CHAINS
    assert min(serials) >= 2**63  # 64 random bits at least


@pytest.mark.soak
def test_gnutls_accepts_every_chain(chains: list[issuance.IssuedPair], tmp_path: Path) -> None:
    need_program("certtool")
    root = next(path for path in authorities.export_trust(tmp_path) if path.name == "root.pem")
    for issued in chains:
        for pem, purpose in ((issued.id_cert_pem, [f"--verify-purpose={CLIENT_AUTH}"]), (issued.signing_cert_pem, [])):
            chain = tmp_path / "chain.pem"
            chain.write_text(pem + issued.sub_ca_pem)
            command = ["certtool", "--verify", *purpose, "--load-ca-certificate", str(root), "--infile", str(chain)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "The certificate is trusted" in done.stdout + done.stderr
