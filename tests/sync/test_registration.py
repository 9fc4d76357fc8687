# ruff: noqa: E501  the table of bad files has one row for each
"""A registration file in, an authorization file out; who may, and what is refused."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from cryptography import x509
from django.apps import apps
from pytest_django import Settings

from accounts.models import Event, Membership, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError, Forbidden
from cssm.common.permissions import Role
from pki.models import Certificate, Revocation, RootRequest
from pki.services import authorities as pki_authorities
from sync.models import Exchange, OnPremServer, ServerCertificate
from sync.services import certificates
from sync.services.servers import remove_server
from sync.services.storage import StoredFile
from sync.states import Side
from tests.keys import load_keys
from tests.pki.tools import read_csr, verify_chain
from tests.programs import run_openssl
from tests.sync.conftest import Plant, read_response
from tests.sync.files import Server, make_csr, sign

EIGHT = {
    ":id_cert", ":sub_ca_cert", ":signing_cert", ":local_sub_ca_cert_1_1", ":tg_ssl_cert", ":tg_issuer_cert",
    ":satellite_cert", ":ssms_ssl_cert",
}  # fmt: skip


def count_rows() -> dict[str, int]:
    """Everything of ours but signing requests, which are voided when nothing came of them."""
    models = [
        model
        for label in ("sync", "licensing", "accounts", "alerts")
        for model in apps.get_app_config(label).get_models()
    ]
    return {model._meta.label: model._default_manager.count() for model in models} | {
        "certificates": Certificate.objects.count()
    }


def refusal(plant: Plant, data: bytes, **options: Any) -> DomainError:
    before = count_rows()
    with pytest.raises(DomainError) as caught:
        plant.register(data, **options)
    assert count_rows() == before
    return caught.value


def test_the_authorization_file_holds_all_eight_certificates(plant: Plant):
    response = read_response(plant.register())
    assert response.keys() & {":local_sub_ca_cert"} == set()
    assert response.keys() >= EIGHT
    assert {key: response[key] for key in (":type", ":status", ":uuid", ":account_domain", ":satellite_name")} == {
        ":type": "authorization_response",
        ":status": "SUCCESS",
        ":uuid": plant.server.uuid,
        ":account_domain": "acme.example",
        ":satellite_name": "Plant 7",
    }
    account = response[":synchronization"][":virtual_accounts"][0]
    assert (account[":name"], account[":licenses"]) == ("Engineering", [])
    assert response[":synchronization"][":third_party_providers"] == [
        {":provider": name, ":enabled": "true", ":keys": [{":name": "server", ":value": ANY}]}
        for name in ("SPEECHVIEW", "APNS", "PNP")
    ]


def test_openssl_verifies_the_file_and_every_chain(plant: Plant, tmp_path: Path, now: datetime):
    exchange = plant.register()
    data = b"".join(StoredFile(exchange, Side.RESPONSE))
    assert len(data) == exchange.response_size
    content, _, trailer = data.rpartition(b"---\n")
    cert, signature = (base64.b64decode(line.split(b'"')[1]) for line in trailer.splitlines())
    for name, part in (("content", content), ("signature", signature), ("cert.pem", cert)):
        (tmp_path / name).write_bytes(part)
    public = run_openssl("x509", "-in", tmp_path / "cert.pem", "-pubkey", "-noout")
    (tmp_path / "key.pem").write_text(public.stdout)
    verified = run_openssl(
        "dgst", "-sha256", "-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature", tmp_path / "content"
    )
    assert verified.stdout.strip() == "Verified OK"
    response = read_response(exchange)
    for name, pem in response.items():
        if name.endswith(("_cert", "_1_1")):
            (tmp_path / f"{name[1:]}.pem").write_text(pem)
    root = pki_authorities.export_trust(tmp_path / "trust")[0]
    for leaf, issuer in (
        ("id_cert", "sub_ca_cert"),
        ("signing_cert", "sub_ca_cert"),
        ("local_sub_ca_cert_1_1", "satellite_cert"),
        ("tg_ssl_cert", "tg_issuer_cert"),
        ("ssms_ssl_cert", "tg_issuer_cert"),
    ):
        result = verify_chain(tmp_path / f"{leaf}.pem", root=root, between=[tmp_path / f"{issuer}.pem"], at=now)
        assert result.returncode == 0, (leaf, result.stderr)


def test_names_for_https_are_those_of_the_csr(plant: Plant):
    response = read_response(plant.register())
    names = []
    for key in (":tg_ssl_cert", ":ssms_ssl_cert"):
        certificate = x509.load_pem_x509_certificate(response[key].encode())
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names.append(san.get_values_for_type(x509.DNSName))
    assert names == [["plant7.acme.example"], ["plant7.acme.example", "ui.plant7.acme.example"]]


def test_people_are_told_that_the_file_is_ready(plant: Plant, now: datetime):
    plant.register()
    dispatch(now=now)
    alert = Alert.objects.get()
    assert (alert.type, alert.cleared_at) == ("on_prem_authorization_file_ready", None)
    assert Event.objects.filter(name="onprem.registered").count() == 1


def test_the_same_bytes_give_the_same_file_and_no_second_effect(plant: Plant):
    data = plant.server.registration()
    first = plant.register(data)
    before = count_rows()
    again = plant.register(data)
    assert again.pk == first.pk
    assert count_rows() == before


def test_a_restored_server_with_its_key_is_given_a_new_file(registered: Plant, now: datetime):
    old = registered.server.id_cert
    later = now + timedelta(hours=1)
    registered.register(
        sign(registered.server.registration_content().replace("09:00", "09:30"), registered.server.key), now=later
    )
    assert registered.server.id_cert != old
    assert not Revocation.objects.exists()
    assert RootRequest.objects.count() == 1
    assert registered.row.three_tier is not None
    assert registered.row.three_tier.due_at == now + timedelta(hours=48)


def test_another_key_must_be_confirmed_and_begins_anew(registered: Plant, now: datetime):
    registered.server.key = load_keys()[7]
    data = registered.server.registration()
    error = refusal(registered, data)
    assert (error.code, type(error)) == ("CONFIRMATION_REQUIRED", Conflict)
    later = now + timedelta(hours=5)
    registered.register(data, confirmed=True, now=later)
    row = registered.row
    assert (row.registration, row.three_tier.due_at) == (2, later + timedelta(hours=48))  # type: ignore[union-attr]
    assert ServerCertificate.objects.filter(revoked_at__isnull=False).count() == Revocation.objects.count() == 5
    assert list(RootRequest.objects.order_by("pk").values_list("state", flat=True)) == ["cancelled", "waiting"]


def test_the_same_file_registers_a_removed_server_anew(registered: Plant, admin_actor: Actor, now: datetime):
    data = registered.server.registration()
    first = Exchange.objects.get()
    remove_server(actor=admin_actor, server=registered.row, now=now)
    again = registered.register(data, now=now + timedelta(hours=1))
    assert again.pk != first.pk
    assert (registered.row.state, registered.row.registration) == ("registered", 2)


def test_who_may_not_manage_the_servers_account_cannot_register_it_anew(
    registered: Plant, acme: SmartAccount, now: datetime
):
    sales = VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=now)
    dave = User.objects.create_user("dave@acme.example", None, date_joined=now)
    Membership.objects.create(user=dave, smart_account=acme, virtual_account=sales, role=Role.VA_ADMIN, created_at=now)
    registered.server.key = load_keys()[7]
    error = refusal(
        registered, registered.server.registration(), actor=actor_for_user(dave), virtual_account=sales, confirmed=True
    )
    assert isinstance(error, Forbidden)


def test_a_server_of_another_smart_account_is_not_taken_over(
    registered: Plant, umbrella: SmartAccount, mallory: User, now: datetime
):
    other = Plant(actor_for_user(mallory), VirtualAccount.objects.get(smart_account=umbrella), now)
    other.server.host = "plant.umbrella.example"
    error = refusal(other, other.server.registration(), confirmed=True)
    assert (error.code, isinstance(error, Conflict)) == ("SERVER_REGISTERED_ELSEWHERE", True)


def test_another_virtual_account_is_a_mismatch(registered: Plant, default_va: VirtualAccount):
    content = registered.server.registration_content().replace("09:00", "09:01")
    error = refusal(registered, sign(content, registered.server.key), virtual_account=default_va)
    assert error.code == "ACCOUNT_MISMATCH"


@pytest.mark.parametrize("role", [Role.VA_VIEWER])
def test_who_only_views_cannot_register(plant: Plant, carol: User, role: Role):
    assert isinstance(refusal(plant, plant.server.registration(), actor=actor_for_user(carol)), Forbidden)


Change = Callable[[Server], bytes]
BAD: dict[str, tuple[Change, str, str]] = {
    "signature of another file": (lambda s: s.registration_content().replace("Plant 7", "Plant 8").encode() + b"---\n" + s.registration().rpartition(b"---\n")[2], "SIGNATURE_INVALID", ""),
    "signature by another key": (lambda s: sign(s.registration_content(), load_keys()[1]), "SIGNATURE_INVALID", ""),
    "signature removed": (lambda s: s.registration_content().encode(), "SIGNATURE_INVALID", ""),
    "other line ends": (lambda s: s.registration().replace(b"\n", b"\r\n"), "SIGNATURE_INVALID", ""),
    "a certificate where none belongs": (lambda s: sign(s.registration_content(), s.key, "x"), "CERTIFICATE_INVALID", ""),
    "cut off": (lambda s: s.registration()[:-300], "SIGNATURE_INVALID", ""),
    "two contents": (lambda s: sign(s.registration_content() + "---  \n" + s.registration_content(), s.key), "FORBIDDEN_YAML", ""),
    "unknown key": (lambda s: sign(s.registration_content() + ":colour: blue\n", s.key), "UNKNOWN_KEY", ":colour:"),
    "tag": (lambda s: sign(s.registration_content() + ":extensions: !ruby/object:Gem {}\n", s.key), "FORBIDDEN_YAML", ""),
    "no uuid": (lambda s: sign(s.registration_content().replace(s.uuid, "seven"), s.key), "WRONG_TYPE", ":instance_id:"),
    "too large": (lambda s: sign(s.registration_content() + ":extensions:\n" + "".join(f"  k{n}: {'x' * 1000}\n" for n in range(600)), s.key), "TOO_LARGE", ""),
    "synchronization file": (lambda s: sign(":format: cssm-onprem/1\n:type: synchronization_request\n", s.key), "UNSUPPORTED_FORMAT", ":type:"),
    "weak tg key": (lambda s: s.registration(tg_csr=read_csr("rsa1024")), "CSR_INVALID", ":tg_csr:"),
    "known weak key": (lambda s: s.registration(ssms_csr=read_csr("roca")), "CSR_INVALID", ":ssms_csr:"),
    "one key twice": (lambda s: s.registration(ssms_csr=make_csr(s.tg_key, "x.example")), "CSR_INVALID", ":ssms_csr:"),
    "the LCS key for https": (lambda s: s.registration(tg_csr=make_csr(s.key, "x.example")), "CSR_INVALID", ":tg_csr:"),
    "our name": (lambda s: s.registration(tg_csr=make_csr(s.tg_key, "Portal.example")), "CSR_INVALID", ":tg_csr:"),
    "a host of ours": (lambda s: s.registration(ssms_csr=make_csr(s.ssms_key, "x", names=("a.example", "alt.portal.example"))), "CSR_INVALID", ":ssms_csr:"),
    "wildcard": (lambda s: s.registration(tg_csr=make_csr(s.tg_key, "*.acme.example")), "CSR_INVALID", ":tg_csr:"),
    "no host name": (lambda s: s.registration(tg_csr=make_csr(s.tg_key, "Plant Seven")), "CSR_INVALID", ":tg_csr:"),
    "no csr": (lambda s: s.registration(lcs_csr="-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"), "CSR_INVALID", ":lcs_csr:"),
    "https authority": (lambda s: s.registration(tg_csr=read_csr("authority")), "CSR_INVALID", ":tg_csr:"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_and_leaves_nothing(plant: Plant, name: str, settings: Settings):
    settings.PUBLIC_URL = "https://portal.example"
    settings.ALLOWED_HOSTS = ["portal.example", ".portal.example"]
    change, code, key = BAD[name]
    error = refusal(plant, change(plant.server))
    problem = error.details["errors"][0]
    assert (error.code, problem["code"]) == (code, code)
    assert problem["key"] == key or not key
    assert problem["message"]


def test_a_key_or_name_of_another_server_is_refused(
    registered: Plant,
    umbrella: SmartAccount,
    mallory: User,
    admin_actor: Actor,
    engineering: VirtualAccount,
    now: datetime,
):
    shared = Plant(admin_actor, engineering, now, uuid="11111111-1111-4111-8111-111111111111")
    assert refusal(shared, shared.server.registration()).code == "CSR_INVALID"
    keys = load_keys()
    foreign = Plant(
        actor_for_user(mallory),
        VirtualAccount.objects.get(smart_account=umbrella),
        now,
        uuid="11111111-1111-4111-8111-111111111111",
        key=keys[3],
        tg_key=keys[4],
        ssms_key=keys[5],
    )
    error = refusal(foreign, foreign.server.registration())
    assert "another Smart Account" in error.message
    foreign.server.host = "plant7.umbrella.example"
    foreign.register()
    assert OnPremServer.objects.count() == 2


def test_a_name_that_another_customer_gets_while_ones_certificates_are_signed_is_refused(
    plant: Plant, umbrella: SmartAccount, mallory: User, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    keys, issue = load_keys(), certificates.issue_batch
    quicker = Plant(
        actor_for_user(mallory),
        VirtualAccount.objects.get(smart_account=umbrella),
        now,
        uuid="11111111-1111-4111-8111-111111111111",
        key=keys[3],
        tg_key=keys[4],
        ssms_key=keys[5],
    )

    def issue_after_the_other(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(certificates, "issue_batch", issue)
        quicker.register()
        return issue(*args, **options)

    monkeypatch.setattr(certificates, "issue_batch", issue_after_the_other)
    with pytest.raises(DomainError, match="held by a server of another Smart Account"):
        plant.register()
    assert OnPremServer.objects.get().smart_account == umbrella


def test_files_are_encrypted_at_rest(registered: Plant):
    exchange = Exchange.objects.get()
    stored = b"".join(bytes(part.data) for part in exchange.parts.all())
    assert b"BEGIN CERTIFICATE" not in stored
    assert b"".join(StoredFile(exchange, Side.REQUEST)).startswith(b":format: cssm-onprem/1\n")
