"""What notices about product instances mean for alerts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from licensing.models import InstanceNotice
from licensing.states import NoticeKind, RefusalReason

ALERT_TYPES: Final = {
    NoticeKind.FAILED_TO_CONNECT: AlertType.INSTANCE_FAILED_TO_CONNECT,
    NoticeKind.FAILED_TO_RENEW: AlertType.INSTANCE_FAILED_TO_RENEW,
    NoticeKind.REMOVED: AlertType.INSTANCE_REMOVED,
    NoticeKind.CLAIMED_ELSEWHERE: AlertType.UDI_CLAIMED_ELSEWHERE,
    NoticeKind.USE_REFUSED: AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE,
    NoticeKind.KEY_REFUSED: AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE,
}


def register_notices() -> None:
    """Make the dispatcher drain the notices."""
    register_source(
        Source(
            name="licensing.instance_notices",
            alert_types=frozenset(ALERT_TYPES.values()),
            fetch=fetch_notices,
            to_changes=describe_notice,
            mark=mark_dispatched,
            present=present_notices,
        )
    )


def fetch_notices(limit: int) -> Sequence[InstanceNotice]:
    rows = InstanceNotice.objects.undispatched().select_for_update(skip_locked=True, of=("self",))
    return list(rows.select_related("instance", "license", "smart_account", "virtual_account")[:limit])


def describe_notice(row: InstanceNotice) -> Iterable[AlertChange]:
    """Raised while it stands, cleared when it does not any more."""
    cleared, instance, kind = row.cleared_at is not None, row.instance, NoticeKind(row.kind)
    page = f"/accounts/{row.smart_account.domain}/inventory/{quote(row.virtual_account.name, safe='')}/instances/"
    yield AlertChange(
        action=AlertAction.CLEAR if cleared else AlertAction.RAISE,
        alert_type=ALERT_TYPES[kind],
        cause=_cause(row),
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        at=row.cleared_at or row.at,
        params=_params(row),
        source=f"{row.virtual_account.name}: {instance.udi}",
        path=f"{page}?state=ended" if kind is NoticeKind.REMOVED else f"{page}{instance.piid}/",
        action_due=row.due_at,
    )


def mark_dispatched(rows: Sequence[InstanceNotice], now: datetime) -> None:
    InstanceNotice.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)


def present_notices(causes: Collection[str], now: datetime) -> Mapping[str, Params]:
    """Notices that stand at this moment; one whose cure has come is missing."""
    ids = {int(cause.rsplit(":", 1)[1]) for cause in causes}
    standing = InstanceNotice.objects.standing().filter(instance__in=ids).select_related("instance", "license")
    rows = {_cause(row): row for row in standing}
    return {cause: _params(rows[cause]) for cause in causes if cause in rows}


def _cause(row: InstanceNotice) -> str:
    of_license = "" if row.license_id is None else f"{row.license_id}:"
    return f"instance:{row.kind}:{of_license}{row.instance_id}"


def _params(row: InstanceNotice) -> Params:
    """The product by its UDI: its host name is of a person, and alerts are kept."""
    params: dict[str, str | int] = {"product": row.instance.udi, "at": f"{row.at:%Y-%m-%d}"}
    if row.license is not None:
        params |= {"license": row.license.display_name, "tag": row.license.tag, "quantity": row.quantity}
        params["why"] = RefusalReason(row.reason).explanation
    return params
