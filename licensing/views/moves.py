"""Transferring product instances from the Product Instances tab, one or many, with a look at what moves with them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import cached_property

from accounts.models import VirtualAccount
from accounts.views.base import VirtualAccountView
from cssm.common.errors import Conflict, NotFound
from cssm.common.permissions import Permission
from cssm.common.views import MAX_SELECTED, Crumb
from cssm.common.wizards import REVIEW, Step, WizardView, start_wizard
from licensing.forms.moves import MoveForm
from licensing.models import ProductInstance
from licensing.services.devices.moving import transfer_instances
from licensing.services.ownership.requests import list_targets
from licensing.services.reservations.move_preview import MovePreview, preview_moves
from licensing.views.tagging import is_uuid

SHOWN_ROWS = 100
CHOOSE_FIRST = "Choose the product instances to transfer first."


class TransferInstances(VirtualAccountView, WizardView):
    """`?instance=PIID`, or rows chosen in the table, begin it. What was chosen waits in the session."""

    permission = Permission.MANAGE_ASSETS
    page_title = "Transfer product instances"
    submit_label = "Transfer"
    steps = (Step("target", "Virtual Account", MoveForm),)
    body_templates = {"target": "licensing/_move_target.html", "review": "licensing/_move_review.html"}

    def get_success_url(self) -> str:
        return self.tab_url("instances")

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Product Instances", self.tab_url("instances"))]

    @property
    def wizard_url(self) -> str:
        return f"{self.va_url}instances/transfer/"

    @cached_property
    def targets(self) -> dict[str, VirtualAccount]:
        found = list_targets(actor=self.actor, source=self.virtual_account)
        return {account.name: account for account in found}

    @cached_property
    def instances(self) -> list[ProductInstance]:
        """Those chosen that are still here, by name."""
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        chosen = own.filter(piid__in=self.request.session.get(self._chosen_key, []))
        return list(chosen.select_related("virtual_account", "origin").order_by("hostname", "udi", "pk"))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "instance" in request.GET:
            return self._begin([request.GET["instance"]])
        if not self.instances:
            messages.info(request, CHOOSE_FIRST)
            return self.redirect(self.get_success_url())
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "open" in request.POST:
            return self._begin(request.POST.getlist("selected"))
        if not self.instances:
            messages.info(request, "These product instances are not here any more: they were transferred already.")
            return self.redirect(self.get_success_url())
        return super().post(request, *args, **kwargs)

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {} if step is REVIEW else {"targets": list(self.targets)}

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        return [("From", self.virtual_account.name), ("To", answers["target"]["target"])]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step is not REVIEW:
            return {"chosen": self.instances[:SHOWN_ROWS], "chosen_count": len(self.instances), "wide": True}
        preview = self._preview(answers)
        moving, staying = preview.moving, preview.staying
        rows = [(row, row.before.status.badge, row.after.status.badge) for row in preview.outlook[:SHOWN_ROWS]]
        return {
            "wide": True,
            "blocked": not moving,
            "moving": moving[:SHOWN_ROWS],
            "moving_count": len(moving),
            "more_moving": max(0, len(moving) - SHOWN_ROWS),
            "staying": staying[:SHOWN_ROWS],
            "outlook": rows,
            "more_outlook": max(0, len(preview.outlook) - SHOWN_ROWS),
        }

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        target = self._target(answers)
        moves = transfer_instances(actor=self.actor, instances=self.instances, target=target, now=self.now)
        self.request.session.pop(self._chosen_key, None)
        done = sum(move.error is None for move in moves)
        context = {
            "page_title": "Product instances transferred" if done else "No product instance was transferred",
            "moves": moves[:MAX_SELECTED],
            "done": done,
            "count": len(moves),
            "target": target,
            "back_url": self.get_success_url(),
        }
        return self.render("licensing/moves_done.html", context)

    @property
    def _chosen_key(self) -> str:
        return f"wizard-chosen:{self.request.path}"

    def _preview(self, answers: dict[str, dict[str, Any]]) -> MovePreview:
        return preview_moves(actor=self.actor, instances=self.instances, target=self._target(answers), now=self.now)

    def _target(self, answers: dict[str, dict[str, Any]]) -> VirtualAccount:
        target = self.targets.get(answers["target"]["target"])
        if target is None:
            raise NotFound("There is no such Virtual Account, or you have no access to it.")
        return target

    def _begin(self, keys: list[str]) -> HttpResponse:
        piids = [key for key in dict.fromkeys(keys) if is_uuid(key)]
        if len(piids) > MAX_SELECTED:
            raise Conflict(f"At most {MAX_SELECTED} product instances are transferred at once.", code="TOO_MANY")
        self.request.session[self._chosen_key] = piids
        start_wizard(self.request, self.wizard_url, {})
        if not self.instances:
            messages.warning(self.request, CHOOSE_FIRST)
            return self.redirect(self.get_success_url())
        return self.redirect(self.wizard_url)
