"""What needs attention in a Smart Account."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from accounts.views.base import AccountView
from alerts.models import Alert
from alerts.services.dismissals import dismiss_alert, restore_alert
from alerts.tables import AlertFilter, AlertTable
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import TableView
from cssm.common.views import ConfirmAction


class AlertList(AccountView, TableView):
    permission = Permission.VIEW
    page_title = "Alerts"
    template_name = "alerts/alerts.html"
    table_class = AlertTable
    filter_class = AlertFilter

    def get_queryset(self) -> QuerySet[Alert]:
        alerts = Alert.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        return alerts.with_rights_of(self.actor).select_related("smart_account", "virtual_account").gravest_first()

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url, "now": self.now}


class _AlertAction(AccountView, ConfirmAction):
    permission = Permission.MANAGE_ASSETS
    danger = False

    def authorize(self) -> None:
        super().authorize()
        alerts = Alert.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        alert = alerts.filter(pk=self.kwargs["pk"]).first()
        if alert is None:
            raise NotFound("There is no such alert, or you have no access to it.")
        self.actor.require(
            self.permission,
            smart_account_id=alert.smart_account_id,
            virtual_account_id=alert.virtual_account_id,
        )

    def get_success_url(self) -> str:
        return f"{self.account_url}alerts/"


class DismissAlert(_AlertAction):
    page_title = "Dismiss this alert"
    submit_label = "Dismiss"
    explanation = "It leaves the list for everybody. It stays under “Dismissed”, from where it can be shown again."

    def perform(self, form: forms.Form) -> str:
        dismiss_alert(actor=self.actor, smart_account=self.smart_account, alert_id=self.kwargs["pk"], now=self.now)
        return "The alert was dismissed."


class RestoreAlert(_AlertAction):
    page_title = "Show this alert again"
    submit_label = "Show again"
    explanation = "It returns to the list for everybody, as long as its cause lasts."

    def perform(self, form: forms.Form) -> str:
        restore_alert(actor=self.actor, smart_account=self.smart_account, alert_id=self.kwargs["pk"], now=self.now)
        return "The alert is shown again."
