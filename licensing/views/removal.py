"""Removing a product instance, after asking."""

from django import forms
from django.http import HttpResponse

from accounts.views.base import VirtualAccountView
from cssm.common.errors import Conflict, NotFound
from cssm.common.permissions import Permission
from cssm.common.views import ConfirmAction, Crumb
from licensing.models import ProductInstance, Usage
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.origins import DIRECT
from licensing.states import InstanceState


class RemoveInstance(VirtualAccountView, ConfirmAction):
    """`?from=<pool>` is the license whose explanation led here, and to which it goes back."""

    permission = Permission.MANAGE_ASSETS
    submit_label = "Remove"

    def authorize(self) -> None:
        super().authorize()
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        instance = own.select_related("origin").filter(piid=self.kwargs["piid"]).first()
        if instance is None:
            raise NotFound("There is no such product instance in this Virtual Account.")
        self.instance = instance

    def get_page_title(self) -> str:
        return f"Remove {self.instance.hostname or self.instance.udi}"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Product Instances", self.tab_url("instances"))]

    def get_explanation(self) -> str:
        return "The product leaves this Virtual Account. If it still runs, it has to register again with a token."

    def get_consequences(self) -> list[str]:
        counted = Usage.objects.visible_to(self.actor).counted().filter(instance=self.instance)
        freed = [
            f"{use.quantity} {use.license.display_name} are freed."
            for use in counted.select_related("license").order_by("tag")
            if use.license
        ]
        return freed or ["It uses no license, so none is freed."]

    def get_success_url(self) -> str:
        origin = self.request.GET.get("from", "")
        if origin.isascii() and origin.isdecimal() and len(origin) < 19:
            return f"{self.va_url}licenses/{int(origin)}/explain/"
        return self.tab_url("instances")

    def perform(self, form: forms.Form) -> str | HttpResponse:
        if self.instance.origin.name != DIRECT:
            raise Conflict(
                "An on-prem server reports it. Remove it there; it leaves here with the next synchronization.",
                code="OWNED_BY_ON_PREM",
            )
        if not InstanceState(self.instance.state).is_active:
            raise Conflict("Its registration has ended already.", code="INSTANCE_ENDED")
        remove_instance(actor=self.actor, instance=self.instance, now=self.now)
        return f"{self.instance.hostname or self.instance.udi} was removed."
