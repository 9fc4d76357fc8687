"""ID tokens: created, listed with their values, revoked."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.actor import Actor
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery, StrictSerializer, Text, WholeNumber
from cssm.common.clock import show_moment
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.api.rows import answer_rows
from licensing.api.shapes import TokenResultsAnswer
from licensing.models import IdToken
from licensing.services.devices.tokens import (
    DEFAULT_DAYS,
    DESCRIPTION_LIMIT,
    MAX_DAYS,
    MAX_USES,
    create_token,
    get_token,
    reveal_token,
    revoke_token,
)

ALLOWED, NOT_ALLOWED = "Allowed", "Not Allowed"
EXPORT_CHOICES = [ALLOWED, NOT_ALLOWED]


class NewToken(StrictSerializer):
    description = Text(max_length=DESCRIPTION_LIMIT, required=False, allow_blank=True, default="")
    expiresAfterDays = WholeNumber(required=False, default=DEFAULT_DAYS, min_value=1, max_value=MAX_DAYS)
    exportControlled = CaselessChoice(choices=EXPORT_CHOICES, required=False, default=ALLOWED)
    numberofUses = WholeNumber(
        required=False, allow_null=True, default=None, min_value=1, max_value=MAX_USES, help_text="Empty: unlimited."
    )


class TokenValues(StrictSerializer):
    tokens = serializers.ListField(child=Text(max_length=2048), min_length=1, max_length=1000)


class TokenRow(serializers.Serializer[Any]):
    token = serializers.CharField()
    description = serializers.CharField()
    status = serializers.CharField()
    expirationDate = serializers.DateTimeField()
    usesRemaining = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")
    exportControlled = serializers.ChoiceField(choices=EXPORT_CHOICES)
    createdBy = serializers.CharField()


class TokensAnswer(ListAnswer):
    tokens = TokenRow(many=True)


class TokenAnswer(Answer):
    tokenInfo = TokenRow()


class TokensView(AccountApiView):
    """The list needs the right to manage, for it shows the values."""

    permission = Permission.MANAGE_ASSETS

    @reads("listTokens", "ID tokens of a Virtual Account, newest first", TokensAnswer, query=PageQuery, tag="tokens")
    def get(self, request: Request, domain: str, va: str) -> Response:
        tokens = IdToken.objects.visible_to(self.actor, self.permission).filter(virtual_account=self.virtual_account)
        return self.success_page("tokens", tokens.order_by("-created_at", "-pk"), self.read_page(), self.show)

    @changes("createToken", "Create an ID token", TokenAnswer, body=NewToken, tag="tokens")
    def post(self, request: Request, domain: str, va: str) -> Response:
        wanted = self.read_body(NewToken)
        token, value = create_token(
            actor=self.actor,
            virtual_account=self.virtual_account,
            description=wanted["description"],
            lifetime_days=wanted["expiresAfterDays"],
            max_uses=wanted["numberofUses"],
            export_controlled_allowed=wanted["exportControlled"] == ALLOWED,
            now=self.now,
        )
        return self.success(tokenInfo={"token": value, **self.show_terms(token)})

    def show(self, token: IdToken) -> dict[str, Any]:
        return {"token": reveal_token(actor=self.actor, token=token), **self.show_terms(token)}

    def show_terms(self, token: IdToken) -> dict[str, Any]:
        return {
            "description": token.description,
            "status": token.state_at(self.now).badge.label,
            "expirationDate": show_moment(token.expires_at),
            "usesRemaining": token.uses_left,
            "exportControlled": ALLOWED if token.export_controlled_allowed else NOT_ALLOWED,
            "createdBy": token.created_by_label,
        }


class TokenRevocationView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("revokeTokens", "Revoke ID tokens, each by itself", TokenResultsAnswer, body=TokenValues, tag="tokens")
    def post(self, request: Request, domain: str, va: str) -> Response:
        values: list[str] = self.read_body(TokenValues)["tokens"]
        return answer_rows(values, perform=self.revoke, show=lambda value: {"token": value})

    def revoke(self, value: str) -> str:
        revoke_token(actor=self.actor, token=self.find(self.actor, value), now=self.now)
        return "The token was revoked."

    def find(self, actor: Actor, value: str) -> IdToken:
        token = get_token(actor=actor, value=value)
        if token.virtual_account_id != self.virtual_account.pk:
            raise NotFound("There is no such token in this Virtual Account.", where="tokens")
        return token
