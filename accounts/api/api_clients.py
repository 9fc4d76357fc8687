"""API clients: listed, made, revoked. Rotation is a second client beside the first."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import ApiClient
from accounts.services.api_clients import create_api_client, revoke_api_client
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery, StrictSerializer, Text
from cssm.common.clock import show_moment
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission, Role


class NewApiClient(StrictSerializer):
    name = Text(max_length=120, required=False, allow_blank=True, default="")
    role = CaselessChoice(choices=shapes.ROLES)
    virtualAccount = Text(max_length=120, required=False, help_text="For the VA roles.")


class ApiClientChoice(StrictSerializer):
    clientId = Text(max_length=100)


class ApiClientRow(serializers.Serializer[Any]):
    clientId = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=shapes.ROLES)
    virtualAccount = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    revoked = serializers.BooleanField()


class ApiClientsAnswer(ListAnswer):
    apiClients = ApiClientRow(many=True)


class ApiClientAnswer(Answer):
    apiClient = ApiClientRow()


class NewApiClientAnswer(ApiClientAnswer):
    clientSecret = serializers.CharField(help_text="Shown this once.")


class ApiClientApiView(AccountApiView):
    permission = Permission.MANAGE_INTEGRATIONS

    def clients(self) -> Any:
        of_account = ApiClient.objects.filter(smart_account=self.smart_account)
        return of_account.visible_to(self.actor).select_related("virtual_account")


class ApiClientsView(ApiClientApiView):
    @reads("listApiClients", "API clients of an account", ApiClientsAnswer, query=PageQuery)
    def get(self, request: Request, domain: str) -> Response:
        return self.success_page("apiClients", self.clients().order_by("-pk"), self.read_page(), show_client)

    @changes("createApiClient", "Create an API client", NewApiClientAnswer, body=NewApiClient)
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(NewApiClient)
        client, secret = create_api_client(
            actor=self.actor,
            smart_account=self.smart_account,
            role=Role(wanted["role"]),
            virtual_account=self.find_virtual_account(wanted["virtualAccount"]) if "virtualAccount" in wanted else None,
            name=wanted["name"],
            now=self.now,
        )
        return self.success(apiClient=show_client(client), clientSecret=secret)


class ApiClientRevocationView(ApiClientApiView):
    @changes("revokeApiClient", "Revoke an API client and its access tokens", ApiClientAnswer, body=ApiClientChoice)
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(ApiClientChoice)
        client = self.clients().filter(client_id=wanted["clientId"]).first()
        if client is None:
            raise NotFound("There is no such API client.", where="clientId")
        return self.success(apiClient=show_client(revoke_api_client(actor=self.actor, client=client, now=self.now)))


def show_client(row: ApiClient) -> dict[str, Any]:
    return {
        "clientId": row.client_id,
        "name": row.name,
        "role": row.role,
        "virtualAccount": row.virtual_account.name if row.virtual_account is not None else None,
        "createdAt": show_moment(row.created_at),
        "lastUsedAt": show_moment(row.last_used_at),
        "revoked": row.revoked_at is not None,
    }
