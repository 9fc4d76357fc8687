"""What a reservation waits for, and since when: for its page and for the board of all of them."""

from enum import StrEnum
from typing import Final

from django.db.models import Case, CharField, DateTimeField, Exists, F, OuterRef, Q, Subquery, Value, When

from cssm.common.text import Badge, Tone, mark
from licensing.models import AuthorizationCode, Reservation
from licensing.querysets.reservations import ReservationQuerySet
from licensing.states import ReservationKind, ReservationState


class Waiting(StrEnum):
    """What is to happen next outside of here."""

    RELEASE = "release"
    CONFIRMATION = "confirmation"
    INSTALLATION = "installation"
    RETURN = "return"
    FAILED_RETURN = "failed_return"
    NOTHING = ""

    @property
    def badge(self) -> Badge:
        return WAITING_BADGES[self]

    @property
    def explanation(self) -> str:
        return EXPLANATIONS[self]


WAITING_BADGES: Final = {
    Waiting.RELEASE: Badge(mark("Confirmation to release"), Tone.WARN),
    Waiting.CONFIRMATION: Badge(mark("Confirmation (optional)"), Tone.INFO),
    Waiting.INSTALLATION: Badge(mark("Installation"), Tone.INFO),
    Waiting.RETURN: Badge(mark("Its return code"), Tone.WARN),
    Waiting.FAILED_RETURN: Badge(mark("Failed one's return code"), Tone.WARN),
    Waiting.NOTHING: Badge(mark("Nothing"), Tone.MUTED),
}
EXPLANATIONS: Final = {
    Waiting.RELEASE: mark(
        "Install the newest authorization code on the product and enter the confirmation code that it shows. Until then"
        " the licenses that were taken away stay reserved, since the product may still use them."
    ),
    Waiting.CONFIRMATION: mark(
        "Install the newest authorization code on the product. What was added is reserved already; entering the"
        " confirmation code is optional, and shows here that the product has it."
    ),
    Waiting.INSTALLATION: mark(
        "Install the authorization code on the product. Entering the confirmation code that it shows then is optional,"
        " and shows here that the product has it."
    ),
    Waiting.RETURN: mark(
        "This product was replaced. Its authorization may still work somewhere, so its licenses stay reserved until its"
        " return code is entered."
    ),
    Waiting.FAILED_RETURN: mark(
        "There were not enough free licenses for both products, so this one shares those of the failed product that it"
        " replaces, until that one's return code is entered."
    ),
    Waiting.NOTHING: "",
}


def waiting_of(reservation: Reservation) -> Waiting:
    """Of one that was read by `with_waiting`."""
    return Waiting(reservation.waits_for)  # type: ignore[attr-defined]  # annotated


def with_waiting(reservations: ReservationQuerySet) -> ReservationQuerySet:
    """With `waits_for` (a value of `Waiting`) and `waits_since` (None where it waits for nothing)."""
    outstanding = AuthorizationCode.objects.outstanding().filter(reservation=OuterRef("pk"))
    takes_away = outstanding.filter(takes_away=True, confirmed_at__isnull=True)
    unconfirmed = outstanding.filter(confirmed_at__isnull=True)
    pending = Q(state=ReservationState.UPDATE_PENDING)
    waits = Case(
        When(kind=ReservationKind.EXPORT, then=Value(Waiting.NOTHING.value)),
        When(pending & Exists(takes_away), then=Value(Waiting.RELEASE.value)),
        When(pending, then=Value(Waiting.CONFIRMATION.value)),
        When(state=ReservationState.AUTHORIZED, then=Value(Waiting.INSTALLATION.value)),
        When(state=ReservationState.INSTALLED, is_shared=True, then=Value(Waiting.FAILED_RETURN.value)),
        When(state=ReservationState.REHOSTED, then=Value(Waiting.RETURN.value)),
        default=Value(Waiting.NOTHING.value),
        output_field=CharField(),
    )
    since = Case(
        When(waits_for=Waiting.RELEASE.value, then=Subquery(takes_away.values("created_at")[:1])),
        When(
            waits_for__in=[Waiting.CONFIRMATION.value, Waiting.INSTALLATION.value],
            then=Subquery(unconfirmed.values("created_at")[:1]),
        ),
        When(waits_for=Waiting.NOTHING.value, then=Value(None)),
        default=F("state_since"),
        output_field=DateTimeField(),
    )
    return reservations.annotate(waits_for=waits).annotate(waits_since=since)
