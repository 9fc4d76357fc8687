"""The hierarchy: making it (idempotent, also when two do it at once), reading it, giving its certificates out."""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from cssm.common.compiled import CompiledModels
from cssm.common.errors import Invalid
from pki import keystore
from pki.crypto import certificates, profiles
from pki.crypto.certificates import Plan
from pki.errors import AuthorityMissing, PassphraseMissing, RequestClosed, Undecipherable
from pki.models import Authority
from pki.services import crls, signing_requests
from pki.services.revocation import revoke_certificates
from pki.states import AuthorityName, KeyAlgorithm, KeyPurpose, RevocationReason

__all__ = [
    "AuthorityName",
    "bootstrap_authorities",
    "export_trust",
    "find_problems",
    "get_authority",
    "read_pem",
    "sub_ca_pem",
]

COMMON_NAMES: Final = {
    AuthorityName.ROOT: "Smart Account Portal Licensing Root CA",
    AuthorityName.PRODUCT_SUB_CA: "Smart Account Portal Product Sub CA",
    AuthorityName.SATELLITE_CA: "Smart Account Portal On-Prem Sub CA",
    AuthorityName.TG_ISSUER: "Smart Account Portal Transport Gateway CA",
    AuthorityName.RESERVATION_SIGNING: "Smart Account Portal Reservation Signing",
}

_PRESENT: Final = CompiledModels(
    lambda: (
        Authority.objects.select_related("key")
        .filter(name="", replaced_at=None)
        .exclude(certificate_der=b"")
        .order_by("pk")
    )
)


def bootstrap_authorities(*, now: datetime) -> None:
    """Make what is missing of the hierarchy. Raises PassphraseMissing only if something is, for the root must sign it.

    Two at once end with one hierarchy: a name is taken by whoever stores its key first, its certificate by whoever
    records it first; the other's signing request is voided.
    """
    for name in AuthorityName:
        authority = Authority.objects.select_related("key").filter(name=name, replaced_at=None).first()
        if authority is not None and authority.certificate_der:
            continue
        if not settings.ROOT_KEY_PASSPHRASE:
            raise PassphraseMissing(f"Making '{name}' needs the root key: set ROOT_KEY_PASSPHRASE for this process.")
        _certify(authority or _make_authority(name, now), now)


def get_authority(name: AuthorityName) -> Authority:
    """The authority with its key, one query. Raises AuthorityMissing before `bootstrap`."""
    authority = _PRESENT.first(name.value, b"")
    if authority is None:
        raise AuthorityMissing(f"There is no '{name}' yet: run 'manage.py bootstrap'.")
    return authority


def replace_authority(*, name: AuthorityName, reason: RevocationReason, now: datetime) -> None:
    """Revoke an authority's certificate and make another of that name; the root's new list is made at once.

    What it has issued is worth nothing from then on: every path through it ends at a revoked certificate. One that was
    interrupted is brought to its end. Raises PassphraseMissing, AuthorityMissing, and Invalid for the root, on which
    everything rests.
    """
    if name is AuthorityName.ROOT:
        raise Invalid("The root cannot be replaced: every product trusts its certificate.", where="name")
    if not settings.ROOT_KEY_PASSPHRASE:
        raise PassphraseMissing(f"Replacing '{name}' needs the root key: set ROOT_KEY_PASSPHRASE for this process.")
    if not _is_interrupted(name):
        _retire(get_authority(name), reason, now)
    bootstrap_authorities(now=now)
    crls.make_root_crl(now=now)
    crls.make_crls(now=now)


def _is_interrupted(name: AuthorityName) -> bool:
    """Whether the last one of that name was replaced, and none is there that could issue."""
    known = Authority.objects.filter(name=name)
    present = known.filter(replaced_at=None).exclude(certificate_der=b"")
    return known.exclude(replaced_at=None).exists() and not present.exists()


def _retire(old: Authority, reason: RevocationReason, now: datetime) -> None:
    serial = certificates.format_serial(certificates.load_certificate(bytes(old.certificate_der)).serial_number)
    with transaction.atomic():
        revoke_certificates(serials=[serial], reason=reason, now=now)
        if not Authority.objects.filter(pk=old.pk, replaced_at=None).update(replaced_at=now):
            raise RequestClosed(f"'{old.name}' was replaced by another process meanwhile.")


def read_chain(name: AuthorityName) -> str:
    """The certificate of an authority and that of the root above it, PEM."""
    own = read_pem(name)
    return own if name is AuthorityName.ROOT else own + read_pem(AuthorityName.ROOT)


def read_pem(name: AuthorityName) -> str:
    """The certificate of an authority, PEM."""
    return certificates.encode_pem(bytes(get_authority(name).certificate_der))


def sub_ca_pem() -> str:
    """The certificate of the Product Sub CA, PEM."""
    return read_pem(AuthorityName.PRODUCT_SUB_CA)


def export_trust(directory: Path) -> list[Path]:
    """Write the certificate of each authority to `<directory>/<name>.pem`; returns the paths, the root's first."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in AuthorityName:
        path = directory / f"{name}.pem"
        unfinished = directory / f".{name}.pem.new"
        unfinished.write_text(read_pem(name), encoding="ascii")
        os.replace(unfinished, path)
        paths.append(path)
    return paths


def find_problems() -> list[str]:
    """Why this process cannot sign for products, in words; empty if it can. For the readiness page."""
    try:
        authority = get_authority(AuthorityName.PRODUCT_SUB_CA)
        keystore.sign_as_authority(authority.key.ref, b"readiness")
    except (AuthorityMissing, Undecipherable) as error:
        return [str(error)]
    return []


def _make_authority(name: AuthorityName, now: datetime) -> Authority:
    algorithm = KeyAlgorithm(profiles.PROFILES[profiles.AUTHORITY_PROFILES[name]].key)
    passphrase = settings.ROOT_KEY_PASSPHRASE if name is AuthorityName.ROOT else None
    new = keystore.make_key(algorithm)
    try:
        with transaction.atomic():
            key = keystore.keep_key(new, purpose=KeyPurpose.AUTHORITY, passphrase=passphrase, now=now)
            Authority.objects.create(name=name, key_id=key.id, created_at=now)
    except IntegrityError:
        # Another process took the name first; its key is the one, ours went with the transaction.
        pass
    return Authority.objects.select_related("key").get(name=name, replaced_at=None)


def _certify(authority: Authority, now: datetime) -> None:
    name = AuthorityName(authority.name)
    is_root = name is AuthorityName.ROOT
    issuer = authority if is_root else get_authority(AuthorityName.ROOT)
    crl_url, issuer_url = ("", "") if is_root else signing_requests.name_places(AuthorityName.ROOT)
    plan = Plan(
        profile=profiles.AUTHORITY_PROFILES[name],
        serial=certificates.make_serial(),
        common_name=COMMON_NAMES[name],
        spki_der=authority.key.ref.spki_der,
        issuer_der=None if is_root else bytes(issuer.certificate_der),
        now=now,
        crl_url=crl_url,
        issuer_url=issuer_url,
    )
    with transaction.atomic():
        # The switch keeps others from getting certificates. An authority is replaced while it is off, of all times.
        [request] = signing_requests.open_requests(
            [(plan, authority.key.ref)], issuer=issuer, now=now, although_stopped=True
        )
    signed = signing_requests.sign_request(request, plan, passphrase=settings.ROOT_KEY_PASSPHRASE)
    try:
        with transaction.atomic():
            signing_requests.close_requests([signed], now=now)
            if not Authority.objects.filter(pk=authority.pk, certificate_der=b"").update(certificate_der=signed.der):
                raise RequestClosed(f"'{name}' was certified by another process meanwhile.")
    except RequestClosed:
        signing_requests.void_requests([request], now=now)
