"""The words of the sync app: where a server, its files and its 3-tier certificate stand. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cssm.common.text import Badge, Tone, mark

OVERDUE_AFTER: Final = timedelta(days=30)
DEADLINE_NEAR_AFTER: Final = timedelta(days=60)
REMOVED_AFTER: Final = timedelta(days=90)


class ServerState(StrEnum):
    REGISTERED = "registered"
    REMOVED = "removed"


class ServerHealth(StrEnum):
    """What people see: derived from the state and the time since the last synchronization (domain: On-prem servers)."""

    PENDING = "pending"
    CURRENT = "current"
    OVERDUE = "overdue"
    DEADLINE_NEAR = "deadline_near"
    REMOVED = "removed"

    @property
    def badge(self) -> Badge:
        return {
            ServerHealth.PENDING: Badge(mark("Not synchronized yet"), Tone.INFO),
            ServerHealth.CURRENT: Badge(mark("Synchronized"), Tone.OK),
            ServerHealth.OVERDUE: Badge(mark("Synchronization overdue"), Tone.WARN),
            ServerHealth.DEADLINE_NEAR: Badge(mark("Removal is near"), Tone.BAD),
            ServerHealth.REMOVED: Badge(mark("Removed"), Tone.MUTED),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label

    @property
    def waits_for(self) -> str:
        """What is to be done, in a sentence."""
        return {
            ServerHealth.PENDING: mark(
                "It waits for its first synchronization: install the authorization file on the server, then upload the"
                " synchronization file that it writes, or let it synchronize over the network."
            ),
            ServerHealth.CURRENT: mark("It waits for nothing until its next synchronization is due."),
            ServerHealth.OVERDUE: mark(
                "It waits for a synchronization: let the server write a synchronization file and upload it, or let it"
                " synchronize over the network. Without one it is removed with all its product instances."
            ),
            ServerHealth.DEADLINE_NEAR: mark(
                "It will be removed soon, with all its product instances, unless it synchronizes: let the server write"
                " a synchronization file and upload it, or let it synchronize over the network."
            ),
            ServerHealth.REMOVED: mark(
                "Its product instances have left the pools and its certificates are revoked. To use it again, let the"
                " server write a registration file, and register it anew under “New On-Prem”."
            ),
        }[self]


@dataclass(frozen=True, slots=True)
class Deadline:
    """What comes next if the server stays silent, and when."""

    label: str
    at: datetime


def next_deadline(heard_at: datetime, moment: datetime) -> Deadline:
    """From when it was last heard: overdue at 30 days, told of its removal at 60, removed at 90."""
    if moment < heard_at + OVERDUE_AFTER:
        return Deadline(mark("Overdue"), heard_at + OVERDUE_AFTER)
    return Deadline(mark("Removal"), heard_at + REMOVED_AFTER)


class CertificateKind(StrEnum):
    """The certificates of one server, by their names in the files."""

    ID = "id_cert"
    SIGNING = "signing_cert"
    LOCAL_SUB_CA = "local_sub_ca_cert_1_1"
    LOCAL_SUB_CA_3_TIER = "local_sub_ca_cert"
    TG_TLS = "tg_ssl_cert"
    BROWSER_TLS = "ssms_ssl_cert"

    @property
    def label(self) -> str:
        return {
            CertificateKind.ID: mark("Identity of the server"),
            CertificateKind.SIGNING: mark("Signs the files for the server"),
            CertificateKind.LOCAL_SUB_CA: mark("Certificate authority for 4-tier products"),
            CertificateKind.LOCAL_SUB_CA_3_TIER: mark("Certificate authority for 3-tier products"),
            CertificateKind.TG_TLS: mark("HTTPS towards products"),
            CertificateKind.BROWSER_TLS: mark("HTTPS towards browsers"),
        }[self]


AUTHORITY_LABELS: Final = {
    "sub_ca_cert": mark("Authority that issued the server's identity"),
    "satellite_cert": mark("Authority above the one for 4-tier products"),
    "tg_issuer_cert": mark("Authority that issued the HTTPS certificates"),
}


class ExchangeKind(StrEnum):
    REGISTRATION = "registration"
    SYNCHRONIZATION = "synchronization"

    @property
    def label(self) -> str:
        return mark("Registration") if self is ExchangeKind.REGISTRATION else mark("Synchronization")


class ReceivedKind(StrEnum):
    """What a file is that somebody dropped."""

    SYNCHRONIZATION = "synchronization"
    REGISTRATION = "registration"
    RESPONSE = "response"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        return {
            ReceivedKind.SYNCHRONIZATION: mark("Synchronization file"),
            ReceivedKind.REGISTRATION: mark("Registration file"),
            ReceivedKind.RESPONSE: mark("File for the server"),
            ReceivedKind.UNKNOWN: mark("Not recognised"),
        }[self]


class ExchangeState(StrEnum):
    """Where one uploaded file stands. Only a file that is `applied` has changed anything."""

    WAITING = "waiting"
    STAGING = "staging"
    APPLYING = "applying"
    APPLIED = "applied"
    COMPARED = "compared"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def badge(self) -> Badge:
        return {
            ExchangeState.WAITING: Badge(mark("Waiting"), Tone.INFO),
            ExchangeState.STAGING: Badge(mark("Being read"), Tone.INFO),
            ExchangeState.APPLYING: Badge(mark("Being applied"), Tone.INFO),
            ExchangeState.APPLIED: Badge(mark("Applied"), Tone.OK),
            ExchangeState.COMPARED: Badge(mark("Compared, not applied"), Tone.OK),
            ExchangeState.REFUSED: Badge(mark("Refused"), Tone.BAD),
            ExchangeState.CANCELLED: Badge(mark("Cancelled"), Tone.MUTED),
            ExchangeState.FAILED: Badge(mark("Failed"), Tone.BAD),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label

    @property
    def is_open(self) -> bool:
        return self in OPEN_STATES


OPEN_STATES: Final = frozenset({ExchangeState.WAITING, ExchangeState.STAGING, ExchangeState.APPLYING})


class Side(StrEnum):
    """Which of the files of an exchange: what came, what was answered, and the list of what it changed."""

    REQUEST = "request"
    RESPONSE = "response"
    CHANGES = "changes"


class Change(StrEnum):
    """What a file makes of one product instance."""

    ADDED = "added"
    RETURNED = "returned"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    USE = "use"
    NOT_COUNTED = "not_counted"

    @property
    def badge(self) -> Badge:
        return {
            Change.ADDED: Badge(mark("Added"), Tone.OK),
            Change.RETURNED: Badge(mark("Added again"), Tone.OK),
            Change.REMOVED: Badge(mark("Removed"), Tone.BAD),
            Change.CHANGED: Badge(mark("Changed"), Tone.INFO),
            Change.MOVED: Badge(mark("Moved"), Tone.INFO),
            Change.USE: Badge(mark("Uses otherwise"), Tone.INFO),
            Change.NOT_COUNTED: Badge(mark("Not counted"), Tone.WARN),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label


class MarkReason(StrEnum):
    """Why an instance is stored and not counted."""

    CLAIMED_ELSEWHERE = "claimed_elsewhere"
    LATER_CONTACT = "later_contact"
    TWICE_IN_FILE = "twice_in_file"
    RESERVED = "reserved"
    HA_PEER = "ha_peer"
    UNLINKED_ACCOUNT = "unlinked_account"

    @property
    def explanation(self) -> str:
        return {
            MarkReason.CLAIMED_ELSEWHERE: mark("This product is registered elsewhere; it counts there."),
            MarkReason.LATER_CONTACT: mark("This product is registered twice; the other one was in contact later."),
            MarkReason.TWICE_IN_FILE: mark("The server has this product twice; the one registered later counts."),
            MarkReason.RESERVED: mark("This product holds a license reservation, which counts."),
            MarkReason.HA_PEER: mark("Another member of its high-availability group counts for it."),
            MarkReason.UNLINKED_ACCOUNT: mark("Its local Virtual Account is not linked to one here."),
        }[self]


class NoticeKind(StrEnum):
    """What is told of a server, once per cause; the dispatcher makes alerts of it."""

    FILE_READY = "file_ready"
    OVERDUE = "overdue"
    DEADLINE_NEAR = "deadline_near"
    REMOVED = "removed"
    SYNCHRONIZED = "synchronized"
    UNLINKED_ACCOUNT = "unlinked_account"
    ACCOUNT_LINKED = "account_linked"
