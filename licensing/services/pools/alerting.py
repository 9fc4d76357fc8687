"""What a pool's transitions mean for the alert "Insufficient Licenses"."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from licensing.models import Pool, PoolTransition
from licensing.states import Compliance

_PREFIX: Final = "pool:"


def register_shortages() -> None:
    """Make the dispatcher drain pool transitions."""
    register_source(
        Source(
            name="licensing.pool_transitions",
            alert_types=frozenset({AlertType.INSUFFICIENT_LICENSES}),
            fetch=fetch_transitions,
            to_changes=describe_transition,
            mark=mark_dispatched,
            present=present_shortages,
        )
    )


def fetch_transitions(limit: int) -> Sequence[PoolTransition]:
    rows = PoolTransition.objects.undispatched().select_for_update(skip_locked=True, of=("self",))
    return list(rows.select_related("pool__license", "smart_account", "virtual_account")[:limit])


def describe_transition(row: PoolTransition) -> Iterable[AlertChange]:
    """Raise at the change to out of compliance, clear at the change back."""
    short = row.new == Compliance.OUT_OF_COMPLIANCE
    domain, va = row.smart_account.domain, quote(row.virtual_account.name, safe="")
    yield AlertChange(
        action=AlertAction.RAISE if short else AlertAction.CLEAR,
        alert_type=AlertType.INSUFFICIENT_LICENSES,
        cause=f"{_PREFIX}{row.pool_id}",
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        at=row.at,
        params=_params(row.pool, row.purchased, row.in_use, row.reserved, row.borrowed, row.balance),
        source=f"{row.virtual_account.name}: {row.pool.license.display_name}",
        path=f"/accounts/{domain}/inventory/{va}/licenses/{row.pool_id}/explain/",
    )


def mark_dispatched(rows: Sequence[PoolTransition], now: datetime) -> None:
    PoolTransition.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)


def present_shortages(causes: Collection[str], now: datetime) -> Mapping[str, Params]:
    """The figures of this very moment, by cause; a pool that covers its use again is missing."""
    keys = [int(cause.removeprefix(_PREFIX)) for cause in causes]
    pools = Pool.objects.filter(pk__in=keys).select_related("license").with_figures(now)
    return {
        f"{_PREFIX}{pool.pk}": _params(
            pool, pool.now_purchased, pool.now_in_use, pool.now_reserved, pool.now_borrowed, pool.now_balance
        )
        for pool in pools.short()
    }


def _params(pool: Pool, purchased: int, in_use: int, reserved: int, borrowed: int, balance: int) -> Params:
    """A license that is short lends nothing: needed = purchased + borrowed + shortage."""
    return {
        "license": pool.license.display_name,
        "tag": pool.license.tag,
        "purchased": purchased,
        "in_use": in_use,
        "reserved": reserved,
        "needed": in_use + reserved,
        "borrowed": borrowed,
        "shortage": -balance,
    }
