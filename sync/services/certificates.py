"""The certificates of one server: asked for by its CSRs, issued by profile, given out in every file."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from licensing.models import InstanceKey
from pki.crypto.certificates import encode_pem
from pki.crypto.csr import ParsedCsr, parse_csr
from pki.crypto.names import is_host_name
from pki.errors import CsrInvalid, KeyBlocked
from pki.models import RootRequest
from pki.services import root_queue, server_certificates
from pki.services.authorities import AuthorityName, read_pem
from pki.services.revocation import revoke_certificates
from pki.services.server_certificates import Issued, Wanted
from pki.states import ProfileName, RevocationReason
from sync.errors import FileCode, FileRefused, Problem
from sync.models import HostLock, KeyLock, OnPremServer, ServerCertificate, ServerHost
from sync.states import CertificateKind, ServerState

PROFILE_OF: Final = {
    CertificateKind.ID: ProfileName.SERVER_ID,
    CertificateKind.SIGNING: ProfileName.MESSAGE_SIGNING,
    CertificateKind.LOCAL_SUB_CA: ProfileName.LOCAL_SUB_CA,
    CertificateKind.TG_TLS: ProfileName.SERVER_TLS,
    CertificateKind.BROWSER_TLS: ProfileName.SERVER_TLS,
}
AUTHORITIES: Final = {
    "sub_ca_cert": AuthorityName.PRODUCT_SUB_CA,
    "satellite_cert": AuthorityName.SATELLITE_CA,
    "tg_issuer_cert": AuthorityName.TG_ISSUER,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One certificate to be issued; `spki_der` is None where the key is to be ours."""

    kind: CertificateKind
    common_name: str
    spki_der: bytes | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Signed certificates that still have to be recorded, with what they were ordered for."""

    orders: Sequence[Order]
    issued: Sequence[Issued]


def read_csr(pem: str, key: str, *, hosts: bool = False, authority: bool = False) -> ParsedCsr:
    """A CSR of a file. Raises `FileRefused` (CSR_INVALID) naming its key."""
    try:
        return parse_csr(pem, hosts=hosts, authority=authority)
    except CsrInvalid as error:
        raise _invalid(key, error.message) from None


def order_tls(csr: ParsedCsr, kind: CertificateKind, *, smart_account_id: int, key: str) -> Order:
    """A certificate for HTTPS: its names are the CSR's, else its common name. Raises `FileRefused` (CSR_INVALID) for
    wildcards, for names of this portal, and for those that a server of another Smart Account holds."""
    hosts = tuple(dict.fromkeys(name.lower() for name in csr.host_names or (csr.common_name,)))
    for host in hosts:
        if not is_host_name(host):
            raise _invalid(key, f"{host!r} is no DNS name or IP address (wildcards are not certified).")
        if is_own_host(host):
            raise _invalid(key, f"{host!r} is a name of this portal.")
    _refuse_held_hosts(hosts, smart_account_id=smart_account_id, key=key)
    return Order(kind, csr.common_name, csr.spki_der, hosts)


def is_own_host(host: str) -> bool:
    own = {(urlsplit(settings.PUBLIC_URL).hostname or "").lower(), *(name.lower() for name in settings.ALLOWED_HOSTS)}
    return any(host == name or (name.startswith(".") and f".{host}".endswith(name)) for name in own if name != "*")


def refuse_shared_keys(orders: Iterable[Order], *, server: OnPremServer | None) -> None:
    """Each key is of one purpose and one server. Raises `FileRefused` (CSR_INVALID)."""
    seen: dict[str, CertificateKind] = {}
    for digest, order in _list_keys(orders):
        if digest in seen:
            raise _invalid(_csr_key(order.kind), "Its key is also in another CSR of this file; make one key for each.")
        seen[digest] = order.kind
    taken = set(InstanceKey.objects.filter(public_key_digest__in=seen).values_list("public_key_digest", flat=True))
    used = ServerCertificate.objects.filter(csr_key_digest__in=seen).exclude(kind=CertificateKind.LOCAL_SUB_CA)
    for digest, holder, kind in used.values_list("csr_key_digest", "server", "kind"):
        if server is None or holder != server.pk:
            taken.add(digest)
        elif kind != seen[digest]:
            raise _invalid(_csr_key(seen[digest]), "Its key has another purpose on this server; make one key for each.")
    for digest, kind in seen.items():
        if digest in taken:
            raise _invalid(_csr_key(kind), "Its key is already used by another server or product.")


def issue_batch(orders: Sequence[Order], *, now: datetime) -> Batch:
    """Store the intents and sign. Not inside a transaction. Raises `FileRefused` (CSR_INVALID)."""
    wanted = [Wanted(PROFILE_OF[each.kind], each.common_name, each.spki_der, each.hosts) for each in orders]
    try:
        intents = server_certificates.prepare_certificates(wanted, now=now)
    except KeyBlocked as error:
        raise _invalid(":lcs_csr:", error.message) from None
    return Batch(orders, server_certificates.sign_intents(intents))


def store_batch(batch: Batch, *, server: OnPremServer, now: datetime) -> None:
    """Record the certificates as the server's, in the caller's transaction. Raises `FileRefused` (CSR_INVALID) for a
    name that another Smart Account, or a key that another server got since it was asked for."""
    _lock_hosts(batch.orders, server)
    _lock_keys(batch.orders, server)
    recorded = server_certificates.record_issued(batch.issued, now=now)
    ServerCertificate.objects.bulk_create(
        ServerCertificate(
            server=server,
            kind=order.kind,
            registration=server.registration,
            certificate=certificate,
            signing_key_id=None if issued.key is None else issued.key.id,
            csr_key_digest="" if order.spki_der is None else digest_key(order.spki_der),
            issued_at=now,
        )
        for order, issued, certificate in zip(batch.orders, batch.issued, recorded, strict=True)
    )
    names = {host for order in batch.orders for host in order.hosts}
    ServerHost.objects.bulk_create(
        [ServerHost(smart_account_id=server.smart_account_id, server=server, name=name) for name in sorted(names)],
        ignore_conflicts=True,
    )


def _lock_hosts(orders: Iterable[Order], server: OnPremServer) -> None:
    """Nobody else gets these names until the transaction ends; they are locked in one order, so nobody waits in a ring,
    and only then asked about again."""
    keys = {host: _csr_key(order.kind) for order in orders for host in order.hosts}
    if not keys:
        return
    names = sorted(keys)
    HostLock.objects.bulk_create([HostLock(name=name) for name in names], ignore_conflicts=True)
    for name in HostLock.objects.select_for_update().filter(name__in=names).order_by("name"):
        _refuse_held_hosts([name.name], smart_account_id=server.smart_account_id, key=keys[name.name])


def _lock_keys(orders: Iterable[Order], server: OnPremServer) -> None:
    """The same for its keys; those that it has certificates for were asked about when it got the first of them."""
    known = ServerCertificate.objects.filter(server=server).exclude(csr_key_digest="").order_by()
    own = set(known.values_list("csr_key_digest", flat=True).distinct())
    new = {digest: order for digest, order in _list_keys(orders) if digest not in own}
    if not new:
        return
    KeyLock.objects.bulk_create([KeyLock(digest=digest) for digest in sorted(new)], ignore_conflicts=True)
    list(KeyLock.objects.select_for_update().filter(digest__in=new).order_by("digest"))
    refuse_shared_keys(new.values(), server=server)


def _list_keys(orders: Iterable[Order]) -> Iterator[tuple[str, Order]]:
    """(digest, order) of each key that a CSR brought. The LCS key has two certificates, its identity's and its
    authority's: it is named once."""
    for order in orders:
        if order.spki_der is not None and order.kind is not CertificateKind.LOCAL_SUB_CA:
            yield digest_key(order.spki_der), order


def _refuse_held_hosts(hosts: Sequence[str], *, smart_account_id: int, key: str) -> None:
    elsewhere = ServerHost.objects.filter(name__in=hosts, server__state=ServerState.REGISTERED)
    if taken := elsewhere.exclude(smart_account=smart_account_id).values_list("name", flat=True).first():
        raise _invalid(key, f"{taken!r} is held by a server of another Smart Account.")


def current_certificates(server: OnPremServer) -> dict[str, str]:
    """PEM by name, the latest of each kind of the present registration, with those of our authorities."""
    found = {name: read_pem(authority) for name, authority in AUTHORITIES.items()}
    own = ServerCertificate.objects.filter(server=server, registration=server.registration, revoked_at__isnull=True)
    for row in own.select_related("certificate").order_by("pk"):
        found[row.kind] = encode_pem(bytes(row.certificate.der))
    if server.three_tier_id is not None:
        waiting = RootRequest.objects.select_related("certificate").get(pk=server.three_tier_id)
        if waiting.certificate is not None:
            found[CertificateKind.LOCAL_SUB_CA_3_TIER] = encode_pem(bytes(waiting.certificate.der))
    return found


def find_signer(server: OnPremServer) -> ServerCertificate:
    """The newest certificate with whose key we sign for this server."""
    signers = ServerCertificate.objects.filter(server=server, kind=CertificateKind.SIGNING, revoked_at__isnull=True)
    return signers.select_related("certificate", "signing_key").latest("pk")


def revoke_all(*, server: OnPremServer, reason: RevocationReason, now: datetime) -> int:
    """Take back everything the server was given, in the caller's transaction; returns how many."""
    rows = ServerCertificate.objects.filter(server=server, revoked_at__isnull=True)
    serials = list(rows.values_list("certificate__serial", flat=True))
    if server.three_tier_id is not None and not root_queue.cancel_request(request_id=server.three_tier_id):
        serials += RootRequest.objects.filter(pk=server.three_tier_id).values_list("certificate__serial", flat=True)
    rows.update(revoked_at=now)
    return revoke_certificates(serials=serials, reason=reason, now=now)


def queue_three_tier(*, uuid: str, lcs_key: bytes, now: datetime) -> RootRequest:
    """Ask the root for the 3-tier certificate after THREE_TIER_DELAY_HOURS, in the caller's transaction."""
    return root_queue.enqueue_request(
        profile=ProfileName.LOCAL_SUB_CA_3_TIER,
        common_name=authority_name(uuid),
        spki_der=lcs_key,
        due_at=now + timedelta(hours=settings.THREE_TIER_DELAY_HOURS),
        now=now,
    )


def authority_name(uuid: str) -> str:
    """The subject of both local authorities: they are one authority, certified in two ways."""
    return f"On-Prem {uuid}"


def digest_key(spki_der: bytes) -> str:
    return hashlib.sha256(spki_der).hexdigest()


def kinds_of(orders: Collection[Order]) -> list[str]:
    return [order.kind.value for order in orders]


def _csr_key(kind: CertificateKind) -> str:
    return {CertificateKind.TG_TLS: ":tg_csr:", CertificateKind.BROWSER_TLS: ":ssms_csr:"}.get(kind, ":lcs_csr:")


def _invalid(key: str, message: str) -> FileRefused:
    return FileRefused(Problem(FileCode.CSR_INVALID, message, 0, key))
