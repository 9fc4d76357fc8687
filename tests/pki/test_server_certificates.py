"""What an on-prem server is given: each certificate by its profile, accepted by OpenSSL and pkilint, in both chains."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.db import transaction

from pki.crypto.certificates import encode_pem
from pki.crypto.csr import parse_csr
from pki.errors import CsrInvalid, ProfileViolation
from pki.models import Certificate, StoredKey
from pki.services import authorities, ca_log, revocation, root_queue, server_certificates, signing_requests
from pki.services.server_certificates import Issued, Wanted
from pki.states import ProfileName, RevocationReason
from tests.keys import load_keys
from tests.pki.tools import lint, read_csr, spki_of, verify_chain

UUID = "0f2e4c1a-6b7d-4e8f-9a0b-1c2d3e4f5a6b"
LCS = load_keys()[8]
Issue = Callable[..., Issued]


@pytest.fixture
def issue(hierarchy: None, now: datetime) -> Issue:
    def make(profile: ProfileName, **fields: object) -> Issued:
        wanted = Wanted(**{"profile": profile, "common_name": UUID, "spki_der": spki_of(LCS)} | fields)  # type: ignore[arg-type]
        issued = server_certificates.sign_intents(server_certificates.prepare_certificates([wanted], now=now))
        with transaction.atomic():
            server_certificates.record_issued(issued, now=now)
        return issued[0]

    return make


@pytest.fixture
def trust(hierarchy: None, tmp_path: Path) -> dict[str, Path]:
    return {path.stem: path for path in authorities.export_trust(tmp_path / "trust")}


@pytest.fixture
def three_tier(hierarchy: None, now: datetime) -> str:
    """The local CA's certificate by the root."""
    with transaction.atomic():
        request = root_queue.enqueue_request(
            profile=ProfileName.LOCAL_SUB_CA_3_TIER,
            common_name="On-Prem " + UUID,
            spki_der=spki_of(LCS),
            due_at=now,
            now=now,
        )
    assert root_queue.sign_due(now=now) == 1
    request.refresh_from_db()
    assert request.certificate is not None
    return encode_pem(bytes(request.certificate.der))


def save(folder: Path, name: str, pem: str) -> Path:
    path = folder / f"{name}.pem"
    path.write_text(pem)
    return path


def certify_product(issuer_pem: str, now: datetime) -> str:
    """A product's certificate as the local CA signs it."""
    issuer = x509.load_pem_x509_certificate(issuer_pem.encode())
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key = load_keys()[3].public_key()
    aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "C9300:FCW1")]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(aki, critical=False)
        .sign(LCS, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


def test_openssl_accepts_a_product_in_both_chains(
    issue: Issue, three_tier: str, trust: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    four = issue(ProfileName.LOCAL_SUB_CA, common_name="On-Prem " + UUID).pem
    product = save(tmp_path, "product", certify_product(four, now))
    local_four, local_three = save(tmp_path, "four", four), save(tmp_path, "three", three_tier)
    for between in ([local_four, trust["satellite-ca"]], [local_three]):
        result = verify_chain(product, root=trust["root"], between=between, at=now)
        assert result.returncode == 0, result.stderr
    broken = verify_chain(product, root=trust["root"], between=[local_four], at=now)
    assert broken.returncode != 0


def test_a_local_authority_certifies_no_further_authority(issue: Issue, three_tier: str) -> None:
    for pem in (issue(ProfileName.LOCAL_SUB_CA).pem, three_tier):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length) == (True, 0)
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=1826)
        assert lint(pem) == []


@pytest.mark.parametrize(
    ("profile", "fields", "issuer", "purpose"),
    [
        (ProfileName.SERVER_ID, {}, "sub-ca", "sslclient"),
        (ProfileName.MESSAGE_SIGNING, {"spki_der": None}, "sub-ca", None),
        (ProfileName.SERVER_TLS, {"host_names": ("plant7.example", "10.0.0.7", "fd00::7")}, "tg-issuer", "sslserver"),
    ],
)  # fmt: skip
def test_openssl_and_pkilint_accept_the_servers_own_certificates(
    issue: Issue,
    trust: dict[str, Path],
    tmp_path: Path,
    now: datetime,
    profile: ProfileName,
    fields: dict[str, object],
    issuer: str,
    purpose: str | None,
) -> None:
    pem = issue(profile, **fields).pem
    leaf = save(tmp_path, "leaf", pem)
    result = verify_chain(leaf, root=trust["root"], between=[trust[issuer]], at=now, purpose=purpose)
    assert result.returncode == 0, result.stderr
    assert lint(pem) == []


def test_the_id_certificate_of_a_server_cannot_pass_for_one_that_signs_messages(issue: Issue) -> None:
    certificate = x509.load_pem_x509_certificate(issue(ProfileName.SERVER_ID).pem.encode())
    assert certificate.subject.rfc4514_string() == f"CN={UUID}"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(
    "names",
    [(), ("*.acme.example",), ("UPPER.example",), ("a b",), ("a_b",), ("-a",), ("1.2.3",), ("010.0.0.1",), ("ä",)],
)
def test_names_that_are_no_host_are_not_certified(hierarchy: None, now: datetime, names: tuple[str, ...]) -> None:
    wanted = Wanted(ProfileName.SERVER_TLS, "x", spki_of(LCS), host_names=names)
    intents = server_certificates.prepare_certificates([wanted], now=now)
    with pytest.raises((ProfileViolation, ValueError)):
        server_certificates.sign_intents(intents)
    assert Certificate.objects.count() == 5  # the authorities


def test_another_authority_does_not_sign_them(hierarchy: None, now: datetime) -> None:
    [intent] = server_certificates.prepare_certificates([Wanted(ProfileName.LOCAL_SUB_CA, "x", spki_of(LCS))], now=now)
    with pytest.raises(ProfileViolation, match="does not issue"):
        signing_requests.sign_request(intent.request, replace(intent.plan, profile=ProfileName.LOCAL_SUB_CA_3_TIER))


def test_a_key_of_ours_belongs_to_the_signing_certificate(issue: Issue) -> None:
    issued = issue(ProfileName.MESSAGE_SIGNING, spki_der=None)
    assert issued.key is not None
    assert StoredKey.objects.filter(pk=issued.key.id).exists()


def test_only_who_will_be_an_authority_may_ask_for_it() -> None:
    pem = read_csr("authority")
    with pytest.raises(CsrInvalid):
        parse_csr(pem)
    assert parse_csr(pem, authority=True).key_bits == 2048


def test_revoked_certificates_are_in_the_log_once(issue: Issue, now: datetime) -> None:
    issue(ProfileName.SERVER_ID)
    serials = list(Certificate.objects.filter(profile=ProfileName.SERVER_ID).values_list("serial", flat=True))
    reason = RevocationReason.SUPERSEDED
    assert revocation.revoke_certificates(serials=serials, reason=reason, now=now) == 1
    assert revocation.revoke_certificates(serials=serials, reason=reason, now=now) == 0
    ca_log.seal_ca_log(now=now)
    assert ca_log.verify_ca_log().problems == ()
