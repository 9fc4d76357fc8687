"""Every on-prem server holds authorities below our root, and can issue what OpenSSL verifies to it, in any name. Only
what our records say we issued to a server may speak for it.
"""

import base64
import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.test import Client

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from cssm.common.actor import Actor
from cssm.common.errors import DomainError
from licensing.models import License, ProductInstance
from pki.models import Authority
from pki.services import root_queue
from pki.states import AuthorityName
from sync.models import Exchange
from sync.services.inbox import take_file
from tests.keys import load_keys
from tests.programs import run_openssl
from tests.sync.conftest import Plant, pieces, read_response
from tests.sync.files import account, instance, sign

WAIT = timedelta(hours=48)
HOLDERS = ("the same customer", "another customer")
TIERS = ("local_sub_ca_cert_1_1", "local_sub_ca_cert")


@pytest.fixture(params=HOLDERS)
def attacker(
    request: pytest.FixtureRequest,
    registered: Plant,
    engineering: VirtualAccount,
    umbrella: SmartAccount,
    mallory: User,
    now: datetime,
) -> Plant:
    """Another server, registered as it should be; it has both of its authorities."""
    keys = load_keys()
    theirs = VirtualAccount.objects.get(smart_account=umbrella)
    actor, place = (registered.actor, engineering) if request.param == HOLDERS[0] else (actor_for_user(mallory), theirs)
    other = Plant(
        actor, place, now, uuid="11111111-1111-4111-8111-111111111111", host="plant8.acme.example",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    other.register()
    assert root_queue.sign_due(now=now + WAIT) == 2
    return other


@pytest.fixture(params=TIERS)
def authority(request: pytest.FixtureRequest, attacker: Plant) -> x509.Certificate:
    response = read_response(attacker.upload(attacker.write(account(1, attacker.virtual_account.name))))
    attacker.server.install(response)
    return x509.load_pem_x509_certificate(response[f":{request.param}"].encode())


@pytest.fixture
def forged(registered: Plant, attacker: Plant, authority: x509.Certificate) -> str:
    """Our server's id_cert with every name, serial and extension; only key and issuer are the attacker's."""
    real = x509.load_pem_x509_certificate(registered.server.id_cert.encode())
    assert real.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == registered.server.uuid
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(authority.subject)
        .public_key(attacker.server.key.public_key())
        .serial_number(real.serial_number)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
    )
    for extension in real.extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityKeyIdentifier):
            value = x509.AuthorityKeyIdentifier.from_issuer_public_key(attacker.server.key.public_key())
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(attacker.server.key.public_key())
        builder = builder.add_extension(value, critical=extension.critical)
    return builder.sign(attacker.server.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def file_of(registered: Plant, id_cert: str, key: rsa.RSAPrivateKey) -> bytes:
    """What the server would write next, signed with `key`."""
    registered.server.id_cert, real = id_cert, registered.server.id_cert
    content = registered.server.synchronization_content(
        account(1, "Engineering", instance(7, uses={"tag_a": 1})), generated="2026-03-02T12:00:00Z"
    )
    registered.server.id_cert = real
    return sign(content, key, id_cert)


def test_openssl_would_believe_it(forged: str, authority: x509.Certificate, tmp_path: Path, now: datetime) -> None:
    """The positive control: the forgery is as good as can be made."""
    root, middle = (
        x509.load_der_x509_certificate(bytes(Authority.objects.get(name=name).certificate_der))
        for name in (AuthorityName.ROOT, AuthorityName.SATELLITE_CA)
    )
    between = authority.public_bytes(Encoding.PEM) + middle.public_bytes(Encoding.PEM)
    for name, content in {
        "root": root.public_bytes(Encoding.PEM), "between": between, "forged": forged.encode()
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    moment = str(int((now + WAIT).timestamp()))
    done = run_openssl(
        "verify", "-x509_strict", "-attime", moment, "-CAfile", tmp_path / "root", "-untrusted", tmp_path / "between",
        tmp_path / "forged",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_signed_with_it_is_refused_by_every_way(
    registered: Plant, attacker: Plant, forged: str, license: License, acme: SmartAccount, admin_actor: Actor,
    now: datetime,
) -> None:  # fmt: skip
    applied = Exchange.objects.applied().count()
    for data in (
        file_of(registered, forged, attacker.server.key),
        # The attacker has seen a file of ours: the real certificate beside a signature by another key.
        file_of(registered, registered.server.id_cert, attacker.server.key),
    ):
        with pytest.raises(DomainError) as refused:
            registered.upload(data, now=now + WAIT)
        assert refused.value.code in {"CERTIFICATE_INVALID", "SIGNATURE_INVALID"}
        received = take_file(
            actor=attacker.actor,
            smart_account=attacker.row.smart_account,
            name="x",
            chunks=pieces(data),
            now=now + WAIT,
        )
        assert received.problems
        assert call_over_network(registered, data, attacker.server.key, now) == 401
    assert (Exchange.objects.applied().count(), ProductInstance.objects.count()) == (applied, 0)
    registered.upload(file_of(registered, registered.server.id_cert, registered.server.key), now=now + WAIT)
    assert ProductInstance.objects.count() == 1, "the very file, signed by our server, is taken"


def call_over_network(plant: Plant, data: bytes, key: rsa.RSAPrivateKey, now: datetime) -> int:
    path, stamp = f"/onprem/v1/{plant.server.uuid}/synchronizations", str(int(now.timestamp() * 1000))
    text = f"POST\n{path}\n{stamp}\n{hashlib.sha256(data).hexdigest()}".encode()
    signature = base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    headers = {"X-OnPrem-Timestamp": stamp, "X-OnPrem-Signature": signature}
    return Client().post(path, data, content_type="application/yaml", headers=headers).status_code
