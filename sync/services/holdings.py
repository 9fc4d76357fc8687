"""What a server holds, for people to look at: its certificates, and what it tells of its devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from licensing.models import ProductInstance
from pki.crypto.certificates import encode_pem, format_serial, load_certificate
from pki.services.authorities import get_authority
from sync.models import OnPremServer, ServerCertificate
from sync.services.certificates import AUTHORITIES
from sync.states import AUTHORITY_LABELS, CertificateKind


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate in the server's files; `key` is its name there, `is_own` whether it was issued for it."""

    key: str
    label: str
    subject: str
    serial: str
    not_after: datetime
    pem: str
    is_own: bool
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """Of how many of its devices the server sends what privacy switches can keep back."""

    instances: int
    hostnames: int
    ip_addresses: int
    mac_addresses: int


def list_certificates(server: OnPremServer) -> list[Held]:
    """The latest of each kind of the present registration, then those of the authorities above them. What was signed by
    the root is among them once it was."""
    own = ServerCertificate.objects.filter(server=server, registration=server.registration)
    latest = {row.kind: row for row in own.select_related("certificate").order_by("pk")}
    found = {
        kind: (bytes(latest[kind].certificate.der), latest[kind].revoked_at)
        for kind in CertificateKind
        if kind in latest
    }
    by_root = server.three_tier.certificate if server.three_tier is not None else None
    if by_root is not None:
        found[CertificateKind.LOCAL_SUB_CA_3_TIER] = bytes(by_root.der), server.removed_at
    return [
        *(_describe(kind.value, kind.label, der, True, revoked) for kind, (der, revoked) in found.items()),
        *_describe_authorities(),
    ]


def describe_shared(server: OnPremServer) -> Shared:
    """What its last files told of the devices that it has now."""
    active = ProductInstance.objects.active().filter(origin=server.origin_id)
    return Shared(
        **active.aggregate(
            instances=Count("pk"),
            hostnames=Count("pk", filter=~Q(hostname="")),
            ip_addresses=Count("pk", filter=~Q(ip_address="")),
            mac_addresses=Count("pk", filter=~Q(mac_address="")),
        )
    )


def _describe_authorities() -> Iterator[Held]:
    for name, authority in AUTHORITIES.items():
        der = bytes(get_authority(authority).certificate_der)
        yield _describe(name, AUTHORITY_LABELS[name], der, False, None)


def _describe(key: str, label: str, der: bytes, is_own: bool, revoked_at: datetime | None) -> Held:
    certificate = load_certificate(der)
    return Held(
        key=key,
        label=label,
        subject=certificate.subject.rfc4514_string(),
        serial=format_serial(certificate.serial_number),
        not_after=certificate.not_valid_after_utc,
        pem=encode_pem(der),
        is_own=is_own,
        revoked_at=revoked_at,
    )
