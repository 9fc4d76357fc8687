"""Entering the return code of a product's export authorization key."""

from typing import Any

from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.views import Crumb
from licensing.codecs.return_code import split_return_code
from licensing.forms.reservations import ReturnForm
from licensing.models import ProductInstance, Reservation
from licensing.services.reservations.returns import check_return, choose_by_code, return_reservation
from licensing.views.code_checks import ChecksCode
from licensing.views.reservation_actions import released_by


class ReturnExportKey(VirtualAccountView, ChecksCode):
    permission = Permission.MANAGE_ASSETS
    page_title = "Enter the return code"
    form_class = ReturnForm
    submit_label = "Return the licenses"

    def authorize(self) -> None:
        super().authorize()
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        instance = own.filter(piid=self.kwargs["piid"]).first()
        if instance is None:
            raise NotFound("There is no such product instance in this Virtual Account.")
        self.instance = instance

    @property
    def instance_url(self) -> str:
        return f"{self.va_url}instances/{self.instance.piid}/"

    def get_success_url(self) -> str:
        return self.instance_url

    def get_crumbs(self) -> list[Crumb]:
        instances = Crumb("Product Instances", self.tab_url("instances"))
        return [*super().get_crumbs(), instances, Crumb(self.instance.udi, self.instance_url)]

    def get_explanation(self) -> str:
        return f"It shows that {self.instance.udi} has given an export authorization key back."

    def get_consequences(self) -> list[str]:
        return ["What the key holds is free again. The product stays registered."]

    def find_key(self, code: str) -> Reservation:
        keys = Reservation.objects.visible_to(self.actor).export_keys().filter(instance=self.instance)
        found = choose_by_code(keys.select_related("instance").order_by("-pk"), split_return_code(code))
        if found is None:
            raise NotFound(f"{self.instance.udi} holds no export authorization key.")
        return found

    def check(self, typed: str) -> dict[str, Any]:
        check_return(actor=self.actor, reservation=self.find_key(typed), return_code=typed)
        return {"verdict": f"This is the return code of a key of {self.instance.udi}."}

    def perform(self, form: Any) -> str:
        code = form.cleaned_data["code"]
        found = self.find_key(code)
        returned = return_reservation(actor=self.actor, reservation=found, return_code=code, now=self.now)
        return f"The key of {returned.udi} was returned. {released_by(returned):,} licenses were released."
