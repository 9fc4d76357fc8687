"""Who is told of what: one's own choices, the Smart Account's addresses, and the log of messages."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from alerts.forms import AddressForm, Place, PreferencesForm, list_places
from alerts.models import Delivery, Subscription, SummaryEntry
from alerts.services.rules import offered_types
from alerts.services.subscriptions import choose_notifications, subscribe_address
from alerts.states import AlertType, Frequency
from alerts.tables import DeliveryFilter, DeliveryTable, with_related
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import TableView
from cssm.common.views import ConfirmAction, Crumb, FormAction


class Preferences(AccountView, FormAction):
    permission = Permission.VIEW
    page_title = "Preferences"
    page_template = "alerts/preferences.html"
    form_class = PreferencesForm

    def get_success_url(self) -> str:
        return f"{self.account_url}preferences/"

    def get_places(self) -> list[Place]:
        accounts = VirtualAccount.objects.visible_to(self.actor).live().filter(smart_account=self.smart_account)
        whole = self.actor.may(Permission.VIEW, smart_account_id=self.smart_account.pk)
        return list_places(
            self.smart_account.name, whole=whole, virtual_accounts=list(accounts.order_by("-is_default", "name"))
        )

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"places": self.get_places(), "types": offered_types()}

    def get_initial(self) -> dict[str, Any]:
        own = Subscription.objects.filter(user_id=int(self.actor.id), smart_account=self.smart_account)
        chosen = {Place(row.virtual_account_id, "").field(AlertType(row.alert_type)): row.frequency for row in own}
        general = {Place(None, "").field(alert_type): Frequency.OFF.value for alert_type in offered_types()}
        return {**general, **chosen}

    def get_context(self) -> dict[str, Any]:
        manages = self.may(Permission.MANAGE_INTEGRATIONS)
        addresses = Subscription.objects.of_addresses(self.smart_account.pk) if manages else Subscription.objects.none()
        return {
            **super().get_context(),
            "manages_addresses": manages,
            "addresses": addresses.order_by("address", "alert_type"),
        }

    def perform(self, form: forms.Form) -> str:
        assert isinstance(form, PreferencesForm)  # noqa: S101  this view's form_class
        choose_notifications(actor=self.actor, smart_account=self.smart_account, choices=form.choices(), now=self.now)
        return "Your choices were saved."


class _PreferencesPart(AccountView):
    permission = Permission.MANAGE_INTEGRATIONS

    def get_success_url(self) -> str:
        return f"{self.account_url}preferences/"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Preferences", self.get_success_url())]


class AddAddress(_PreferencesPart, FormAction):
    page_title = "Add an address"
    submit_label = "Add"
    explanation = "The address is told of alerts in all Virtual Accounts. Every message holds a link that ends it."
    form_class = AddressForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"types": offered_types(), "domain": self.smart_account.domain}

    def perform(self, form: forms.Form) -> str:
        subscribe_address(
            actor=self.actor,
            smart_account=self.smart_account,
            address=form.cleaned_data["address"],
            alert_type=AlertType(form.cleaned_data["alert_type"]),
            frequency=Frequency(form.cleaned_data["frequency"]),
            now=self.now,
        )
        return "The address was added."


class RemoveAddress(_PreferencesPart, ConfirmAction):
    page_title = "Remove this address"
    submit_label = "Remove"

    def authorize(self) -> None:
        super().authorize()
        row = Subscription.objects.of_addresses(self.smart_account.pk).filter(pk=self.kwargs["pk"]).first()
        if row is None:
            raise NotFound("There is no such address, or it was removed already.")
        self.subscription = row

    def get_explanation(self) -> str:
        return f"{self.subscription.address} will no longer be told of “{self.subscription.get_alert_type_display()}”."

    def perform(self, form: forms.Form) -> str:
        subscribe_address(
            actor=self.actor,
            smart_account=self.smart_account,
            address=self.subscription.address,
            alert_type=AlertType(self.subscription.alert_type),
            frequency=Frequency.OFF,
            now=self.now,
        )
        return "The address was removed."


class DeliveryLog(_PreferencesPart, TableView):
    page_title = "Messages sent"
    template_name = "alerts/deliveries.html"
    table_class = DeliveryTable
    filter_class = DeliveryFilter

    def get_queryset(self) -> QuerySet[Delivery]:
        return with_related(Delivery.objects.told_about(self.smart_account.pk, SummaryEntry.objects.all()))
