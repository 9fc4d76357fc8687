"""Each of these certificates is built as asked and refused before it is signed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pki.crypto import certificates, messages
from pki.crypto.certificates import Plan, assemble, build_tbs, make_serial
from pki.crypto.profile_check import check_tbs
from pki.crypto.profiles import PROFILES
from pki.errors import ProfileViolation
from pki.states import ProfileName
from tests.keys import load_keys
from tests.pki.tools import lint, spki_of

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ROOT_KEY = load_keys(4096)[0]
SUB_KEY, PRODUCT_KEY, OTHER_KEY = load_keys()[:3]


def _sign(plan: Plan, key: Any) -> bytes:
    tbs = build_tbs(plan)
    check_tbs(tbs, plan)
    return assemble(tbs, messages.sign_message(key, tbs))


@cache
def _root() -> bytes:
    plan = Plan(ProfileName.ROOT, make_serial(), "Root", spki_of(ROOT_KEY), None, NOW)
    return _sign(plan, ROOT_KEY)


@cache
def _sub_ca() -> bytes:
    plan = Plan(
        ProfileName.PRODUCT_SUB_CA,
        make_serial(),
        "Sub",
        spki_of(SUB_KEY),
        _root(),
        NOW,
        "http://p.example/root.crl",
        "http://p.example/root.pem",
    )
    return _sign(plan, ROOT_KEY)


def _product(**changes: Any) -> Plan:
    plan = Plan(
        profile=ProfileName.PRODUCT_ID,
        serial=make_serial(),
        common_name="PID:SN",
        spki_der=spki_of(PRODUCT_KEY),
        issuer_der=_sub_ca(),
        now=NOW,
        crl_url="http://p.example/sub-ca.crl",
        issuer_url="http://p.example/sub-ca.pem",
        serial_number="SN",
        permanent_identifier="PID:SN",
    )
    return replace(plan, **changes)


def test_the_certificate_as_planned_is_accepted() -> None:
    der = _sign(_product(), SUB_KEY)
    assert certificates.is_signed_by(der, spki_of(SUB_KEY))
    assert not certificates.is_signed_by(der, spki_of(OTHER_KEY))


@pytest.mark.parametrize(
    ("difference", "where"),
    [
        ({"serial": make_serial()}, "serial number"),
        ({"common_name": "PID:OTHER"}, "subject"),
        ({"serial_number": "OTHER"}, "subject"),
        ({"permanent_identifier": "PID:OTHER"}, "permanent identifier"),
        ({"spki_der": spki_of(OTHER_KEY)}, "key"),
        ({"now": NOW + timedelta(days=400)}, "validity"),
        ({"now": NOW - timedelta(hours=1)}, "validity"),
        ({"crl_url": "http://elsewhere.example/x.crl"}, "revocation list"),
        ({"issuer_url": "http://elsewhere.example/x.pem"}, "issuer's certificate"),
        ({"profile": ProfileName.MESSAGE_SIGNING}, "subject"),
        ({"profile": ProfileName.PRODUCT_SUB_CA, "serial_number": None}, "lifetime"),
    ],
)
def test_bytes_that_differ_from_their_plan_are_refused(difference: dict[str, Any], where: str) -> None:
    plan = _product()
    with pytest.raises(ProfileViolation) as refusal:
        check_tbs(build_tbs(plan), replace(plan, **difference))
    assert refusal.value.where == where


@pytest.mark.parametrize(
    ("plan", "where"),
    [
        (_product(serial=2**63), "serial number"),
        (_product(now=NOW + timedelta(days=3400)), "outlives its issuer"),
        (_product(crl_url="https://p.example/sub-ca.crl"), "http places"),
        (_product(profile=ProfileName.PRODUCT_SUB_CA, issuer_der=_root(), spki_der=spki_of(ROOT_KEY)), "key"),
        (_product(profile=ProfileName.ROOT), "outlives its issuer"),
        (_product(profile=ProfileName.ROOT, now=NOW - timedelta(days=4000)), "issuer"),
        (_product(permanent_identifier=None), "extensions"),
        (_product(issuer_der=_sign(_product(), SUB_KEY)), "issuer is no authority"),
    ],
)
def test_a_plan_outside_its_profile_is_refused(plan: Plan, where: str) -> None:
    with pytest.raises(ProfileViolation) as refusal:
        check_tbs(build_tbs(plan), plan)
    assert refusal.value.where == where


def _rebuilt(*, ca: bool = False, extra: x509.ExtensionType | None = None, swap: bool = False) -> bytes:
    """The planned certificate with one extension changed behind the profile's back."""
    original = certificates.load_certificate(assemble(build_tbs(PLAN), bytes(256)))
    builder = x509.CertificateBuilder(
        original.issuer,
        original.subject,
        original.public_key(),
        original.serial_number,
        original.not_valid_before_utc,
        original.not_valid_after_utc,
    )
    for extension in original.extensions:
        value = (
            x509.BasicConstraints(True, None) if ca and extension.oid == x509.BasicConstraints.oid else extension.value
        )
        builder = builder.add_extension(value, extension.critical != swap)
    if extra is not None:
        builder = builder.add_extension(extra, critical=False)
    return builder.sign(OTHER_KEY, hashes.SHA256()).tbs_certificate_bytes


PLAN = _product()


@pytest.mark.parametrize(
    ("tbs", "where"),
    [
        (_rebuilt(ca=True), "basic constraints"),
        (_rebuilt(swap=True), "criticality"),
        (_rebuilt(extra=x509.OCSPNoCheck()), "extensions"),
        (_rebuilt(extra=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")), "extensions"),
    ],
)
def test_an_extension_that_the_profile_does_not_know_is_refused(tbs: bytes, where: str) -> None:
    with pytest.raises(ProfileViolation) as refusal:
        check_tbs(tbs, PLAN)
    assert refusal.value.where == where


@pytest.mark.parametrize("tbs", [b"", b"\x30\x00", build_tbs(PLAN)[:-1], build_tbs(PLAN) + b"\x05\x00"])
def test_bytes_that_are_no_certificate_are_refused(tbs: bytes) -> None:
    with pytest.raises(ProfileViolation):
        check_tbs(tbs, PLAN)


def test_every_profile_is_known() -> None:
    assert set(PROFILES) == set(ProfileName)


def test_the_linter_of_these_tests_does_find_something_in_a_bad_certificate() -> None:
    bad = x509.CertificateBuilder(
        x509.Name([]), x509.Name([]), OTHER_KEY.public_key(), 1, NOW, NOW + timedelta(days=1)
    ).add_extension(x509.BasicConstraints(True, 0), critical=False)
    pem = certificates.encode_pem(bad.sign(OTHER_KEY, hashes.SHA256()).public_bytes(Encoding.DER))
    assert lint(pem)
