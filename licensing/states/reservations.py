"""The states of reservations and of their authorization codes, with their labels, badges and legal moves. Pure."""

from enum import StrEnum
from typing import Final

from cssm.common.text import Badge, Tone, mark


class ReservationKind(StrEnum):
    """Specific reservations (SLR) name licenses; a universal one (PLR) entitles its product to everything.

    An export authorization key is one too: a registered product asked for it by itself, for one license.
    """

    SPECIFIC = "specific"
    UNIVERSAL = "universal"
    EXPORT = "export"

    @property
    def letter(self) -> str:
        """The first letter of its request and return codes."""
        return "D" if self is ReservationKind.UNIVERSAL else "C"

    @property
    def label(self) -> str:
        return mark("Export key") if self is ReservationKind.EXPORT else mark(self.value.capitalize())

    @classmethod
    def of_letter(cls, letter: str) -> "ReservationKind":
        """What a code with this letter was requested for. Raises KeyError for any other letter."""
        return {kind.letter: kind for kind in REQUESTED_KINDS}[letter]


REQUESTED_KINDS: Final = (ReservationKind.SPECIFIC, ReservationKind.UNIVERSAL)
"""What people reserve with a product's request code."""


class ReservationState(StrEnum):
    """Where a reservation stands: code issued, known to be installed, change not yet confirmed, or over and why."""

    AUTHORIZED = "authorized"
    INSTALLED = "installed"
    UPDATE_PENDING = "update_pending"
    RETURNED = "returned"
    REHOSTED = "rehosted"
    EXPIRED = "expired"

    @property
    def badge(self) -> Badge:
        return RESERVATION_BADGES[self]

    @property
    def label(self) -> str:
        return self.badge.label

    @property
    def is_active(self) -> bool:
        return self in ACTIVE_RESERVATIONS


RESERVATION_BADGES: Final = {
    ReservationState.AUTHORIZED: Badge(mark("Authorization code issued"), Tone.INFO),
    ReservationState.INSTALLED: Badge(mark("Installed"), Tone.OK),
    ReservationState.UPDATE_PENDING: Badge(mark("Update not confirmed"), Tone.WARN),
    ReservationState.RETURNED: Badge(mark("Returned"), Tone.MUTED),
    ReservationState.REHOSTED: Badge(mark("Rehosted"), Tone.MUTED),
    ReservationState.EXPIRED: Badge(mark("Expired"), Tone.WARN),
}
ACTIVE_RESERVATIONS: Final = frozenset(
    {ReservationState.AUTHORIZED, ReservationState.INSTALLED, ReservationState.UPDATE_PENDING}
)
_ENDS: Final = frozenset({ReservationState.RETURNED, ReservationState.REHOSTED, ReservationState.EXPIRED})
RESERVATION_MOVES: Final[dict[ReservationState, frozenset[ReservationState]]] = {
    ReservationState.AUTHORIZED: _ENDS | {ReservationState.INSTALLED, ReservationState.UPDATE_PENDING},
    ReservationState.INSTALLED: _ENDS | {ReservationState.UPDATE_PENDING},
    ReservationState.UPDATE_PENDING: _ENDS | {ReservationState.AUTHORIZED, ReservationState.INSTALLED},
    # The failed product was found again, and gave its authorization back after all.
    ReservationState.REHOSTED: frozenset({ReservationState.RETURNED, ReservationState.EXPIRED}),
    ReservationState.RETURNED: frozenset(),
    ReservationState.EXPIRED: frozenset(),
}


class ReservationCause(StrEnum):
    """What moved a reservation on."""

    REQUEST = "request"
    CONFIRMATION = "confirmation"
    UPDATE = "update"
    CANCELLATION = "cancellation"
    RETURN = "return"
    REHOST = "rehost"
    TERM = "term"
    ENDING = "ending"


class AuthorizationState(StrEnum):
    """Where one authorization code of a reservation stands. What is outstanding may be in the product."""

    OUTSTANDING = "outstanding"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def badge(self) -> Badge:
        tone = Tone.OK if self is AuthorizationState.OUTSTANDING else Tone.MUTED
        return Badge(mark(self.value.capitalize()), tone)
