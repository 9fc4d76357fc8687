"""API clients of the cast, and callers that speak as them."""

import json as jsonlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.api_clients import create_api_client, create_operator_client
from cssm.common.clock import read_clock
from cssm.common.permissions import Role

BASE = "/services/api/smart-accounts-and-licensing"


@dataclass
class Caller:
    """Speaks to the API with one client's token, or with none."""

    token: str | None
    client_id: str = ""
    secret: str = ""
    base: str = BASE

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        given = {"Authorization": f"Bearer {self.token}"} if self.token is not None else {}
        return {**given, **(extra or {})}

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        return Client().get(self.base + path, query or {}, headers=self.headers(headers))

    def post(
        self, path: str, body: Any = None, *, key: str | None = None, raw: bytes | None = None, **more: Any
    ) -> Any:
        data = raw if raw is not None else (jsonlib.dumps(body).encode() if body is not None else b"")
        headers = {"Idempotency-Key": key} if key is not None else {}
        content_type = more.pop("content_type", "application/json")
        return Client(**more).post(self.base + path, data, content_type=content_type, headers=self.headers(headers))


def obtain_token(client_id: str, secret: str) -> str:
    fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = Client().post("/oauth/token", fields, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return str(answer.json()["access_token"])


@pytest.fixture
def caller_for(acme: SmartAccount, alice: User) -> Callable[..., Caller]:
    def make(role: Role, virtual_account: VirtualAccount | None = None) -> Caller:
        client, secret = create_api_client(
            actor=actor_for_user(alice),
            smart_account=acme,
            role=role,
            virtual_account=virtual_account,
            now=read_clock(),
        )
        return Caller(obtain_token(client.client_id, secret), client.client_id, secret)

    return make


@pytest.fixture
def admin(caller_for: Callable[..., Caller]) -> Caller:
    return caller_for(Role.SA_ADMIN)


@pytest.fixture
def va_user(caller_for: Callable[..., Caller], engineering: VirtualAccount) -> Caller:
    return caller_for(Role.VA_USER, engineering)


@pytest.fixture
def viewer(caller_for: Callable[..., Caller]) -> Caller:
    return caller_for(Role.SA_VIEWER)


@pytest.fixture
def approver(caller_for: Callable[..., Caller]) -> Caller:
    return caller_for(Role.SA_APPROVER)


@pytest.fixture
def stranger(umbrella: SmartAccount, mallory: User) -> Caller:
    client, secret = create_api_client(
        actor=actor_for_user(mallory), smart_account=umbrella, role=Role.SA_ADMIN, now=read_clock()
    )
    return Caller(obtain_token(client.client_id, secret), client.client_id, secret)


@pytest.fixture
def operator(olivia: User) -> Caller:
    client, secret = create_operator_client(actor=actor_for_user(olivia), now=read_clock())
    return Caller(obtain_token(client.client_id, secret), client.client_id, secret)


@pytest.fixture
def nobody(db: None) -> Caller:
    return Caller(None)
