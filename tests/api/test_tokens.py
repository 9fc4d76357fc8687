"""OAuth 2 client credentials, as programs in the field ask for them."""

import base64
import json
from typing import Any

import pytest
from django.test import Client
from oauth2_provider.models import AccessToken

from accounts.models import ApiClient
from accounts.services.actors import actor_for_user
from accounts.services.api_clients import revoke_api_client
from cssm.common.clock import read_clock
from tests.api.conftest import Caller

PATHS = ["/as/token.oauth2", "/oauth2/default/v1/token", "/oauth/token", "/backend/oauth/token"]


def fields_of(caller: Caller, **changes: str) -> dict[str, str]:
    given = {"grant_type": "client_credentials", "client_id": caller.client_id, "client_secret": caller.secret}
    return {**given, **changes}


def ask(path: str, fields: dict[str, str], way: str) -> Any:
    match way:
        case "urlencoded":
            body = "&".join(f"{name}={value}" for name, value in fields.items())
            return Client().post(path, body, content_type="application/x-www-form-urlencoded; charset=utf-8")
        case "json":
            return Client().post(path, json.dumps(fields), content_type="application/json")
        case _:
            return Client().post(path, "", content_type="text/plain", query_params=fields)


def ask_with(authorization: str) -> Any:
    form = "application/x-www-form-urlencoded"
    headers = {"Authorization": authorization}
    return Client().post("/oauth/token", "grant_type=client_credentials", content_type=form, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["urlencoded", "json", "query"])
def test_a_token_is_given_on_every_path_in_every_way(admin: Caller, path: str, way: str):
    answer = ask(path, fields_of(admin), way)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)
    assert answer.headers["Cache-Control"] == "no-store"
    assert Caller(body["access_token"]).get("/v2/accounts").status_code == 200


def test_client_id_and_secret_may_come_by_basic_authentication(admin: Caller):
    credentials = base64.b64encode(f"{admin.client_id}:{admin.secret}".encode()).decode()
    answer = ask_with(f"Basic {credentials}")
    assert answer.status_code == 200


def test_the_database_holds_neither_token_nor_secret(admin: Caller):
    stored = AccessToken.objects.get()
    assert admin.token is not None
    assert admin.token not in (stored.token, stored.token_checksum)
    assert admin.secret not in ApiClient.objects.get(client_id=admin.client_id).client_secret


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"client_secret": "nul\x00"}, 400, "invalid_request"),
    ],
)
def test_a_bad_request_for_a_token_gets_the_error_of_the_standard(
    admin: Caller, changes: dict[str, str], status: int, error: str
):
    for way in ("json", "query"):
        answer = ask("/oauth/token", fields_of(admin, **changes), way)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert "access_token" not in answer.json()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"grant_type=%FF%FE", "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"[1]", "application/json"),
        (b'{"grant_type": 1}', "application/json"),
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (b'{"grant_type": "\\ud800"}', "application/json"),
        (b"x" * 20_000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(50)), "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials", "text/plain"),
        (b"", ""),
    ],
)
def test_what_cannot_be_read_is_a_clean_invalid_request(nobody: Caller, body: bytes, content_type: str):
    answer = Client().post("/oauth/token", body, content_type=content_type)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "header", ["Basic é", "Basic !!!", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic"]
)
def test_a_broken_authorization_header_is_an_invalid_client(nobody: Caller, header: str):
    answer = ask_with(header)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_only_post_is_answered(nobody: Caller):
    answer = Client().get("/oauth/token")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["error"] == "invalid_request"


def test_a_revoked_client_gets_no_token_and_its_tokens_open_nothing(admin: Caller, alice):
    client = ApiClient.objects.get(client_id=admin.client_id)
    revoke_api_client(actor=actor_for_user(alice), client=client, now=read_clock())
    assert ask("/oauth/token", fields_of(admin), "json").status_code == 401
    assert admin.get("/v2/accounts").status_code == 401


def test_a_token_of_a_client_whose_row_alone_says_revoked_opens_nothing(admin: Caller):
    ApiClient.objects.update(revoked_at=read_clock())
    assert admin.get("/v2/accounts").status_code == 401


def test_an_expired_token_opens_nothing(admin: Caller):
    AccessToken.objects.update(expires=read_clock())
    answer = admin.get("/v2/accounts")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


def test_a_token_in_the_address_is_refused_even_beside_a_good_header(admin: Caller):
    assert admin.get("/v2/accounts", {"access_token": admin.token}).status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic abc", "Bearer é", "Token x", "Bearer a b c"])
def test_a_broken_bearer_header_is_401(nobody: Caller, header: str):
    answer = Client().get(nobody.base + "/v2/accounts", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_of_an_inactive_account_opens_nothing(admin: Caller, acme):
    acme.status = "INACTIVE"
    acme.save()
    assert admin.get("/v2/accounts").status_code == 401
