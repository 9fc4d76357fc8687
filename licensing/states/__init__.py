"""The states and choices of licensing, with their labels, badges and legal moves. Pure."""

from enum import StrEnum
from typing import Final

from cssm.common.text import Badge, Tone, mark
from licensing.states.reservations import ACTIVE_RESERVATIONS as ACTIVE_RESERVATIONS
from licensing.states.reservations import REQUESTED_KINDS as REQUESTED_KINDS
from licensing.states.reservations import RESERVATION_MOVES as RESERVATION_MOVES
from licensing.states.reservations import AuthorizationState as AuthorizationState
from licensing.states.reservations import ReservationCause as ReservationCause
from licensing.states.reservations import ReservationKind as ReservationKind
from licensing.states.reservations import ReservationState as ReservationState
from licensing.states.usage_reports import RumChannel as RumChannel
from licensing.states.usage_reports import Verification as Verification


class LicenseType(StrEnum):
    """How long a purchase line entitles (white paper, License Reservation: perpetual, term or subscription)."""

    PERPETUAL = "perpetual"
    TERM = "term"
    SUBSCRIPTION = "subscription"
    DEMO = "demo"

    @property
    def label(self) -> str:
        return mark(self.value.capitalize())


class Billing(StrEnum):
    """PREPAID is counted against what was bought; USAGE is billed afterwards and is never out of compliance."""

    PREPAID = "PREPAID"
    USAGE = "USAGE"


class LineSource(StrEnum):
    ORDER = "order"
    CONVERSION = "conversion"
    TRANSFER = "transfer"
    CORRECTION = "correction"

    @property
    def label(self) -> str:
        return mark(self.value.capitalize())


class RecordKind(StrEnum):
    """What changes what is owned."""

    DELIVERY = "delivery"
    TERMINATION = "termination"
    TRANSFER = "transfer"
    CONVERSION = "conversion"
    CORRECTION = "correction"

    @property
    def label(self) -> str:
        return mark(self.value.capitalize())


class Precedence(StrEnum):
    """Which lines are drawn on first where several would do."""

    LONGEST_TERM_FIRST = "LONGEST_TERM_FIRST"
    SHORTEST_TERM_FIRST = "SHORTEST_TERM_FIRST"

    @property
    def label(self) -> str:
        if self is Precedence.LONGEST_TERM_FIRST:
            return mark("Longest term first")
        return mark("Shortest term first")


class DuplicateKind(StrEnum):
    """Why a product instance seems to claim licenses twice (white paper, Duplicate Licenses alert)."""

    SAME_UDI = "same_udi"
    REPLACED_HARDWARE = "replaced_hardware"
    HA_CLAIM = "ha_claim"
    RETURNED = "returned"

    @property
    def label(self) -> str:
        return {
            DuplicateKind.SAME_UDI: mark("Same product twice"),
            DuplicateKind.REPLACED_HARDWARE: mark("Replaced hardware"),
            DuplicateKind.HA_CLAIM: mark("High-availability claim"),
            DuplicateKind.RETURNED: mark("Returned product seen again"),
        }[self]


class DuplicateReason(StrEnum):
    """What exactly speaks for a duplicate; of high-availability claims, why the claim does not hold."""

    LATER_CONTACT = "later_contact"
    SAME_HOST_IDENTIFIER = "same_host_identifier"
    SAME_HOST_NAME = "same_host_name"
    SAME_ADDRESSES = "same_addresses"
    GROUP_TOO_LARGE = "group_too_large"
    OTHER_SMART_ACCOUNT = "other_smart_account"
    OTHER_VIRTUAL_ACCOUNT = "other_virtual_account"
    OTHER_PRODUCT = "other_product"
    OTHER_SOFTWARE = "other_software"
    NOT_MUTUAL = "not_mutual"
    PEERS_DIFFER = "peers_differ"
    RETURN_CODE_ENTERED = "return_code_entered"

    @property
    def explanation(self) -> str:
        """In a sentence, for people."""
        return DUPLICATE_EXPLANATIONS[self]


DUPLICATE_EXPLANATIONS: Final = {
    DuplicateReason.LATER_CONTACT: mark("The same product is registered twice; the other one was in contact later."),
    DuplicateReason.SAME_HOST_IDENTIFIER: mark(
        "It has been silent for long, and a newer product of this kind has the same host identifier."
    ),
    DuplicateReason.SAME_HOST_NAME: mark(
        "It has been silent for long, and a newer product of this kind has the same host name."
    ),
    DuplicateReason.SAME_ADDRESSES: mark(
        "It has been silent for long, and a newer product of this kind has the same IP and MAC address."
    ),
    DuplicateReason.GROUP_TOO_LARGE: mark(
        "It names more peers than a high-availability group may hold (8 with itself), so each of them counts."
    ),
    DuplicateReason.OTHER_SMART_ACCOUNT: mark(
        "A peer that it names is not registered in this Smart Account but in another one."
    ),
    DuplicateReason.OTHER_VIRTUAL_ACCOUNT: mark("A peer that it names is in another Virtual Account, so both count."),
    DuplicateReason.OTHER_PRODUCT: mark("A peer that it names is another kind of product (PID), so both count."),
    DuplicateReason.OTHER_SOFTWARE: mark("A peer that it names runs other software, so both count."),
    DuplicateReason.NOT_MUTUAL: mark("A peer that it names does not name it in turn, so both count."),
    DuplicateReason.PEERS_DIFFER: mark("The peers that it names do not all name each other, so each of them counts."),
    DuplicateReason.RETURN_CODE_ENTERED: mark(
        "Its reservation was returned, and it was seen again since: make sure that it no longer uses what was returned."
    ),
}


class LineState(StrEnum):
    """Where a purchase line stands at a moment; derived, never stored."""

    FUTURE = "future"
    ACTIVE = "active"
    EXPIRED = "expired"

    @property
    def badge(self) -> Badge:
        tones = {LineState.FUTURE: Tone.INFO, LineState.ACTIVE: Tone.OK, LineState.EXPIRED: Tone.MUTED}
        return Badge(mark(self.value.capitalize()), tones[self])


class CompactionKind(StrEnum):
    """What was done with a day of the history of use."""

    COMPACTED = "compacted"
    DROPPED = "dropped"


class Compliance(StrEnum):
    """A state of a pool, never of a device (white paper, Out-of-compliance state)."""

    AUTHORIZED = "authorized"
    OUT_OF_COMPLIANCE = "out_of_compliance"

    @property
    def badge(self) -> Badge:
        if self is Compliance.AUTHORIZED:
            return Badge(mark("In Compliance"), Tone.OK)
        return Badge(mark("Out Of Compliance"), Tone.BAD)

    @property
    def label(self) -> str:
        return self.badge.label

    @classmethod
    def of(cls, balance: int, *, unlimited: bool) -> "Compliance":
        """The status that follows from a balance; what is billed by usage is never out of compliance."""
        return cls.AUTHORIZED if unlimited or balance >= 0 else cls.OUT_OF_COMPLIANCE


class TokenState(StrEnum):
    """What an ID token can still do; derived, never stored."""

    ACTIVE = "active"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    REVOKED = "revoked"

    @property
    def badge(self) -> Badge:
        tone = Tone.OK if self is TokenState.ACTIVE else Tone.MUTED
        return Badge(mark(self.value.capitalize()), tone)


class InstanceState(StrEnum):
    """Where a registration stands: certificates issued, acknowledged, being renewed, or over and why.

    `reserved` is a product that never speaks here: it holds a reservation instead of certificates.
    """

    REGISTERING = "registering"
    REGISTERED = "registered"
    RENEWING = "renewing"
    DEREGISTERED = "deregistered"
    REMOVED = "removed"
    EXPIRED = "expired"
    RESERVED = "reserved"

    @property
    def badge(self) -> Badge:
        return Badge(mark(self.value.capitalize()), INSTANCE_TONES[self])

    @property
    def is_active(self) -> bool:
        return self in ACTIVE_STATES


INSTANCE_TONES: Final = {
    InstanceState.REGISTERING: Tone.INFO,
    InstanceState.REGISTERED: Tone.OK,
    InstanceState.RENEWING: Tone.OK,
    InstanceState.DEREGISTERED: Tone.MUTED,
    InstanceState.REMOVED: Tone.MUTED,
    InstanceState.EXPIRED: Tone.WARN,
    InstanceState.RESERVED: Tone.OK,
}
ACTIVE_STATES: Final = frozenset(
    {InstanceState.REGISTERING, InstanceState.REGISTERED, InstanceState.RENEWING, InstanceState.RESERVED}
)
COUNTED_STATES: Final = frozenset({InstanceState.REGISTERED, InstanceState.RENEWING})

INSTANCE_MOVES: Final[dict[InstanceState, frozenset[InstanceState]]] = {
    InstanceState.REGISTERING: frozenset(
        {InstanceState.REGISTERED, InstanceState.DEREGISTERED, InstanceState.REMOVED, InstanceState.EXPIRED}
    ),
    InstanceState.REGISTERED: frozenset(
        {InstanceState.RENEWING, InstanceState.DEREGISTERED, InstanceState.REMOVED, InstanceState.EXPIRED}
    ),
    InstanceState.RENEWING: frozenset(
        {InstanceState.REGISTERED, InstanceState.DEREGISTERED, InstanceState.REMOVED, InstanceState.EXPIRED}
    ),
    InstanceState.RESERVED: frozenset({InstanceState.REMOVED, InstanceState.EXPIRED}),
    InstanceState.DEREGISTERED: frozenset(),
    InstanceState.REMOVED: frozenset(),
    InstanceState.EXPIRED: frozenset(),
}


class KeyState(StrEnum):
    """What a product's key is good for; each renewal brings a new one (domain: Renewal)."""

    CURRENT = "current"
    PENDING = "pending"
    PREVIOUS = "previous"
    RETIRED = "retired"


KEY_MOVES: Final[dict[KeyState, frozenset[KeyState]]] = {
    KeyState.PENDING: frozenset({KeyState.CURRENT, KeyState.RETIRED}),
    KeyState.CURRENT: frozenset({KeyState.PREVIOUS, KeyState.RETIRED}),
    KeyState.PREVIOUS: frozenset({KeyState.RETIRED}),
    KeyState.RETIRED: frozenset(),
}


class NoticeKind(StrEnum):
    """What people are told of the life of a product instance; each is an alert of its own."""

    FAILED_TO_CONNECT = "failed_to_connect"
    FAILED_TO_RENEW = "failed_to_renew"
    REMOVED = "removed"
    CLAIMED_ELSEWHERE = "claimed_elsewhere"
    USE_REFUSED = "use_refused"
    KEY_REFUSED = "key_refused"


class RefusalReason(StrEnum):
    """Why a product does not get an export-restricted license, or no key to it."""

    ACCOUNT = "account"
    TOKEN = "token"  # noqa: S105  a word, not a secret
    NOT_FREE = "not_free"

    @property
    def explanation(self) -> str:
        return {
            RefusalReason.ACCOUNT: mark(
                "this Smart Account may not have export-controlled functionality; the operator can tell."
            ),
            RefusalReason.TOKEN: mark(
                "the ID token that it was registered with does not allow export-controlled functionality. Register it"
                " again with one that does."
            ),
            RefusalReason.NOT_FREE: mark(
                "too few are free. Once more are free or owned, the product gets its key when it asks again."
            ),
        }[self]


class EntitlementStatus(StrEnum):
    """What an authorization answer says of one tag; the last two are kept on the instance, never in a pool."""

    AUTHORIZED = "AUTHORIZED"
    OUT_OF_COMPLIANCE = "OUT_OF_COMPLIANCE"
    INVALID_TAG = "INVALID_TAG"
    EXPORT_RESTRICTED = "EXPORT_RESTRICTED"


class UsageKind(StrEnum):
    """Whether a reported use counts in a pool, or why not."""

    COUNTED = "counted"
    INVALID_TAG = "invalid_tag"
    EXPORT_RESTRICTED = "export_restricted"


class ThirdParty(StrEnum):
    """Whose keys products ask for through us (white paper, Third-party provider information)."""

    SPEECHVIEW = "SPEECHVIEW"
    APNS = "APNS"
    PNP = "PNP"

    @property
    def label(self) -> str:
        return {
            ThirdParty.SPEECHVIEW: mark("SpeechView"),
            ThirdParty.APNS: mark("Apple Push Notification service"),
            ThirdParty.PNP: mark("Plug and Play"),
        }[self]


class UsageSource(StrEnum):
    """By what use came to be known: an authorization request (or an on-prem server), or the endpoints that count."""

    REPORT = "report"
    ENDPOINTS = "endpoints"


class TransitionCause(StrEnum):
    """Why a pool was looked at when its status changed."""

    USE = "use"
    ORDER = "order"
    TERM = "term"
    CATALOG = "catalog"
    REBUILD = "rebuild"
    TRANSFER = "transfer"
    TERMINATION = "termination"
    CORRECTION = "correction"
    RESERVATION = "reservation"
    CONVERSION = "conversion"


OWNERSHIP_EVENTS: Final[dict[str, str]] = {
    "catalog.imported": mark("The catalog was imported as version {version}: {created} new tags, {changed} changed."),
    "catalog.hierarchy_changed": mark("{license}: the next higher license is now {after}; before it was {before}."),
    "order.delivered": mark("Order {order_ref} was delivered: {quantity} licenses in {line_count} lines."),
    "licenses.transferred_out": mark("{summary} were transferred to {target}."),
    "licenses.transferred_in": mark("{summary} were received from {source}."),
    "licenses.terminated": mark("{quantity} {license} were terminated: {reason}"),
    "licenses.corrected": mark("What is owned of {license} was corrected by {change}: {reason}"),
    "licenses.converted": mark("{summary} were converted from classic licenses of {udi}."),
    "conversion.refused": mark("The conversion of classic licenses of {udi} was refused: {reason}"),
    "pool.rebuilt": mark("The figures of {license} were set right from the records: {changes}."),
}
