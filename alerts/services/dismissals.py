"""Taking an alert off the list, and putting it back."""

from datetime import datetime

from django.db import transaction

from accounts.models import SmartAccount
from accounts.services.events import record_event
from alerts.models import Alert
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission


def dismiss_alert(*, actor: Actor, smart_account: SmartAccount, alert_id: int, now: datetime) -> Alert:
    """Nobody needs to see it any more. Dismissing again changes nothing. Raises `NotFound`, `Forbidden`."""
    return _set(actor, smart_account, alert_id, now, dismiss=True)


def restore_alert(*, actor: Actor, smart_account: SmartAccount, alert_id: int, now: datetime) -> Alert:
    """Undo a dismissal. Raises `NotFound`, `Forbidden`."""
    return _set(actor, smart_account, alert_id, now, dismiss=False)


def _set(actor: Actor, smart_account: SmartAccount, alert_id: int, now: datetime, *, dismiss: bool) -> Alert:
    alert = Alert.objects.visible_to(actor).filter(smart_account=smart_account, pk=alert_id).first()
    if alert is None:
        raise NotFound("There is no such alert, or you have no access to it.")
    actor.require(
        Permission.MANAGE_ASSETS, smart_account_id=alert.smart_account_id, virtual_account_id=alert.virtual_account_id
    )
    by = int(actor.id) if actor.kind is ActorKind.USER else None
    with transaction.atomic():
        rows = Alert.objects.filter(pk=alert.pk, dismissed_at__isnull=dismiss)
        if rows.update(dismissed_at=now if dismiss else None, dismissed_by=by if dismiss else None):
            record_event(
                actor=actor,
                name="alert.dismissed" if dismiss else "alert.restored",
                smart_account=alert.smart_account_id,
                virtual_account=alert.virtual_account_id,
                subject_type="alert",
                subject_id=alert.pk,
                data={"type": alert.kind.label, "source": alert.source},
                now=now,
            )
    alert.refresh_from_db()
    return alert
