"""The same calls below every prefix that programs in the field use, and the same refusals."""

from typing import Any

import pytest
from django.test import Client

from tests.api.conftest import BASE, Caller

DOUBLED = "/services/api/services/api/smart-accounts-and-licensing"
WITH_V1 = [BASE, DOUBLED, "/" + BASE, "/" + DOUBLED]
V1_ONLY = ["/api", "/backend/api", "//api", "//backend/api"]
LIST = "/v1/accounts/acme.example/virtual-accounts"


def get(path: str, **headers: str) -> Any:
    """By a whole URL: of a path with a doubled slash the test client would take the start for a host."""
    return Client().get("http://testserver" + path, headers=headers)


def check_refusal(answer: Any, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, "ERROR", code)
    assert set(body) >= {"status", "statusMessage", "code", "errors", "correlationId"}
    assert body["statusMessage"]
    assert body["correlationId"] == answer.headers["X-Correlation-ID"]
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("prefix", WITH_V1 + V1_ONLY)
def test_v1_answers_below_every_prefix(admin: Caller, prefix: str):
    answer = get(prefix + LIST, **admin.headers())
    assert answer.status_code == 200
    assert [row["name"] for row in answer.json()["virtualAccounts"]] == ["DEFAULT"]


@pytest.mark.parametrize("prefix", WITH_V1)
def test_v2_answers_below_the_long_prefixes(admin: Caller, prefix: str):
    assert get(prefix + "/v2/accounts/search", **admin.headers()).json()["status"] == "COMPLETE"


@pytest.mark.parametrize("prefix", V1_ONLY)
def test_v2_does_not_answer_below_the_short_prefixes(admin: Caller, prefix: str):
    check_refusal(get(prefix + "/v2/accounts/search", **admin.headers()), 404, "NOT_FOUND")


@pytest.mark.parametrize("prefix", WITH_V1)
def test_without_a_token_it_is_401(nobody: Caller, prefix: str):
    answer = get(prefix + LIST)
    check_refusal(answer, 401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    check_refusal(get(prefix + LIST, Authorization="Bearer wrong"), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("prefix", V1_ONLY)
def test_without_a_token_it_is_403_below_the_short_prefixes(nobody: Caller, prefix: str):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = get(prefix + LIST, **headers)
        check_refusal(answer, 403, "UNAUTHENTICATED")
        assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("prefix", WITH_V1 + V1_ONLY)
def test_a_strangers_account_and_an_unknown_call_are_404_as_json(stranger: Caller, acme, prefix: str):
    check_refusal(get(prefix + LIST, **stranger.headers()), 404, "NOT_FOUND")
    check_refusal(get(prefix + "/v1/no/such/call", **stranger.headers()), 404, "NOT_FOUND")


@pytest.mark.parametrize("prefix", WITH_V1 + V1_ONLY)
def test_a_missing_right_is_403(viewer: Caller, prefix: str):
    check_refusal(get(prefix + "/v1/accounts/acme.example/users", **viewer.headers()), 403, "FORBIDDEN")


@pytest.mark.parametrize("path", ["/api", "/api/", "/services/api", "/backend/api/x", BASE, BASE + "/v3/none"])
def test_nothing_below_the_api_is_ever_a_page(nobody: Caller, path: str):
    for method in ("get", "post", "put", "delete", "options"):
        check_refusal(getattr(Client(), method)(path), 404, "NOT_FOUND")


def test_a_method_that_a_call_does_not_have_is_405(admin: Caller):
    answer = Client().delete(BASE + LIST, headers=admin.headers())
    check_refusal(answer, 405, "METHOD_NOT_ALLOWED")
    answer = Client().put(BASE + LIST, headers=admin.headers())
    check_refusal(answer, 405, "METHOD_NOT_ALLOWED")


def test_the_description_and_its_page_are_there_without_inline_scripts(nobody: Caller):
    schema = Client().get("/api/schema/")
    assert schema.status_code == 200
    assert b"openapi: 3.1.0" in schema.content
    page = Client().get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "<style" not in text
    assert text.count("<script src=") == text.count("<script") == 3
    script = Client().get("/api/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert b"/api/schema/" in script.content
