"""The words of the alerts app: what can be wrong, how grave it is, and where a message stands. Pure: no Django."""

from enum import IntEnum, StrEnum
from typing import Final

from cssm.common.text import Badge, Tone, mark


class Severity(IntEnum):
    """Smaller is graver, so that the database can sort by it."""

    MAJOR = 1
    MINOR = 2
    INFORMATIONAL = 3

    @property
    def badge(self) -> Badge:
        return {
            Severity.MAJOR: Badge(mark("Major"), Tone.BAD),
            Severity.MINOR: Badge(mark("Minor"), Tone.WARN),
            Severity.INFORMATIONAL: Badge(mark("Informational"), Tone.INFO),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label


class AlertType(StrEnum):
    """Everything that is ever raised. A type is offered to people once a source that raises it is registered."""

    INSUFFICIENT_LICENSES = "insufficient_licenses"
    LICENSES_EXPIRED = "licenses_expired"
    INSTANCE_REMOVED = "instance_failed_to_renew_and_removed"
    SYNCHRONIZATION_OVERDUE = "synchronization_overdue"
    ON_PREM_REMOVED = "on_prem_unregistered_and_removed"
    RESERVED_LICENSE_EXPIRED = "reserved_license_expired"
    RESTRICTED_LICENSE_NOT_AVAILABLE = "restricted_license_not_available"
    LICENSES_EXPIRING = "licenses_expiring"
    INSTANCE_FAILED_TO_CONNECT = "instance_failed_to_connect"
    INSTANCE_FAILED_TO_RENEW = "instance_failed_to_renew"
    UPCOMING_SYNC_DEADLINE = "upcoming_sync_deadline"
    DUPLICATE_LICENSES = "duplicate_licenses"
    UDI_CLAIMED_ELSEWHERE = "udi_claimed_elsewhere"
    ON_PREM_FILE_READY = "on_prem_authorization_file_ready"
    AUTHORIZATION_PENDING = "authorization_pending"
    AGREEMENT_PENDING = "agreement_pending"
    UPDATED_AGREEMENT = "updated_agreement"
    RESERVED_LICENSES_RETURNED = "reserved_licenses_returned"
    NEW_LICENSES = "new_licenses"
    LICENSES_RESERVED = "licenses_reserved"

    @property
    def label(self) -> str:
        return _TYPES[self][1]

    @property
    def severity(self) -> Severity:
        return _TYPES[self][0]


_TYPES: Final[dict[AlertType, tuple[Severity, str]]] = {
    AlertType.INSUFFICIENT_LICENSES: (Severity.MAJOR, mark("Insufficient Licenses")),
    AlertType.LICENSES_EXPIRED: (Severity.MAJOR, mark("Licenses Expired")),
    AlertType.INSTANCE_REMOVED: (Severity.MAJOR, mark("Product Instance Failed to Renew and was Removed")),
    AlertType.SYNCHRONIZATION_OVERDUE: (Severity.MAJOR, mark("Synchronization Overdue")),
    AlertType.ON_PREM_REMOVED: (Severity.MAJOR, mark("On-Prem Unregistered and Removed")),
    AlertType.RESERVED_LICENSE_EXPIRED: (Severity.MAJOR, mark("Reserved License Expired")),
    AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE: (Severity.MAJOR, mark("Restricted License Not Available")),
    AlertType.LICENSES_EXPIRING: (Severity.MINOR, mark("Licenses Expiring")),
    AlertType.INSTANCE_FAILED_TO_CONNECT: (Severity.MINOR, mark("Product Instance Failed to Connect")),
    AlertType.INSTANCE_FAILED_TO_RENEW: (Severity.MINOR, mark("Product Instance Failed to Renew")),
    AlertType.UPCOMING_SYNC_DEADLINE: (Severity.MINOR, mark("Upcoming Sync Deadline (30 Day)")),
    AlertType.DUPLICATE_LICENSES: (Severity.MINOR, mark("Duplicate Licenses")),
    AlertType.UDI_CLAIMED_ELSEWHERE: (Severity.MINOR, mark("UDI Claimed Elsewhere")),
    AlertType.ON_PREM_FILE_READY: (Severity.INFORMATIONAL, mark("On-Prem Authorization File Ready")),
    AlertType.AUTHORIZATION_PENDING: (Severity.INFORMATIONAL, mark("Authorization Pending")),
    AlertType.AGREEMENT_PENDING: (Severity.INFORMATIONAL, mark("Agreement Pending")),
    AlertType.UPDATED_AGREEMENT: (Severity.INFORMATIONAL, mark("Updated Agreement")),
    AlertType.RESERVED_LICENSES_RETURNED: (Severity.INFORMATIONAL, mark("Reserved Licenses Returned")),
    AlertType.NEW_LICENSES: (Severity.INFORMATIONAL, mark("New Licenses")),
    AlertType.LICENSES_RESERVED: (Severity.INFORMATIONAL, mark("Licenses Reserved")),
}


class AlertAction(StrEnum):
    """What a record of an app above means for an alert. Raising what stands already updates it."""

    RAISE = "raise"
    UPDATE = "update"
    CLEAR = "clear"


class Frequency(StrEnum):
    """How somebody is told of one type of alert."""

    IMMEDIATE = "immediate"
    DAILY = "daily"
    OFF = "off"

    @property
    def label(self) -> str:
        return {
            Frequency.IMMEDIATE: mark("At once"),
            Frequency.DAILY: mark("Daily summary"),
            Frequency.OFF: mark("Off"),
        }[self]


class Channel(StrEnum):
    """The way a message goes. A daily summary is one message that stands for many causes."""

    EMAIL = "email"
    SUMMARY = "summary"

    @property
    def label(self) -> str:
        return mark("E-mail") if self is Channel.EMAIL else mark("Daily summary")


class DeliveryState(StrEnum):
    """Where one message to one recipient stands.

    `sending` is committed before the first byte of the SMTP conversation, the outcome after its end. `unknown` is a
    message that the mail server may or may not have taken; it is retried once, with the same Message-ID.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def badge(self) -> Badge:
        return {
            DeliveryState.PENDING: Badge(mark("Waiting"), Tone.INFO),
            DeliveryState.SENDING: Badge(mark("Being sent"), Tone.INFO),
            DeliveryState.SENT: Badge(mark("Sent"), Tone.OK),
            DeliveryState.UNKNOWN: Badge(mark("Unknown"), Tone.WARN),
            DeliveryState.FAILED: Badge(mark("Failed"), Tone.BAD),
            DeliveryState.CANCELLED: Badge(mark("Not needed"), Tone.MUTED),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label


class OutcomeKind(StrEnum):
    """How an attempt to hand a message to the mail server ended.

    `refused` is for good, `deferred` for now (nothing was handed over), `unreachable` means no conversation at all,
    `unknown` that the whole message had left and no answer came back.
    """

    SENT = "sent"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


LEGAL_MOVES: Final[dict[DeliveryState, frozenset[DeliveryState]]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.CANCELLED}),
    DeliveryState.SENDING: frozenset(
        {DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.FAILED, DeliveryState.PENDING}
    ),
    DeliveryState.UNKNOWN: frozenset({DeliveryState.SENDING}),
    DeliveryState.SENT: frozenset(),
    DeliveryState.FAILED: frozenset(),
    DeliveryState.CANCELLED: frozenset(),
}
