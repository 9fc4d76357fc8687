"""Duplicate Licenses: products that seem to be counted twice are written down as findings, and cleared when not.

A run looks at what is new, at what was found before, and at a window of all instances that moves on with every run; so
it costs the same at a thousand instances and at a million, and everything is looked at again within a round.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from django.core.cache import cache
from django.db.models import Exists, OuterRef, Q

from cssm.common.jobs import nudge
from licensing.models import DuplicateFinding, ProductInstance, Reservation
from licensing.querysets.devices import ProductInstanceQuerySet
from licensing.services.insight.suspicions import SILENT_AFTER, Suspicion, suspect
from licensing.states import ACTIVE_STATES

MOST_INSTANCES: Final = 20_000
CHUNK: Final = 500
# (end of the window, newest instance seen). A lost one only begins the round anew.
PLACE: Final = "licensing:duplicates:place"


def find_duplicates(*, now: datetime, limit: int = MOST_INSTANCES) -> int:
    """Bring the findings up to date, looking at `limit` instances of each sort at most; returns how many changed."""
    newest = ProductInstance.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    at, seen = cache.get(PLACE) or (0, newest)
    window, window_end = _slice_after(at, limit)
    fresh, fresh_end = _slice_after(seen, limit)
    concerned = {
        *_find_doubtful(window, now),
        *_find_doubtful(fresh, now),
        *DuplicateFinding.objects.standing().order_by("pk").values_list("instance", flat=True)[:limit],
        *_find_ended(limit),
    }
    changed = review(concerned, now=now)
    cache.set(PLACE, (window_end or 0, fresh_end or newest), timeout=None)
    return changed


def review(instance_ids: Iterable[int], *, now: datetime) -> int:
    """Compare the findings of these instances with what holds now; returns how many findings changed."""
    ids, changed = sorted(set(instance_ids)), 0
    for start in range(0, len(ids), CHUNK):
        changed += _settle(ids[start : start + CHUNK], now)
    if changed:
        nudge("alerts.dispatch")
    return changed


def _slice_after(key: int, limit: int) -> tuple[ProductInstanceQuerySet, int | None]:
    """So many instances after the key, and the key of the last; None where they reach the end."""
    rows = ProductInstance.objects.filter(pk__gt=key)
    end = next(iter(rows.order_by("pk").values_list("pk", flat=True)[limit - 1 : limit]), None)
    return (rows if end is None else rows.filter(pk__lte=end)), end


def _find_doubtful(rows: ProductInstanceQuerySet, now: datetime) -> set[int]:
    """Those of the instances that may be a duplicate at all, with others of the same UDI."""
    twin = (
        ProductInstance.objects.active()
        .filter(smart_account=OuterRef("smart_account"), udi=OuterRef("udi"))
        .exclude(pk=OuterRef("pk"))
    )
    twins = rows.active().filter(Exists(twin)).order_by()
    silent = Q(contact__last_contact_at__lt=now - SILENT_AFTER) & ~Q(udi_pid="")
    others = rows.active().filter(silent | ~Q(ha_peers=[])).order_by()
    same = ProductInstance.objects.active().filter(udi__in=twins.values("udi")).order_by()
    given_back = Reservation.objects.filter(udi=OuterRef("udi"), returned_at__isnull=False)
    returned = rows.active().filter(Exists(given_back)).order_by()
    return {key for found in (same, others, returned) for key in found.values_list("pk", flat=True)}


def _find_ended(limit: int) -> list[int]:
    """Instances with a finding that is over because they, or the ones that they double, have ended."""
    over = ~Q(instance__state__in=ACTIVE_STATES) | Q(other__isnull=False) & ~Q(other__state__in=ACTIVE_STATES)
    return list(DuplicateFinding.objects.standing().filter(over).values_list("instance", flat=True)[:limit])


def _settle(instance_ids: Collection[int], now: datetime) -> int:
    expected = {(found.instance_id, found.kind.value): found for found in suspect(instance_ids, now=now)}
    rows = {row.pk: row for row in ProductInstance.objects.filter(pk__in=instance_ids)}
    changed = 0
    for finding in DuplicateFinding.objects.standing().filter(instance__in=instance_ids):
        found = expected.get((finding.instance_id, finding.kind))
        # An instance that has moved is another matter: people of the other Virtual Account are told.
        if found is None or finding.virtual_account_id != rows[finding.instance_id].virtual_account_id:
            changed += _change(finding, cleared_at=now)
        else:
            del expected[finding.instance_id, finding.kind]
            if (finding.other_id, finding.reason) != (found.other_id, found.reason):
                changed += _change(finding, other=found.other_id, reason=found.reason)
    made = [_make(found, rows[found.instance_id], now) for found in expected.values()]
    DuplicateFinding.objects.bulk_create(made, ignore_conflicts=True)
    return changed + len(made)


def _change(finding: DuplicateFinding, **values: object) -> int:
    return DuplicateFinding.objects.standing().filter(pk=finding.pk).update(**values, dispatched_at=None)


def _make(found: Suspicion, row: ProductInstance, now: datetime) -> DuplicateFinding:
    return DuplicateFinding(
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        kind=found.kind.value,
        instance=row,
        other_id=found.other_id,
        reason=found.reason.value,
        found_at=now,
    )
