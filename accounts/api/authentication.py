"""Bearer tokens (RFC 6750) of API clients."""

import hashlib
from typing import Any

from oauth2_provider.models import AccessToken
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import ApiClient
from accounts.services.actors import actor_for_client
from accounts.services.api_clients import USE_NOTED_EVERY, note_use
from accounts.states import AccountStatus
from cssm.common.actor import Actor
from cssm.common.clock import read_clock


class BearerAuthentication(BaseAuthentication):
    """Looks the token up by its digest; the database holds no usable token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if "access_token" in request.query_params:
            raise AuthenticationFailed("Send the token in the Authorization header: URLs end up in logs.")
        scheme, _, credentials = request.headers.get("Authorization", "").strip().partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer" or not credentials.strip():
            raise AuthenticationFailed("Send the header Authorization: Bearer <access token>.")
        return self._actor_of(credentials.strip()), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def _actor_of(self, token: str) -> Actor:
        now = read_clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = (
            AccessToken.objects.filter(token_checksum=digest, expires__gt=now)
            .select_related("application__smart_account", "application__virtual_account")
            .first()
        )
        client = found.application if found is not None else None
        if not isinstance(client, ApiClient) or not is_live(client):
            raise AuthenticationFailed("The access token is unknown, expired or revoked. Ask for a new one.")
        if client.last_used_at is None or client.last_used_at < now - USE_NOTED_EVERY:
            note_use(client=client, now=now)
        return actor_for_client(client)


def is_live(client: ApiClient) -> bool:
    """Whether the client, its account and its Virtual Account still stand."""
    account, virtual_account = client.smart_account, client.virtual_account
    return (
        client.revoked_at is None
        and (account is None or account.status == AccountStatus.ACTIVE)
        and (virtual_account is None or virtual_account.deleted_at is None)
    )
