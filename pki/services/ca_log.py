"""The CA's own log: an entry for each certificate issued and each serial number voided, chained by hash in batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from cssm.common.compiled import CompiledInsert
from cssm.common.sealing import GENESIS, canonical, chain
from pki.models import CaLogBatch, CaLogEntry, CaLogHead, Certificate, SigningRequest
from pki.services import vault
from pki.states import LogKind, RequestState

BATCH_SIZE: Final = 1000
_AT_ONCE: Final = 50
_ENTRIES: Final = CompiledInsert(CaLogEntry)


@dataclass(frozen=True, slots=True)
class LogCheck:
    """The result of a verification: `problems` in words, empty if the log is whole; `unsealed` entries are the tail."""

    batches: int
    entries: int
    unsealed: int
    problems: tuple[str, ...]


def log_requests(requests: Iterable[tuple[SigningRequest, bytes]], *, kind: LogKind, now: datetime) -> None:
    """Add an entry for each (request with its issuer loaded, certificate DER or b""); in the caller's transaction."""
    entries = [
        CaLogEntry(
            kind=kind,
            serial=request.serial,
            issuer=request.issuer.name,
            profile=request.profile,
            subject=request.subject,
            certificate_sha256=vault.digest(der) if der else "",
            happened_at=now,
        )
        for request, der in requests
    ]
    for start in range(0, len(entries), _AT_ONCE):
        _ENTRIES.add(*entries[start : start + _AT_ONCE])


def seal_ca_log(*, now: datetime) -> int:
    """Chain every entry that is not sealed yet, whatever its id; returns how many were sealed."""
    total = 0
    while sealed := _seal_batch(now):
        total += sealed
    return total


def verify_ca_log() -> LogCheck:
    """Recompute the whole chain and compare it with the batches, the head, the requests and the certificates."""
    problems = list(_verify_chain())
    problems += _verify_certificates()
    unsealed = CaLogEntry.objects.filter(batch=None).count()
    entries = CaLogEntry.objects.count()
    return LogCheck(CaLogBatch.objects.count(), entries, unsealed, tuple(problems))


def _seal_batch(now: datetime) -> int:
    with transaction.atomic():
        # The head row is the lock: one sealer at a time, and the order of batches is the order of commits.
        CaLogHead.objects.get_or_create(defaults={"digest": GENESIS, "seal": _make_seal(0, 0, GENESIS)})
        head = CaLogHead.objects.select_for_update().get()
        entries = list(CaLogEntry.objects.filter(batch=None).order_by("pk")[:BATCH_SIZE])
        if not entries:
            return 0
        digest = chain(bytes(head.digest), [_encode(entry) for entry in entries])[-1]
        head.batches += 1
        head.entries += len(entries)
        head.digest = digest
        head.seal = _make_seal(head.batches, head.entries, digest)
        head.save()
        batch = CaLogBatch.objects.create(number=head.batches, entries=len(entries), digest=digest, sealed_at=now)
        CaLogEntry.objects.filter(pk__in=[entry.pk for entry in entries]).update(batch=batch)
    return len(entries)


def _verify_chain() -> Iterator[str]:
    head = CaLogHead.objects.first()
    if head is None:
        if CaLogBatch.objects.exists() or CaLogEntry.objects.exclude(batch=None).exists():
            yield "The head of the CA log is missing."
        return
    described = _describe_head(head.batches, head.entries, bytes(head.digest))
    if not vault.is_authentic(described, bytes(head.seal), context="ca log"):
        yield "The head of the CA log has been altered."
    digest, total, expected_number = GENESIS, 0, 1
    for batch in CaLogBatch.objects.order_by("number").iterator():
        if batch.number != expected_number:
            yield f"Batch {expected_number} of the CA log is missing."
        expected_number = batch.number + 1
        entries = list(CaLogEntry.objects.filter(batch=batch).order_by("pk"))
        if len(entries) != batch.entries:
            yield f"Batch {batch.number} of the CA log has {len(entries)} entries instead of {batch.entries}."
        computed = chain(digest, [_encode(entry) for entry in entries])
        if not computed or computed[-1] != bytes(batch.digest):
            yield f"Batch {batch.number} of the CA log has been altered."
        # Go on from what is written: one altered batch is one problem, not one for each after it.
        digest = bytes(batch.digest)
        total += len(entries)
    if (head.batches, head.entries, bytes(head.digest)) != (expected_number - 1, total, digest):
        yield (
            f"The CA log ends at batch {expected_number - 1} with {total} entries, "
            f"its head says batch {head.batches} with {head.entries} entries."
        )


def _verify_certificates() -> Iterator[str]:
    recorded = ((LogKind.ISSUED, _issued()), (LogKind.VOIDED, _voided()), (LogKind.REVOKED, _revoked()))
    for kind, rows in recorded:
        logged = CaLogEntry.objects.filter(serial=OuterRef("serial"), kind=kind)
        for serial in rows.filter(~Exists(logged)).values_list("serial", flat=True).iterator():
            yield f"The CA log has no '{kind}' entry for serial number {serial}."
    certificates = Certificate.objects.filter(serial=OuterRef("serial"))
    issued = CaLogEntry.objects.filter(kind=LogKind.ISSUED)
    for serial in issued.filter(~Exists(certificates)).values_list("serial", flat=True).iterator():
        yield f"The certificate with serial number {serial} is missing."
    logged_digest = Subquery(issued.filter(serial=OuterRef("serial")).values("certificate_sha256")[:1])
    signed = Certificate.objects.annotate(logged=logged_digest).values_list("serial", "der", "logged")
    for serial, der, digest in signed.iterator(chunk_size=500):
        if digest is not None and digest != vault.digest(bytes(der)):
            yield f"The certificate with serial number {serial} has been altered."


def _issued() -> QuerySet[SigningRequest]:
    return SigningRequest.objects.filter(state=RequestState.ISSUED)


def _revoked() -> QuerySet[SigningRequest]:
    return SigningRequest.objects.filter(certificate__revocation__isnull=False)


def _voided() -> QuerySet[SigningRequest]:
    return SigningRequest.objects.filter(state=RequestState.VOIDED)


def _encode(entry: CaLogEntry) -> bytes:
    return canonical(
        {
            "id": entry.pk,
            "kind": entry.kind,
            "serial": entry.serial,
            "issuer": entry.issuer,
            "profile": entry.profile,
            "subject": entry.subject,
            "certificate_sha256": entry.certificate_sha256,
            "happened_at": entry.happened_at.isoformat(),
        }
    )


def _describe_head(batches: int, entries: int, digest: bytes) -> bytes:
    return b"%d:%d:%s" % (batches, entries, digest.hex().encode())


def _make_seal(batches: int, entries: int, digest: bytes) -> bytes:
    return vault.authenticate(_describe_head(batches, entries, digest), context="ca log")
