"""What a reservation's transitions mean for alerts: Licenses Reserved, Reserved Licenses Returned or Expired."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from licensing.models import Reservation, ReservationTransition
from licensing.states import ACTIVE_RESERVATIONS, ReservationCause, ReservationState

RESERVED: Final = AlertType.LICENSES_RESERVED
RETURNED: Final = AlertType.RESERVED_LICENSES_RETURNED
EXPIRED: Final = AlertType.RESERVED_LICENSE_EXPIRED
_PREFIX: Final = "reservation:"
TOLD_FOR: Final = timedelta(days=30)
"""What was returned is news for so long; a mail that could not leave by then does not leave any more."""


def register_reservation_alerts() -> None:
    """Make the dispatcher drain reservation transitions."""
    register_source(
        Source(
            name="licensing.reservation_transitions",
            alert_types=frozenset({RESERVED, RETURNED, EXPIRED}),
            fetch=fetch_transitions,
            to_changes=describe_transition,
            mark=mark_dispatched,
            present=present_reservations,
        )
    )


def fetch_transitions(limit: int) -> Sequence[ReservationTransition]:
    rows = ReservationTransition.objects.undispatched().select_for_update(skip_locked=True, of=("self",))
    return list(rows.select_related("reservation__instance", "smart_account", "virtual_account")[:limit])


def describe_transition(row: ReservationTransition) -> Iterable[AlertChange]:
    """Reserved from the first code until the end, then what it ended with."""
    state = ReservationState(row.new)
    if row.cause in {ReservationCause.REQUEST, ReservationCause.REHOST} and not row.old:
        yield _change(row, AlertAction.RAISE, RESERVED, row.quantity)
    elif state.is_active:
        yield _change(row, AlertAction.UPDATE, RESERVED, row.quantity)
    else:
        yield _change(row, AlertAction.CLEAR, RESERVED, row.quantity)
    if state is ReservationState.RETURNED:
        yield _change(row, AlertAction.RAISE, RETURNED, row.released)
    if state is ReservationState.EXPIRED:
        yield _change(row, AlertAction.RAISE, EXPIRED, row.quantity)


def mark_dispatched(rows: Sequence[ReservationTransition], now: datetime) -> None:
    ReservationTransition.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)


def present_reservations(causes: Collection[str], now: datetime) -> Mapping[str, Params]:
    """What still holds: of an active reservation that it is there, of one that ended how it ended."""
    ids = {int(cause.removeprefix(_PREFIX)) for cause in causes}
    found = Reservation.objects.filter(pk__in=ids, virtual_account__deleted_at__isnull=True)
    latest: dict[int, ReservationTransition] = {}
    for row in ReservationTransition.objects.filter(reservation__in=ids).order_by("pk"):
        latest[row.reservation_id] = row
    return {
        f"{_PREFIX}{each.pk}": _params(each, _told(latest[each.pk]))
        for each in found
        if each.pk in latest and _is_told(each, now)
    }


def _is_told(reservation: Reservation, now: datetime) -> bool:
    if reservation.state in ACTIVE_RESERVATIONS or reservation.state == ReservationState.EXPIRED:
        return True
    return reservation.returned_at is not None and reservation.returned_at > now - TOLD_FOR


def _told(row: ReservationTransition) -> int:
    return row.released if row.new == ReservationState.RETURNED else row.quantity


def _change(row: ReservationTransition, action: AlertAction, alert_type: AlertType, quantity: int) -> AlertChange:
    reservation, name = row.reservation, row.virtual_account.name
    return AlertChange(
        action=action,
        alert_type=alert_type,
        cause=f"{_PREFIX}{reservation.pk}",
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        at=row.at,
        params=_params(reservation, quantity),
        source=f"{name}: {reservation.udi}",
        path=f"/accounts/{row.smart_account.domain}/inventory/{quote(name, safe='')}/instances/"
        f"{reservation.instance.piid}/",
    )


def _params(reservation: Reservation, quantity: int) -> Params:
    """The product by its UDI; no code."""
    kind = "shared" if reservation.is_shared else reservation.kind
    return {"product": reservation.udi, "quantity": quantity, "kind": kind}
