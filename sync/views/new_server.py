"""New On-Prem: a registration file is checked, what it brings is reviewed, and its server registered."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.utils.functional import cached_property

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from cssm.common.errors import DomainError, Invalid
from cssm.common.permissions import Permission
from cssm.common.views import Crumb
from cssm.common.wizards import REVIEW, Step, WizardView
from sync.codecs.registration import MAX_SIZE
from sync.errors import FileConflict, FileRefused
from sync.forms.servers import ConfirmAnewForm, RegistrationForm
from sync.services.receiving import Upload, receive_upload
from sync.services.registration import register_server
from sync.services.registration_preview import Preview, preview_registration
from sync.views.servers import TITLE

FILE: Final = Step("file", "Registration file", RegistrationForm)
ANEW: Final = Step("anew", "Register anew", ConfirmAnewForm)


class NewServer(AccountView, WizardView):
    """A server that is known with another key asks for one step more: what it was given is revoked."""

    permission = Permission.MANAGE_ASSETS
    page_title = "New On-Prem"
    submit_label = "Register the server"
    body_templates = {
        "file": "sync/servers/_new_file.html",
        "anew": "sync/servers/_new_anew.html",
        "review": "sync/servers/_new_review.html",
    }

    @property
    def steps(self) -> tuple[Step, ...]:  # type: ignore[override]  # a server that is known may ask for one more
        return (FILE, ANEW) if "replaces" in self._stored().get("file", {}) else (FILE,)

    @property
    def onprem_url(self) -> str:
        return f"{self.account_url}onprem/"

    def get_success_url(self) -> str:
        return self.onprem_url

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(TITLE, self.onprem_url)]

    @cached_property
    def virtual_accounts(self) -> dict[str, VirtualAccount]:
        """Those that the person may register a server to, by their key."""
        managed = VirtualAccount.objects.live().visible_to(self.actor, Permission.MANAGE_ASSETS)
        return {str(row.pk): row for row in managed.filter(smart_account=self.smart_account).order_by("name")}

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == ANEW.key:
            return {"file_digest": hashlib.sha256(answers["file"]["data"]).hexdigest()}
        if step.key != FILE.key:
            return {}
        return {"virtual_accounts": [(key, account.name) for key, account in self.virtual_accounts.items()]}

    def preview(self, answers: dict[str, dict[str, Any]]) -> Preview:
        with self._upload(answers) as upload:
            return preview_registration(
                actor=self.actor,
                virtual_account=self.virtual_accounts[answers["file"]["virtual_account"]],
                upload=upload,
                name=answers["file"]["name"],
            )

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        self.replaces = self.preview(answers).replaces

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        if not isinstance(form, RegistrationForm):
            return super().keep(step, form)
        return {**form.kept(), **({"replaces": ["1"]} if self.replaces else {})}

    def show_refusal(self, form: forms.Form, error: DomainError) -> None:
        if isinstance(form, RegistrationForm) and isinstance(error, FileRefused | FileConflict):
            form.add_problems(error)
        else:
            super().show_refusal(form, error)

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        try:
            preview = self.preview(answers)
        except DomainError:
            return []
        return [
            ("On-Prem name", preview.name),
            ("UUID", preview.uuid),
            ("Virtual Account", self.virtual_accounts[answers["file"]["virtual_account"]].name),
            ("HTTPS certificates for", ", ".join(preview.hosts)),
            ("File", answers["file"]["file_name"]),
        ]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == FILE.key:
            return {"wide": bool(getattr(form, "problems", []))}
        try:
            preview = self.preview(answers)
        except DomainError as error:
            return {"blocked": step is REVIEW, "reason": error.message}
        hours = settings.THREE_TIER_DELAY_HOURS
        return {"preview": preview, "known": preview.known, "three_tier_hours": hours}

    def find_done(self, key: str) -> str:
        done, url = self.request.session.get(f"onprem-registered:{self.request.path}", ("", ""))
        return url if done == key else ""

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        with self._upload(answers) as upload:
            exchange = register_server(
                actor=self.actor,
                virtual_account=self.virtual_accounts[answers["file"]["virtual_account"]],
                upload=upload,
                name=answers["file"]["name"],
                confirmed=bool(answers.get("anew", {}).get("confirm")),
                now=self.now,
            )
        url = f"{exchange.server.path}authorization/"
        self.request.session[f"onprem-registered:{self.request.path}"] = (self.key, url)
        return self.redirect(url)

    @contextmanager
    def _upload(self, answers: dict[str, dict[str, Any]]) -> Iterator[Upload]:
        data: bytes = answers["file"]["data"]
        if not data:
            raise Invalid("Choose the registration file once more.", where="file")
        with receive_upload([data], most=MAX_SIZE) as upload:
            yield upload
