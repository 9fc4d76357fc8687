"""What notices about servers mean for the alerts of their Virtual Account."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.utils.timezone import localtime

from accounts.models import Event
from alerts.services.rules import AlertChange, Params, Source, register_source
from alerts.states import AlertAction, AlertType
from sync.models import LocalAccount, Notice, OnPremServer
from sync.states import NoticeKind, ServerState

RAISED_BY: Final = {
    NoticeKind.FILE_READY: AlertType.ON_PREM_FILE_READY,
    NoticeKind.OVERDUE: AlertType.SYNCHRONIZATION_OVERDUE,
    NoticeKind.DEADLINE_NEAR: AlertType.UPCOMING_SYNC_DEADLINE,
    NoticeKind.REMOVED: AlertType.ON_PREM_REMOVED,
    NoticeKind.UNLINKED_ACCOUNT: AlertType.AUTHORIZATION_PENDING,
}


def register_server_alerts() -> None:
    """Make the dispatcher drain the notices."""
    register_source(
        Source(
            name="sync.notices",
            alert_types=frozenset(RAISED_BY.values()),
            fetch=fetch_notices,
            to_changes=describe_notice,
            mark=mark_dispatched,
        )
    )


def fetch_notices(limit: int) -> Sequence[Notice]:
    rows = Notice.objects.filter(dispatched_at__isnull=True).select_for_update(skip_locked=True, of=("self",))
    return list(rows.select_related("server__smart_account", "server__virtual_account").order_by("pk")[:limit])


def describe_notice(row: Notice) -> Iterable[AlertChange]:
    """A synchronization, like the end or a new beginning, clears what was told before it."""
    server, kind = row.server, NoticeKind(row.kind)
    if kind is NoticeKind.ACCOUNT_LINKED:
        waits = LocalAccount.objects.filter(server=server, is_active=True, virtual_account__isnull=True).exists()
        action = AlertAction.UPDATE if waits else AlertAction.CLEAR
        yield _change(row, server, action, AlertType.AUTHORIZATION_PENDING, _params(server, kind))
        return
    if kind is not NoticeKind.SYNCHRONIZED:
        yield _change(row, server, AlertAction.RAISE, RAISED_BY[kind], _params(server, kind))
        return
    cleared = set(RAISED_BY.values())
    if LocalAccount.objects.filter(server=server, is_active=True, virtual_account__isnull=True).exists():
        cleared.discard(AlertType.AUTHORIZATION_PENDING)
    for alert_type in sorted(cleared):
        yield _change(row, server, AlertAction.CLEAR, alert_type, {})


def mark_dispatched(rows: Sequence[Notice], now: datetime) -> None:
    Notice.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)


def _change(
    row: Notice, server: OnPremServer, action: AlertAction, alert_type: AlertType, params: Params
) -> AlertChange:
    has_deadline = alert_type in {AlertType.SYNCHRONIZATION_OVERDUE, AlertType.UPCOMING_SYNC_DEADLINE}
    return AlertChange(
        action=action,
        alert_type=alert_type,
        cause=f"onprem:{server.uuid}",
        smart_account_id=server.smart_account_id,
        virtual_account_id=server.virtual_account_id,
        at=row.at,
        params=params,
        source=f"{server.virtual_account.name}: {server.name}",
        path=server.path,
        action_due=server.removal_due_at if has_deadline and server.state == ServerState.REGISTERED else None,
    )


def _params(server: OnPremServer, kind: NoticeKind) -> Params:
    params: dict[str, str | int] = {
        "server": server.name,
        "heard": f"{localtime(server.heard_at):%Y-%m-%d %H:%M %Z}",
    }
    if kind is NoticeKind.REMOVED:
        ended = Event.objects.filter(subject_type="onprem_server", subject_id=str(server.uuid), name="onprem.expired")
        last = ended.order_by("-pk").first()
        params["instances"] = int(last.data.get("instances", 0)) if last is not None else 0
    if kind in {NoticeKind.UNLINKED_ACCOUNT, NoticeKind.ACCOUNT_LINKED}:
        names = LocalAccount.objects.filter(server=server, is_active=True, virtual_account__isnull=True)
        params["accounts"] = ", ".join(names.order_by("name").values_list("name", flat=True)[:10])
    return params
