from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pytest_django import Settings

from pki.services import authorities, signing
from pki.services.authorities import AuthorityName
from pki.services.issuance import IssuedPair
from tests.pki.tools import lint, verify_chain
from tests.programs import run_openssl

Issue = Callable[..., IssuedPair]


@pytest.fixture
def trust(hierarchy: None, tmp_path: Path) -> dict[str, Path]:
    return {path.stem: path for path in authorities.export_trust(tmp_path / "trust")}


def _save(folder: Path, name: str, pem: str) -> Path:
    path = folder / name
    path.write_text(pem)
    return path


def test_the_trust_is_exported_under_its_fixed_names(trust: dict[str, Path]) -> None:
    assert [path.name for path in trust.values()] == [
        "root.pem",
        "sub-ca.pem",
        "satellite-ca.pem",
        "tg-issuer.pem",
        "reservation-signing.pem",
    ]


@pytest.mark.parametrize("name", list(AuthorityName))
def test_openssl_strictly_accepts_every_authority(trust: dict[str, Path], name: AuthorityName, now: datetime) -> None:
    result = verify_chain(trust[name], root=trust["root"], between=[], at=now)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", list(AuthorityName))
def test_pkilint_warns_of_nothing_in_any_authority(trust: dict[str, Path], name: AuthorityName) -> None:
    assert lint(trust[name].read_text()) == []


def test_openssl_strictly_accepts_both_certificates_of_a_product(
    trust: dict[str, Path], issue: Issue, tmp_path: Path, now: datetime
) -> None:
    issued = issue()
    sub_ca = _save(tmp_path, "sub.pem", issued.sub_ca_pem)
    id_cert = _save(tmp_path, "id.pem", issued.id_cert_pem)
    signing_cert = _save(tmp_path, "signing.pem", issued.signing_cert_pem)
    accepted = verify_chain(id_cert, root=trust["root"], between=[sub_ca], at=now, purpose="sslclient")
    assert accepted.returncode == 0, accepted.stderr
    accepted = verify_chain(signing_cert, root=trust["root"], between=[sub_ca], at=now)
    assert accepted.returncode == 0, accepted.stderr


def test_openssl_refuses_a_certificate_after_its_year(
    trust: dict[str, Path], issue: Issue, tmp_path: Path, now: datetime
) -> None:
    issued = issue()
    id_cert = _save(tmp_path, "id.pem", issued.id_cert_pem)
    result = verify_chain(id_cert, root=trust["root"], between=[trust["sub-ca"]], at=now + timedelta(days=366))
    assert "certificate has expired" in result.stderr


@pytest.mark.parametrize(
    ("udi", "serial_number"),
    [
        ("C9300-24UX:FCW2134L0RN", "FCW2134L0RN"),
        ("C9300-24UX:FCW2134L0RN", None),
        ("P" * 60 + ":" + "S" * 30, "S" * 30),
        ("P" * 200 + ":" + "S" * 90, "S" * 90),
        ("ISR/K9:gerät_№1", "gerät_№1"),
        ("8d0b7a5e-7d6c-4c38-8a3a-5d1f6f1f3a11", None),
    ],
)
def test_pkilint_warns_of_nothing_in_a_products_certificates(issue: Issue, udi: str, serial_number: str | None) -> None:
    issued = issue(udi, serial_number)
    assert lint(issued.id_cert_pem) == []
    assert lint(issued.signing_cert_pem) == []


def test_the_id_certificate_says_what_the_interface_promises(issue: Issue, now: datetime) -> None:
    issued = issue()
    certificate = x509.load_pem_x509_certificate(issued.id_cert_pem.encode())
    assert certificate.subject.rfc4514_string() == "2.5.4.5=FCW2134L0RN,CN=C9300-24UX:FCW2134L0RN"
    assert certificate.not_valid_before_utc == now - timedelta(minutes=5)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365)
    assert issued.not_after == certificate.not_valid_after_utc
    assert f"{certificate.serial_number:x}" == issued.id_cert_serial
    assert certificate.serial_number.bit_length() > 64
    extensions = certificate.extensions
    [name] = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert isinstance(name, x509.OtherName)
    assert name.type_id.dotted_string == "1.3.6.1.5.5.7.8.3"
    assert name.value == b"\x30\x18\x0c\x16C9300-24UX:FCW2134L0RN"
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    [point] = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [each.value for each in point.full_name or []] == ["http://127.0.0.1:8000/pki/sub-ca.crl"]
    [access] = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access.access_location.value == "http://127.0.0.1:8000/pki/sub-ca.pem"


@pytest.mark.parametrize("serial_number", ["S" * 65, "gerät", "a_b", "a*b", ""])
def test_a_serial_number_that_is_no_printable_string_is_left_out(issue: Issue, serial_number: str) -> None:
    issued = issue(serial_number=serial_number)
    certificate = x509.load_pem_x509_certificate(issued.id_cert_pem.encode())
    assert certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER) == []


def test_places_are_named_over_http_even_where_the_portal_is_on_https(issue: Issue, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://portal.example:8443"
    certificate = x509.load_pem_x509_certificate(issue().id_cert_pem.encode())
    [point] = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [each.value for each in point.full_name or []] == ["http://portal.example/pki/sub-ca.crl"]


@pytest.mark.parametrize(
    ("name", "path_length", "bits"),
    [
        (AuthorityName.ROOT, None, 4096),
        (AuthorityName.PRODUCT_SUB_CA, 0, 2048),
        (AuthorityName.SATELLITE_CA, 1, 2048),
        (AuthorityName.TG_ISSUER, 0, 2048),
    ],
)
def test_authorities_have_their_path_lengths(
    hierarchy: None, name: AuthorityName, path_length: int | None, bits: int
) -> None:
    certificate = x509.load_pem_x509_certificate(authorities.read_pem(name).encode())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, path_length)
    assert certificate.public_key().key_size == bits  # type: ignore[union-attr]  # they are all RSA keys


def test_the_reservation_key_signs_nothing_but_reservations(hierarchy: None) -> None:
    pem = authorities.read_pem(AuthorityName.RESERVATION_SIGNING)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not [each for each in certificate.extensions if isinstance(each.value, x509.ExtendedKeyUsage)]
    assert certificate.public_key().curve.name == "secp256r1"  # type: ignore[union-attr]  # it is an EC key


def test_openssl_verifies_a_response_with_the_signing_certificate(issue: Issue, tmp_path: Path) -> None:
    issued = issue()
    message = '{"status_code":"OK"} é'.encode()
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "signature").write_bytes(signing.sign_with_key(issued.signing_key, message))
    certificate = _save(tmp_path, "signing.pem", issued.signing_cert_pem)
    key = _save(tmp_path, "key.pem", run_openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout)
    command: list[str | Path] = [
        "dgst",
        "-sha256",
        "-verify",
        key,
        "-signature",
        tmp_path / "signature",
        tmp_path / "message",
    ]
    assert run_openssl(*command).stdout.strip() == "Verified OK"
    (tmp_path / "message").write_bytes(message + b" ")
    assert "Verification failure" in run_openssl(*command).stdout
