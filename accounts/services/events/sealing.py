"""Chaining the event log by hash, in batches, and verifying the chains.

One chain per Smart Account and one for the installation. An event's position is given when it is sealed, not when it
is inserted: transactions commit in another order than their ids, so every unsealed row is looked for, and no
watermark is kept that a late commit could fall behind.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Min

from accounts.models import Event, EventLogHead, EventPersonal
from accounts.services.events.recording import personal_digest
from cssm.common.sealing import GENESIS, canonical, chain, digest_row

BATCH = 500
INSTALLATION_LOG = "installation"


@dataclass(slots=True)
class LogReport:
    """What `verify_log` found. `problems` is empty when every chain holds."""

    logs: int = 0
    sealed: int = 0
    erased: int = 0
    unsealed: int = 0
    oldest_unsealed: timedelta | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems


def log_of(smart_account_id: int | None) -> str:
    """The name of the chain that an event of the account belongs to."""
    return INSTALLATION_LOG if smart_account_id is None else f"account:{smart_account_id}"


def event_record(event: Event) -> bytes:
    """The canonical bytes of an event that enter its chain: everything but personal values, which enter as digests."""
    return canonical(
        {
            "id": event.pk,
            "smart_account": event.smart_account_id,
            "virtual_account": event.virtual_account_id,
            "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "name": event.name,
            "actor": [event.actor_kind, event.actor_id, event.actor_label],
            "subject": [event.subject_type, event.subject_id],
            "data": event.data,
            "personal": event.personal_digests,
        }
    )


def seal_events(*, now: datetime) -> int:
    """Seal every event that is not yet sealed; returns how many. Any number of sealers may run at once."""
    waiting = Event.objects.unsealed().order_by().values_list("smart_account_id", flat=True).distinct()
    sealed = 0
    for smart_account_id in list(waiting):
        while count := _seal_batch(smart_account_id):
            sealed += count
    return sealed


def _seal_batch(smart_account_id: int | None) -> int:
    with transaction.atomic():
        log = log_of(smart_account_id)
        EventLogHead.objects.get_or_create(log=log, defaults={"position": 0, "digest": GENESIS})
        # Whoever holds the head's row is the one sealer of this log; another one has nothing left to do here.
        head = EventLogHead.objects.select_for_update(skip_locked=True).filter(log=log).first()
        if head is None:
            return 0
        events = list(Event.objects.unsealed().filter(smart_account_id=smart_account_id).order_by("pk")[:BATCH])
        if not events:
            return 0
        digests = chain(bytes(head.digest), map(event_record, events))
        for position, (event, digest) in enumerate(zip(events, digests, strict=True), start=head.position + 1):
            event.position, event.digest = position, digest
        Event.objects.write_seals(events)
        head.position += len(events)
        head.digest = digests[-1]
        head.save(update_fields=["position", "digest"])
    return len(events)


def verify_log(*, now: datetime) -> LogReport:
    """Recompute every chain from its first event and compare it with what is stored."""
    report = LogReport()
    heads = {head.log: head for head in EventLogHead.objects.order_by("log")}
    accounts = Event.objects.order_by().values_list("smart_account_id", flat=True).distinct()
    keys = {log_of(key): key for key in accounts}
    for log in sorted({*heads, *keys}):
        report.logs += 1
        key = keys.get(log) if log in keys else _account_of(log)
        _verify_chain(log, key, heads.get(log), report)
    tail = Event.objects.unsealed()
    report.unsealed = tail.count()
    oldest = tail.aggregate(oldest=Min("at"))["oldest"]
    report.oldest_unsealed = now - oldest if oldest is not None else None
    return report


def _account_of(log: str) -> int | None:
    return None if log == INSTALLATION_LOG else int(log.removeprefix("account:"))


def _verify_chain(log: str, smart_account_id: int | None, head: EventLogHead | None, report: LogReport) -> None:
    end = head.position if head is not None else 0
    previous, expected = GENESIS, 1
    sealed = Event.objects.filter(smart_account_id=smart_account_id, position__isnull=False)
    walk = sealed.with_personal().filter(position__lte=end).order_by("position")
    for event in walk.iterator(chunk_size=BATCH):
        if event.position != expected:
            report.problems.append(f"{log}: sealed events {expected} to {(event.position or 0) - 1} are missing.")
        digest = digest_row(previous, event_record(event))
        if digest != bytes(event.digest or b""):
            report.problems.append(f"{log}: event {event.pk} at position {event.position} does not fit its seal.")
        _verify_personal(log, event, report)
        # Going on from the stored digest names each damaged event once instead of every later one too.
        previous, expected = bytes(event.digest or b""), (event.position or 0) + 1
        report.sealed += 1
    if expected != end + 1:
        report.problems.append(f"{log}: sealed events {expected} to {end} are missing at the end.")
    elif head is not None and previous != bytes(head.digest):
        report.problems.append(f"{log}: the end of the log does not fit its last event.")
    # Read again: a sealer may have gone on while the chain was being walked.
    latest = EventLogHead.objects.filter(log=log).values_list("position", flat=True).first() or 0
    if beyond := sealed.filter(position__gt=latest).count():
        report.problems.append(f"{log}: {beyond} events are sealed beyond the recorded end of the log.")


def _verify_personal(log: str, event: Event, report: LogReport) -> None:
    """Stored personal values must be those whose digests were sealed; erased ones (no row) are counted only."""
    personal: EventPersonal | None = getattr(event, "personal", None)
    if personal is None:
        report.erased += bool(event.personal_digests)
        return
    salt = bytes(personal.salt)
    found = {key: personal_digest(key, value, salt) for key, value in personal.values.items()}
    if found != event.personal_digests:
        report.problems.append(f"{log}: the personal values of event {event.pk} do not fit their digests.")
