"""OpenSSL's and pkilint's opinion of a certificate: neither knows our code."""

import subprocess
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkilint import loader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity

from tests.programs import run_openssl

SEVERE = {ValidationFindingSeverity.WARNING, ValidationFindingSeverity.ERROR, ValidationFindingSeverity.FATAL}
CSRS = Path(__file__).parent / "csrs"


def spki_of(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_csr(csr_name: str) -> str:
    return (CSRS / f"{csr_name}.pem").read_text()


def verify_chain(
    leaf: Path, *, root: Path, between: list[Path], at: datetime, purpose: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`openssl verify -x509_strict` at a moment."""
    arguments: list[str | Path] = ["verify", "-x509_strict", "-check_ss_sig", "-attime", str(int(at.timestamp()))]
    if purpose is not None:
        arguments += ["-purpose", purpose]
    for path in between:
        arguments += ["-untrusted", path]
    return run_openssl(*arguments, "-CAfile", root, leaf)


def lint(pem: str) -> list[str]:
    """What pkilint finds at WARNING or above (RFC 5280)."""
    document = loader.RFC5280CertificateDocumentLoader().load_pem_document(pem, "certificate")
    validator = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    return [
        f"{description.finding.severity.name} {description.finding.code} {description.message or ''}"
        for result in validator.validate(document.root)
        for description in result.finding_descriptions
        if description.finding.severity in SEVERE
    ]
