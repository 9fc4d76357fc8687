"""The General tab: what the Virtual Account is, and the ID tokens that let products register into it."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from accounts.views.base import VirtualAccountView
from cssm.common.clock import read_clock
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import ConfirmAction, Crumb, FormAction, PageView
from licensing.forms.tokens import TokenForm
from licensing.models import IdToken
from licensing.services.devices import tokens
from licensing.states import TokenState
from licensing.tables.tokens import IdTokenTable
from licensing.views.inventory import InventoryTab


class TokenFilter(TableFilter):
    search_fields = ("description", "created_by_label")
    state = ChoiceFilter(
        label="Status", method="with_state", choices=[(s.value, s.badge.label) for s in TokenState], empty_label="All"
    )

    def with_state(self, queryset: QuerySet[IdToken], name: str, value: str) -> QuerySet[IdToken]:
        now = read_clock()
        revoked, expired = Q(revoked_at__isnull=False), Q(expires_at__lte=now)
        exhausted = Q(max_uses__isnull=False, uses__gte=F("max_uses"))
        wanted = {
            TokenState.ACTIVE: ~revoked & ~expired & ~exhausted,
            TokenState.REVOKED: revoked,
            TokenState.EXPIRED: ~revoked & expired,
            TokenState.EXHAUSTED: ~revoked & ~expired & exhausted,
        }
        return queryset.filter(wanted[TokenState(value)])


class GeneralTab(TableView, InventoryTab):
    tab = "general"
    table_class = IdTokenTable
    filter_class = TokenFilter
    template_name = "licensing/general.html"

    def get_queryset(self) -> QuerySet[IdToken]:
        return IdToken.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"now": self.now, "va_url": self.va_url, "may_manage": self.may(Permission.MANAGE_ASSETS)}

    def get_empty_action(self) -> tuple[str, str] | None:
        if not self.may(Permission.MANAGE_ASSETS):
            return None
        return "New token", f"{self.va_url}tokens/new/"


class TokenDialog(VirtualAccountView):
    """What the dialogs about one token have in common: only those who may manage assets get that far."""

    permission = Permission.MANAGE_ASSETS
    token: IdToken

    def authorize(self) -> None:
        super().authorize()
        if "token" in self.kwargs:
            own = IdToken.objects.visible_to(self.actor, Permission.MANAGE_ASSETS)
            token = own.filter(virtual_account=self.virtual_account, pk=self.kwargs["token"]).first()
            if token is None:
                raise NotFound("There is no such token in this Virtual Account.")
            self.token = token

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("General", self.tab_url("general"))]

    def get_success_url(self) -> str:
        return self.tab_url("general")


class NewToken(TokenDialog, FormAction):
    page_title = "New registration token"
    form_class = TokenForm
    submit_label = "Create token"

    def get_explanation(self) -> str:
        return f"Products that are given this token register into {self.virtual_account.name}."

    def perform(self, form: Any) -> HttpResponse:
        values = form.cleaned_data
        token, value = tokens.create_token(
            actor=self.actor,
            virtual_account=self.virtual_account,
            description=values["description"],
            lifetime_days=values["lifetime_days"],
            max_uses=values["max_uses"],
            export_controlled_allowed=values["export_controlled_allowed"],
            now=self.now,
        )
        return show_value(self, token, value)


class ShowToken(TokenDialog, PageView):
    """The token's value, to be copied or saved."""

    page_title = "Registration token"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        value = tokens.reveal_token(actor=self.actor, token=self.token)
        if "download" in request.GET:
            return download(self.token, value)
        return show_value(self, self.token, value)


class RevokeToken(TokenDialog, ConfirmAction):
    page_title = "Revoke this token?"
    submit_label = "Revoke"

    def get_explanation(self) -> str:
        return f"No further product can register with “{self.token.description or 'this token'}”."

    def get_consequences(self) -> list[str]:
        return ["Products that are registered already stay registered.", "This cannot be undone."]

    def perform(self, form: Any) -> str:
        tokens.revoke_token(actor=self.actor, token=self.token, now=self.now)
        return "The token was revoked."


def show_value(view: TokenDialog, token: IdToken, value: str) -> HttpResponse:
    """The dialog with the token in full; never cached, for it is a secret."""
    context = {
        "page_title": "Registration token",
        "token": token,
        "value": value,
        "download_url": f"{view.va_url}tokens/{token.pk}/?download",
        "back_url": view.tab_url("general"),
    }
    template = "licensing/_token_dialog.html" if view.wants_part else "licensing/token_page.html"
    response = view.render(template, context)
    response["Cache-Control"] = "no-store"
    return response


def download(token: IdToken, value: str) -> HttpResponse:
    response = HttpResponse(value + "\n", content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="id-token-{token.pk}.txt"'
    response["Cache-Control"] = "no-store"
    return response
