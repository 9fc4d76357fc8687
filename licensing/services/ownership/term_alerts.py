"""What term notices mean for the alerts "Licenses Expiring" and "Licenses Expired".

All lines of one license in one Virtual Account that end together have one alert. Each threshold raises it anew, so
that subscribers are told again and who dismissed it at 90 days sees it at 30; the end replaces it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final
from urllib.parse import quote

from django.db.models import Exists, Max, OuterRef

from accounts.models import VirtualAccount
from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from licensing.models import Allocation, License, Pool, PurchaseLine, TermNotice
from licensing.services.ownership.terms import TERM_ALERTS, Term, read_remaining

EXPIRING: Final = AlertType.LICENSES_EXPIRING
EXPIRED: Final = AlertType.LICENSES_EXPIRED


@dataclass(frozen=True, slots=True)
class Told:
    """A notice with what is left of its term by now. `is_first`: no other line of the term came to this threshold
    before. `settled_at`: when the last of it was taken or it was renewed, where nothing is left to tell of.
    """

    notice: TermNotice
    term: Term
    remaining: int
    is_first: bool
    settled_at: datetime | None
    pool_id: int | None


def register_term_alerts() -> None:
    """Make the dispatcher drain term notices."""
    register_source(
        Source(
            name="licensing.term_notices",
            alert_types=TERM_ALERTS,
            fetch=fetch_notices,
            to_changes=describe_notice,
            mark=mark_dispatched,
            present=present_terms,
        )
    )


def fetch_notices(limit: int) -> Sequence[Told]:
    earlier = TermNotice.objects.filter(
        pk__lt=OuterRef("pk"),
        days=OuterRef("days"),
        line__virtual_account=OuterRef("line__virtual_account"),
        line__license=OuterRef("line__license"),
        line__end=OuterRef("line__end"),
    )
    rows = TermNotice.objects.undispatched().select_for_update(skip_locked=True, of=("self",))
    notices: Any = rows.select_related("line__license", "smart_account", "virtual_account").annotate(
        is_repeated=Exists(earlier)
    )[:limit]
    terms = {notice.pk: Term.of(notice.line) for notice in notices}
    left = read_remaining(set(terms.values()))
    pools = _find_pools(terms.values())
    return [
        Told(
            notice=notice,
            term=terms[notice.pk],
            remaining=left.get(terms[notice.pk], 0),
            is_first=not notice.is_repeated,
            settled_at=None if terms[notice.pk] in left else _settled_at(notice),
            pool_id=pools.get((notice.line.virtual_account_id, notice.line.license_id)),
        )
        for notice in notices
    ]


def describe_notice(told: Told) -> Iterable[AlertChange]:
    """Raised at each threshold, replaced by the other alert at the end, cleared where nothing is left to tell of."""
    notice, wanted = told.notice, EXPIRED if told.notice.days == 0 else EXPIRING
    if told.settled_at is not None:
        yield _change(told, AlertAction.CLEAR, EXPIRING, told.settled_at)
        yield _change(told, AlertAction.CLEAR, EXPIRED, told.settled_at)
        return
    # Noticed by a sweep; it happened when the threshold was reached, or when the line came, past it already.
    at = max(notice.line.created_at, told.term.end - timedelta(days=notice.days))
    if told.is_first:
        yield _change(told, AlertAction.CLEAR, EXPIRING, at)
    yield _change(told, AlertAction.RAISE, wanted, at)


def mark_dispatched(rows: Sequence[Told], now: datetime) -> None:
    TermNotice.objects.filter(pk__in=[row.notice.pk for row in rows]).update(dispatched_at=now)


def present_terms(causes: Collection[str], now: datetime) -> Mapping[str, Params]:
    """What is left of each term at this moment; one emptied or renewed, or whose account is gone, is missing."""
    left = read_remaining([Term.from_cause(cause) for cause in causes])
    live = set(
        VirtualAccount.objects.live()
        .filter(pk__in={term.virtual_account_id for term in left})
        .values_list("pk", flat=True)
    )
    licenses = License.objects.in_bulk({term.license_id for term in left})
    return {
        term.cause: _params(licenses[term.license_id], term, remaining, now)
        for term, remaining in left.items()
        if term.virtual_account_id in live
    }


def _change(told: Told, action: AlertAction, alert_type: AlertType, at: datetime) -> AlertChange:
    notice = told.notice
    name, license = notice.virtual_account.name, notice.line.license
    page = f"licenses/{told.pool_id}/" if told.pool_id else "licenses/"
    return AlertChange(
        action=action,
        alert_type=alert_type,
        cause=told.term.cause,
        smart_account_id=notice.smart_account_id,
        virtual_account_id=notice.virtual_account_id,
        at=at,
        params=_params(license, told.term, told.remaining, notice.at),
        source=f"{name}: {license.display_name}",
        path=f"/accounts/{notice.smart_account.domain}/inventory/{quote(name, safe='')}/{page}",
        action_due=told.term.end,
    )


def _params(license: License, term: Term, remaining: int, now: datetime) -> Params:
    days = ceil((term.end - now) / timedelta(days=1))
    return {"license": license.display_name, "tag": license.tag, "quantity": remaining, "days": max(0, days)}


def _settled_at(notice: TermNotice) -> datetime:
    line = notice.line
    place = {"virtual_account": line.virtual_account_id, "license": line.license_id}
    taken = Allocation.objects.filter(line__end=line.end, **{f"line__{name}": key for name, key in place.items()})
    came = PurchaseLine.objects.filter(created_at__gt=line.created_at, **place)
    moments = (taken.aggregate(at=Max("at"))["at"], came.aggregate(at=Max("created_at"))["at"])
    return max((moment for moment in moments if moment is not None), default=notice.at)


def _find_pools(terms: Iterable[Term]) -> dict[tuple[int, int], int]:
    """Pool ids by Virtual Account and license."""
    wanted = {(term.virtual_account_id, term.license_id) for term in terms}
    pools = Pool.objects.filter(
        virtual_account__in={virtual_account for virtual_account, _ in wanted},
        license__in={license for _, license in wanted},
    )
    return {(va, license): pk for pk, va, license in pools.values_list("pk", "virtual_account", "license")}
