"""Revocation: what is revoked is in the next list, lists are made in time, and OpenSSL reads them as we do."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from django.db import DatabaseError, transaction
from django.test import Client

from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import Forbidden, Invalid
from pki.errors import AuthorityMissing, IssuingStopped, KeyBlocked, PassphraseMissing
from pki.models import Authority, IssuingChange, Revocation, RevocationList
from pki.services import authorities, ca_log, issuing
from pki.services.crls import make_crls, make_root_crl
from pki.services.revocation import revoke_certificates
from pki.states import AuthorityName, LogKind, RevocationReason
from tests.keys import load_keys
from tests.pki.tools import spki_of

SUB_CA = AuthorityName.PRODUCT_SUB_CA


def fetch(name):
    response = Client().get(f"/pki/{name}.crl")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/pkix-crl")
    return x509.load_der_x509_crl(response.content)


def revoke(issued, now, reason=RevocationReason.CESSATION):
    return revoke_certificates(serials=[issued.id_cert_serial], key_ids=[issued.signing_key.id], reason=reason, now=now)


def test_both_certificates_of_a_product_are_in_the_next_list(issue, now):
    issued = issue()
    make_crls(now=now)
    assert len(fetch(SUB_CA)) == 0
    assert revoke(issued, now) == 2
    assert make_crls(now=now) == 1
    found = {f"{each.serial_number:x}" for each in fetch(SUB_CA)}
    assert found == {issued.id_cert_serial, issued.signing_cert_serial}
    assert revoke(issued, now) == 0
    assert make_crls(now=now) == 0


def test_a_list_is_signed_numbered_and_says_when_the_next_one_comes(issue, now):
    revoke(issue(), now, RevocationReason.KEY_COMPROMISE)
    make_crls(now=now)
    crl = fetch(SUB_CA)
    issuer = x509.load_pem_x509_certificate(authorities.sub_ca_pem().encode())
    assert crl.is_signature_valid(issuer.public_key())
    assert crl.issuer == issuer.subject
    assert crl.next_update_utc - crl.last_update_utc == timedelta(days=7)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1
    [first, _] = crl
    assert first.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise


def test_lists_are_made_anew_half_way_through_their_life(hierarchy, now):
    assert make_crls(now=now) == 3
    assert make_crls(now=now + timedelta(days=3)) == 0
    assert make_crls(now=now + timedelta(days=4)) == 3
    assert RevocationList.objects.filter(authority__name=SUB_CA).latest("number").number == 2


def test_the_root_s_list_is_good_for_a_year_and_made_only_by_who_has_the_passphrase(hierarchy, now, settings):
    passphrase, settings.ROOT_KEY_PASSPHRASE = settings.ROOT_KEY_PASSPHRASE, ""
    assert make_root_crl(now=now) == 0
    assert Client().get("/pki/root.crl").status_code == 404
    settings.ROOT_KEY_PASSPHRASE = passphrase
    assert make_root_crl(now=now) == 1
    crl = fetch("root")
    assert crl.next_update_utc - crl.last_update_utc == timedelta(days=365)
    assert make_root_crl(now=now + timedelta(days=100)) == 0
    assert make_root_crl(now=now + timedelta(days=190)) == 1


def test_openssl_refuses_a_revoked_certificate_and_accepts_its_neighbour(issue, now, tmp_path: Path):
    kept, gone = issue(), issue("C9300-24UX:OTHER", "OTHER", key=2)
    revoke(gone, now)
    make_crls(now=now)
    make_root_crl(now=now)
    (tmp_path / "root.pem").write_text(authorities.read_pem(AuthorityName.ROOT))
    (tmp_path / "chain.pem").write_text(Client().get("/pki/sub-ca.pem").content.decode())
    for name in ("root", "sub-ca"):
        der = tmp_path / f"{name}.der"
        der.write_bytes(Client().get(f"/pki/{name}.crl").content)
        command = ["openssl", "crl", "-inform", "DER", "-in", der, "-out", tmp_path / f"{name}.crl"]
        subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "crls.pem").write_text((tmp_path / "root.crl").read_text() + (tmp_path / "sub-ca.crl").read_text())

    def verify(pem):
        (tmp_path / "leaf.pem").write_text(pem)
        command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-attime", str(int(now.timestamp()) + 60)]
        command += ["-CAfile", "root.pem", "-untrusted", "chain.pem", "-CRLfile", "crls.pem", "leaf.pem"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert verify(kept.id_cert_pem).returncode == 0
    refused = verify(gone.id_cert_pem)
    assert refused.returncode != 0
    assert "revoked" in refused.stdout + refused.stderr


def test_what_has_ended_is_named_once_more_and_then_no_more(issue, now):
    revoke(issue(), now)
    make_crls(now=now)
    make_crls(now=now + timedelta(days=370))
    assert len(fetch(SUB_CA)) == 2
    make_crls(now=now + timedelta(days=380))
    assert len(fetch(SUB_CA)) == 0


def test_certificates_name_where_these_things_are(issue, now):
    certificate = x509.load_pem_x509_certificate(issue().id_cert_pem.encode())
    make_crls(now=now)
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    places = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    for url in (points[0].full_name[0].value, places[0].access_location.value):
        assert Client().get("/" + url.split("/", 3)[3]).status_code == 200


@pytest.mark.parametrize("path", ["nobody.crl", "nobody.pem", "reservation-signing.crl", "..%2fx.pem"])
def test_what_is_not_there_is_not_found(hierarchy, path):
    assert Client().get(f"/pki/{path}").status_code == 404


def test_a_chain_leads_to_the_root(hierarchy):
    content = Client().get("/pki/sub-ca.pem").content.decode()
    assert content == authorities.sub_ca_pem() + authorities.read_pem(AuthorityName.ROOT)
    assert Client().get("/pki/root.pem").content.decode() == authorities.read_pem(AuthorityName.ROOT)


def test_a_revocation_is_in_the_ca_log_and_never_taken_back(issue, now):
    revoke(issue(), now)
    ca_log.seal_ca_log(now=now)
    assert ca_log.verify_ca_log().problems == ()
    with pytest.raises(DatabaseError), transaction.atomic():
        Revocation.objects.all().delete()
    assert LogKind.REVOKED.label == "Revoked"


class TestSwitch:
    def test_while_it_is_off_nothing_is_issued_by_anyone(self, issue, now):
        issuing.stop_issuing(actor=SYSTEM, reason="drill", now=now)
        issuing.stop_issuing(actor=SYSTEM, reason="again", now=now)
        with pytest.raises(IssuingStopped):
            issue()
        issuing.resume_issuing(actor=SYSTEM, reason="over", now=now)
        issue()
        assert [each.stopped for each in IssuingChange.objects.order_by("pk")] == [True, False]

    def test_only_the_operator_turns_it(self, hierarchy, now):
        stranger = Actor.product("7f1c6a0e-0b0f-4d5e-9d2b-2f3f1f3c9a10")
        with pytest.raises(Forbidden):
            issuing.stop_issuing(actor=stranger, reason="", now=now)


def test_a_blocked_key_is_not_certified(issue, now):
    issuing.block_key(actor=SYSTEM, spki_der=spki_of(load_keys()[3]), reason="found on a forum", now=now)
    issuing.block_key(actor=SYSTEM, spki_der=spki_of(load_keys()[3]), reason="again", now=now)
    with pytest.raises(KeyBlocked):
        issue(key=3)
    issue(key=4)


class TestReplacement:
    def test_the_root_s_list_names_the_old_authority_and_a_new_one_issues(self, issue, now):
        old = x509.load_pem_x509_certificate(authorities.sub_ca_pem().encode())
        before = issue()
        authorities.replace_authority(name=SUB_CA, reason=RevocationReason.CA_COMPROMISE, now=now)
        assert [each.serial_number for each in fetch("root")] == [old.serial_number]
        after = issue("C9300-24UX:OTHER", "OTHER", key=2)
        assert after.sub_ca_pem != before.sub_ca_pem
        assert Authority.objects.filter(name=SUB_CA).count() == 2
        assert fetch(SUB_CA).is_signature_valid(x509.load_pem_x509_certificate(after.sub_ca_pem.encode()).public_key())

    def test_it_is_done_while_issuing_is_stopped_which_is_how_the_drill_begins(self, issue, now):
        issuing.stop_issuing(actor=SYSTEM, reason="drill", now=now)
        old = authorities.sub_ca_pem()
        authorities.replace_authority(name=SUB_CA, reason=RevocationReason.CA_COMPROMISE, now=now)
        assert authorities.sub_ca_pem() != old
        assert len(fetch("root")) == 1
        with pytest.raises(IssuingStopped):
            issue()

    def test_one_that_was_interrupted_is_brought_to_its_end_by_the_next(self, issue, now, monkeypatch):
        with monkeypatch.context() as broken:
            broken.setattr(authorities.signing_requests, "sign_request", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                authorities.replace_authority(name=SUB_CA, reason=RevocationReason.CA_COMPROMISE, now=now)
        with pytest.raises(AuthorityMissing):
            authorities.sub_ca_pem()
        authorities.replace_authority(name=SUB_CA, reason=RevocationReason.CA_COMPROMISE, now=now)
        assert len(fetch("root")) == 1
        assert Authority.objects.filter(name=SUB_CA).count() == 2
        issue()

    def test_the_root_cannot_be_replaced_nor_anything_without_the_passphrase(self, hierarchy, now, settings):
        with pytest.raises(Invalid):
            authorities.replace_authority(name=AuthorityName.ROOT, reason=RevocationReason.CA_COMPROMISE, now=now)
        settings.ROOT_KEY_PASSPHRASE = ""
        with pytest.raises(PassphraseMissing):
            authorities.replace_authority(name=SUB_CA, reason=RevocationReason.CA_COMPROMISE, now=now)
        assert not Revocation.objects.exists()
