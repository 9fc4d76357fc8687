"""The operator's view of the certificate authority: who signs, what is ready, and how to stop it all."""

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import F
from django.http import HttpResponse
from django.urls import reverse

from cssm.common.views import Crumb, FormAction, PageView
from cssm.portal.forms import BlockKeyForm, IssuingForm
from cssm.portal.views.operator import OperatorView
from licensing.services.devices.blocking import block_product_key
from pki.models import Authority, BlockedKey, IssuingChange, PooledKey, Revocation, SigningRequest
from pki.services.crls import find_crl
from pki.services.issuing import resume_issuing, stop_issuing
from pki.states import RequestState

SHOWN = 20


class Keys(OperatorView, PageView):
    page_title = "Operator area"
    template_name = "portal/operator_keys.html"

    def get_context(self) -> dict[str, Any]:
        authorities = list(Authority.objects.order_by(F("replaced_at").desc(nulls_first=True), "pk"))
        return {
            **super().get_context(),
            "authorities": [(each, None if each.replaced_at else find_crl(each.name)) for each in authorities],
            "pool_level": PooledKey.objects.count(),
            "pool_size": settings.KEY_POOL_SIZE,
            "open_intents": SigningRequest.objects.filter(state=RequestState.PENDING).count(),
            "switch": IssuingChange.objects.order_by("-pk").first(),
            "revoked": Revocation.objects.filter(not_after__gt=self.now).count(),
            "blocked": BlockedKey.objects.order_by("-blocked_at")[:SHOWN],
        }


class KeyAction(OperatorView, FormAction):
    form_class: type[forms.Form] = IssuingForm

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("Authorities and keys", reverse("operator-keys"))]

    def get_success_url(self) -> str:
        return reverse("operator-keys")


class StopIssuing(KeyAction):
    page_title = "Stop issuing certificates"
    submit_label = "Stop issuing"
    danger = True

    def get_consequences(self) -> list[str]:
        return [
            "No certificate is issued any more, to anyone, until you resume.",
            "Products cannot register or renew: they are asked to try again every hour. Nothing else stops.",
        ]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        stop_issuing(actor=self.actor, reason=form.cleaned_data["reason"], now=self.now)
        return "Issuing was stopped."


class ResumeIssuing(KeyAction):
    page_title = "Resume issuing certificates"
    submit_label = "Resume"

    def perform(self, form: forms.Form) -> str | HttpResponse:
        resume_issuing(actor=self.actor, reason=form.cleaned_data["reason"], now=self.now)
        return "Certificates are issued again."


class BlockKey(KeyAction):
    page_title = "Block a compromised key"
    form_class = BlockKeyForm
    submit_label = "Block the key"
    danger = True

    def get_consequences(self) -> list[str]:
        return [
            "The key is never certified again. This cannot be undone.",
            "A product that has it is removed and its certificates are revoked; it has to register with a new key.",
        ]

    def perform(self, form: forms.Form) -> str | HttpResponse:
        removed = block_product_key(
            actor=self.actor, text=form.cleaned_data["key"], reason=form.cleaned_data["reason"], now=self.now
        )
        what = ", ".join(instance.udi for instance in removed)
        return f"The key was blocked. Removed: {what}." if removed else "The key was blocked. No product has it."
