"""What is wrong in an account: listed as in the portal, dismissed, put back."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from alerts.models import Alert
from alerts.services.dismissals import dismiss_alert, restore_alert
from alerts.services.texts import describe_alert
from alerts.states import AlertType, Severity
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission


class AlertQuery(PageQuery):
    type = CaselessChoice(choices=[kind.label for kind in AlertType], required=False)
    dismissed = serializers.BooleanField(required=False, default=False, help_text="Also what somebody dismissed.")


class AlertRow(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    severity = serializers.ChoiceField(choices=[severity.label for severity in Severity])
    type = serializers.ChoiceField(choices=[kind.label for kind in AlertType])
    message = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of the shape, which DRF takes off the class
    virtualAccount = serializers.CharField(allow_null=True)
    actionDue = serializers.DateTimeField(allow_null=True)
    raisedAt = serializers.DateTimeField()
    dismissed = serializers.BooleanField()


class AlertsAnswer(ListAnswer):
    alerts = AlertRow(many=True)


class AlertAnswer(Answer):
    alert = AlertRow()


class AlertsView(AccountApiView):
    permission = Permission.VIEW

    @reads("listAlerts", "What is wrong now, gravest first", AlertsAnswer, query=AlertQuery, tag="alerts")
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(AlertQuery)
        rows = Alert.objects.visible_to(self.actor).filter(smart_account=self.smart_account).standing()
        if not query["dismissed"]:
            rows = rows.undismissed()
        if "type" in query:
            rows = rows.filter(type=next(kind for kind in AlertType if kind.label == query["type"]))
        shown = rows.select_related("smart_account", "virtual_account").gravest_first()
        return self.success_page("alerts", shown, self.read_page(), show_alert)


class DismissalView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("dismissAlert", "Take an alert off the list", AlertAnswer, tag="alerts")
    def post(self, request: Request, domain: str, alert_id: int) -> Response:
        alert = dismiss_alert(actor=self.actor, smart_account=self.smart_account, alert_id=alert_id, now=self.now)
        return self.success(alert=show_alert(alert))


class RestorationView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("restoreAlert", "Put a dismissed alert back on the list", AlertAnswer, tag="alerts")
    def post(self, request: Request, domain: str, alert_id: int) -> Response:
        alert = restore_alert(actor=self.actor, smart_account=self.smart_account, alert_id=alert_id, now=self.now)
        return self.success(alert=show_alert(alert))


def show_alert(row: Alert) -> dict[str, Any]:
    return {
        "id": row.pk,
        "severity": row.grade.label,
        "type": row.kind.label,
        "message": describe_alert(row),
        "source": row.source,
        "virtualAccount": row.virtual_account.name if row.virtual_account is not None else None,
        "actionDue": show_moment(row.action_due),
        "raisedAt": show_moment(row.raised_at),
        "dismissed": row.dismissed_at is not None,
    }
