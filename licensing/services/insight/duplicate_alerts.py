"""What duplicate findings mean for the alert "Duplicate Licenses"."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from django.db.models import Sum

from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from licensing.models import DuplicateFinding, Usage
from licensing.states import ACTIVE_STATES, DuplicateKind, DuplicateReason

_PREFIX: Final = "duplicate:"


def register_duplicates() -> None:
    """Make the dispatcher drain duplicate findings."""
    register_source(
        Source(
            name="licensing.duplicate_findings",
            alert_types=frozenset({AlertType.DUPLICATE_LICENSES}),
            fetch=fetch_findings,
            to_changes=describe_finding,
            mark=mark_dispatched,
            present=present_duplicates,
        )
    )


def fetch_findings(limit: int) -> Sequence[DuplicateFinding]:
    rows = DuplicateFinding.objects.undispatched().select_for_update(skip_locked=True, of=("self",))
    return list(rows.select_related("instance", "smart_account", "virtual_account")[:limit])


def describe_finding(row: DuplicateFinding) -> Iterable[AlertChange]:
    """Raised while it stands, cleared when it does not any more."""
    cleared = row.cleared_at is not None
    instance = row.instance
    yield AlertChange(
        action=AlertAction.CLEAR if cleared else AlertAction.RAISE,
        alert_type=AlertType.DUPLICATE_LICENSES,
        cause=_cause(row),
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        at=row.cleared_at or row.found_at,
        params={} if cleared else _params(row, units_held([instance.pk]).get(instance.pk, 0)),
        source=f"{row.virtual_account.name}: {instance.udi}",
        path=f"/accounts/{row.smart_account.domain}/inventory/all/duplicates/?q={quote(instance.udi, safe='')}",
    )


def mark_dispatched(rows: Sequence[DuplicateFinding], now: datetime) -> None:
    DuplicateFinding.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)


def present_duplicates(causes: Collection[str], now: datetime) -> Mapping[str, Params]:
    """Findings that stand, with what the instance uses at this moment; one that has ended is missing."""
    ids = {int(cause.rsplit(":", 1)[1]) for cause in causes}
    standing = DuplicateFinding.objects.standing().filter(instance__in=ids, instance__state__in=ACTIVE_STATES)
    rows = {_cause(row): row for row in standing.select_related("instance")}
    held = units_held(ids)
    return {cause: _params(row, held.get(row.instance_id, 0)) for cause, row in rows.items() if cause in set(causes)}


def units_held(instance_ids: Collection[int]) -> dict[int, int]:
    """How many licenses each instance takes from its pools, by instance; absent where none."""
    counted = Usage.objects.counted().filter(instance__in=instance_ids).order_by().values("instance")
    return {row["instance"]: row["units"] for row in counted.annotate(units=Sum("quantity"))}


def _cause(row: DuplicateFinding) -> str:
    return f"{_PREFIX}{row.kind}:{row.instance_id}"


def _params(row: DuplicateFinding, in_use: int) -> Params:
    """The product by its UDI: its host name is of a person, and alerts are kept."""
    return {
        "product": row.instance.udi,
        "kind": DuplicateKind(row.kind).label,
        "why": DuplicateReason(row.reason).explanation,
        "in_use": in_use,
    }
