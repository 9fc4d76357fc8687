"""Addresses of a Smart Account that are told of its alerts. What people choose for themselves is theirs alone."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from alerts.models import Subscription
from alerts.services.subscriptions import subscribe_address
from alerts.states import AlertType, Frequency
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery, StrictSerializer, Text
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission

TYPES = {kind.label: kind for kind in AlertType}
FREQUENCIES = [frequency.value for frequency in Frequency]


class WantedSetting(StrictSerializer):
    address = Text(max_length=254, help_text="In the Smart Account's own domain.")
    alertType = CaselessChoice(choices=list(TYPES))
    frequency = CaselessChoice(choices=FREQUENCIES, help_text="`off` takes the address off the list.")


class SettingRow(serializers.Serializer[Any]):
    address = serializers.CharField()
    alertType = serializers.ChoiceField(choices=list(TYPES))
    frequency = serializers.ChoiceField(choices=FREQUENCIES)
    changedAt = serializers.DateTimeField()


class SettingsAnswer(ListAnswer):
    notificationSettings = SettingRow(many=True)


class NotificationSettingsView(AccountApiView):
    permission = Permission.MANAGE_INTEGRATIONS

    @reads("listNotificationSettings", "Addresses told of alerts", SettingsAnswer, query=PageQuery, tag="alerts")
    def get(self, request: Request, domain: str) -> Response:
        rows = Subscription.objects.of_addresses(self.smart_account.pk).order_by("address", "alert_type")
        return self.success_page("notificationSettings", rows, self.read_page(), show_setting)

    @changes("setNotification", "Tell an address of alerts, or no longer", Answer, body=WantedSetting, tag="alerts")
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(WantedSetting)
        subscribe_address(
            actor=self.actor,
            smart_account=self.smart_account,
            address=wanted["address"],
            alert_type=TYPES[wanted["alertType"]],
            frequency=Frequency(wanted["frequency"]),
            now=self.now,
        )
        return self.success()


def show_setting(row: Subscription) -> dict[str, Any]:
    return {
        "address": row.address,
        "alertType": AlertType(row.alert_type).label,
        "frequency": row.frequency,
        "changedAt": show_moment(row.changed_at),
    }
