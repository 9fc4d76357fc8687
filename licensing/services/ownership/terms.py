"""Licenses that come to their end: told of at 90, 60, 30, 14, 7, 3 and 1 days before, and when it has come.

A notice is a row per line and threshold; `term_alerts` makes alerts of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Case, Exists, IntegerField, OuterRef, Q, Value, When

from alerts.models import Alert
from alerts.states import AlertType
from cssm.common.jobs import nudge
from licensing.models import PurchaseLine, TermNotice

THRESHOLDS: Final = (90, 60, 30, 14, 7, 3, 1, 0)
"""Days before the end (domain: Pools and compliance); 0 is the end itself."""

LOOK_BACK: Final = timedelta(days=366)
"""What ended longer ago is told to nobody any more, so that a sweep does not look at all that ever ended."""

LONGEST_GAP: Final = timedelta(days=31)
"""A line that begins later than this after an end is no renewal of what ended."""

MOST_NOTICES: Final = 5_000
CHUNK: Final = 500
TERM_ALERTS: Final = frozenset({AlertType.LICENSES_EXPIRING, AlertType.LICENSES_EXPIRED})
PREFIX: Final = "term:"


@dataclass(frozen=True, slots=True)
class Term:
    """All lines of one license in one Virtual Account that end at one instant: people are told of them together."""

    virtual_account_id: int
    license_id: int
    end: datetime

    @classmethod
    def of(cls, line: PurchaseLine) -> "Term":
        assert line.end is not None  # noqa: S101  nobody is told of a line without end
        return cls(line.virtual_account_id, line.license_id, line.end)

    @classmethod
    def from_cause(cls, cause: str) -> "Term":
        virtual_account, license_id, end = cause.removeprefix(PREFIX).split(":", 2)
        return cls(int(virtual_account), int(license_id), datetime.fromisoformat(end))

    @property
    def cause(self) -> str:
        """What its alerts are known by."""
        return f"{PREFIX}{self.virtual_account_id}:{self.license_id}:{self.end.isoformat()}"


def make_term_notices(*, now: datetime, limit: int = MOST_NOTICES) -> int:
    """Write down which lines have come to a threshold since the last run, soonest end first; returns how many.

    One notice per line, for the nearest threshold that it has reached: what was delivered 20 days before its end is
    told of at 30 days and not at 90 and 60 as well, what ended while nothing ran only as ended. Lines of which nothing
    is left are told of no more, and a standing alert whose lines have been emptied or renewed is looked at again.
    """
    known = TermNotice.objects.filter(line=OuterRef("pk"), days__lte=OuterRef("days"))
    due: Any = (
        PurchaseLine.objects.filter(end__gt=now - LOOK_BACK, end__lte=now + timedelta(days=max(THRESHOLDS)))
        .annotate(days=_nearest_threshold(now))
        .filter(~Exists(known))
        .with_anything_left()
        .order_by("end", "pk")
    )
    notices = [
        TermNotice(
            smart_account_id=line.smart_account_id,
            virtual_account_id=line.virtual_account_id,
            line=line,
            days=line.days,
            quantity=line.remaining,
            at=now,
        )
        for line in due[:limit]
    ]
    # Two sweeps at once find the same lines; the unique constraint lets one of them tell.
    TermNotice.objects.bulk_create(notices, ignore_conflicts=True)
    again = _tell_of_recovered()
    if notices or again:
        nudge("alerts.dispatch")
    return len(notices) + again


def read_remaining(terms: Collection[Term]) -> Mapping[Term, int]:
    """What is left of the lines of each of the terms; absent where nothing is, or where all of it was renewed."""
    wanted = set(terms)
    lines = PurchaseLine.objects.filter(
        virtual_account__in={term.virtual_account_id for term in wanted},
        license__in={term.license_id for term in wanted},
    )
    places = {(term.virtual_account_id, term.license_id) for term in wanted}
    by_place: dict[tuple[int, int], list[PurchaseLine]] = {}
    for line in lines.with_anything_left():
        if (place := (line.virtual_account_id, line.license_id)) in places:
            by_place.setdefault(place, []).append(line)
    left: dict[Term, int] = {}
    for of_place in by_place.values():
        left |= {term: quantity for term, quantity in _without_renewed(of_place).items() if term in wanted}
    return left


def _without_renewed(lines: Sequence[PurchaseLine]) -> dict[Term, int]:
    """The terms among the lines of one license in one Virtual Account, but those that newer lines follow in full.

    A line follows a term if it came later than all lines of that, begins no more than a month after its end and goes on
    beyond. Every unit follows one term only, the sooner end first.
    """
    by_term: dict[Term, list[PurchaseLine]] = {}
    for line in lines:
        if line.end is not None:
            by_term.setdefault(Term.of(line), []).append(line)
    free = {line.pk: line.remaining for line in lines}
    left: dict[Term, int] = {}
    for term in sorted(by_term, key=lambda term: term.end):
        quantity = sum(line.remaining for line in by_term[term])
        newest = max(line.created_at for line in by_term[term])
        followers = [
            line
            for line in lines
            if line.created_at > newest
            and line.start <= term.end + LONGEST_GAP
            and (line.end is None or line.end > term.end)
        ]
        if sum(free[line.pk] for line in followers) < quantity:
            left[term] = quantity
            continue
        for line in sorted(followers, key=lambda line: (line.end is None, line.end, line.pk)):
            taken = min(quantity, free[line.pk])
            free[line.pk], quantity = free[line.pk] - taken, quantity - taken
    return left


def _nearest_threshold(now: datetime) -> Case:
    cases = [When(end__lte=now + timedelta(days=days), then=Value(days)) for days in sorted(THRESHOLDS)]
    return Case(*cases, output_field=IntegerField())


def _tell_of_recovered() -> int:
    """Have the dispatcher look again at terms that have an alert but were emptied or renewed, which clears it."""
    expiring = Q(type=AlertType.LICENSES_EXPIRING)
    expired = Q(type=AlertType.LICENSES_EXPIRED, dismissed_at__isnull=True)
    standing = Alert.objects.standing().filter(expiring | expired).order_by()
    causes = list(standing.values_list("cause", flat=True).distinct())
    told = 0
    for start in range(0, len(causes), CHUNK):
        terms = {Term.from_cause(cause) for cause in causes[start : start + CHUNK]}
        for term in terms - set(read_remaining(terms)):
            told += TermNotice.objects.filter(pk__in=_newest_notice(term)).update(dispatched_at=None)
    return told


def _newest_notice(term: Term) -> list[int]:
    """The one that is told of again; an older one would be told as if it came to its threshold anew."""
    of_term = TermNotice.objects.filter(
        line__virtual_account=term.virtual_account_id, line__license=term.license_id, line__end=term.end
    )
    return list(of_term.order_by("-pk").values_list("pk", flat=True)[:1])
