"""Whatever comes in, the answer is a refusal with a code, nothing changes, and it is never a 500."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import VirtualAccount
from tests.api.conftest import Caller

PATH = "/v1/accounts/acme.example/virtual-accounts"
DEEP = b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}"
VERY_DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID"),
        (b"   ", 400, "MALFORMED"),
        (b"{", 400, "MALFORMED"),
        (b"not json", 400, "MALFORMED"),
        (b"\xff\xfe", 400, "MALFORMED"),
        (b'\xef\xbb\xbf{"name": "Lab"}', 400, "MALFORMED"),
        (b'{"name": NaN}', 400, "MALFORMED"),
        (b'{"name": Infinity}', 400, "MALFORMED"),
        (b'{"name": 1e999}', 400, "MALFORMED"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "MALFORMED"),
        (b'{"name": "Lab", "name": "Other"}', 400, "MALFORMED"),
        (b'{"name": "La\\u0000b"}', 400, "MALFORMED"),
        (b'{"na\\u0000me": "Lab"}', 400, "MALFORMED"),
        (b'{"name": "\\ud800"}', 400, "MALFORMED"),
        (b'{"name": "Lab"} {}', 400, "MALFORMED"),
        (DEEP, 413, "TOO_LARGE"),
        (VERY_DEEP, 413, "TOO_LARGE"),
        (b'{"name": "' + b"x" * 3_000_000 + b'"}', 413, "TOO_LARGE"),
        (b"[]", 400, "INVALID"),
        (b"null", 400, "INVALID"),
        (b"1", 400, "INVALID"),
        (b'"text"', 400, "INVALID"),
        (b"{}", 400, "INVALID"),
        (b'{"name": null}', 400, "INVALID"),
        (b'{"name": 5}', 400, "INVALID"),
        (b'{"name": ["Lab"]}', 400, "INVALID"),
        (b'{"name": ""}', 400, "INVALID"),
        (b'{"name": "a/b"}', 400, "INVALID"),
        (b'{"name": "Lab", "nmae": "Lab"}', 400, "INVALID"),
        (b'{"name": "Lab", "commerceAccessLevel": "secret"}', 400, "INVALID"),
        (b'{"name": "' + b"x" * 121 + b'"}', 400, "INVALID"),
    ],
)
def test_a_bad_body_is_refused_with_a_code(admin: Caller, body: bytes, status: int, code: str):
    answer = admin.post(PATH, raw=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert VirtualAccount.objects.count() == 1


def test_an_unknown_field_is_named(admin: Caller):
    answer = admin.post(PATH, {"name": "Lab", "nmae": "Lab"}).json()
    (error,) = answer["errors"]
    assert (error["field"], error["code"]) == ("nmae", "UNKNOWN_FIELD")
    assert "nmae" in answer["statusMessage"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
def test_another_kind_of_body_is_415(admin: Caller, kind: str):
    answer = admin.post(PATH, {"name": "Lab"}, content_type=kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert VirtualAccount.objects.count() == 1


def test_a_character_set_beside_the_kind_does_no_harm(admin: Caller):
    assert admin.post(PATH, {"name": "Lab"}, content_type="Application/JSON; charset=utf-8").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "9" * 30},
        {"offset": "-1"},
        {"offset": "9" * 30},
        {"offset": "\x00"},
    ],
)
def test_a_bad_page_is_refused(admin: Caller, query: dict[str, str]):
    answer = admin.get(PATH, query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(query)))


@pytest.mark.parametrize("limit", ["1", "1000", " 7 "])
def test_a_page_size_within_bounds_is_taken(admin: Caller, limit: str):
    assert admin.get(PATH, {"limit": limit}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/%00/virtual-accounts",
        "/v1/accounts/acme.example/virtual-accounts/%00/delete",
        "/v1/accounts/%FF%FE/virtual-accounts",
        "/v1/accounts/acme.example/virtual-accounts/" + "x" * 5000 + "/delete",
        "/v1/accounts/acme.example/virtual-accounts/%ED%A0%80/delete",
        "/v1/accounts/acme.example/access-requests/" + "9" * 40 + "/approve",
        "/v1/accounts/acme.example/access-requests/" + "9" * 5000 + "/approve",
    ],
)
def test_nonsense_in_the_path_is_404(admin: Caller, path: str):
    assert admin.post(path, {"role": "SA_USER"}).status_code == 404
    assert VirtualAccount.objects.live().count() == 1


@pytest.mark.parametrize("value", ["\x00", "x" * 300, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "%"])
def test_nonsense_in_a_search_finds_nothing_or_is_refused(admin: Caller, value: str):
    for parameters in ({"domain": value}, {"type": value}):
        answer = admin.get("/v1/accounts/search", parameters)
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert answer.json()["accounts"] == []


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["name", "description", "commerceAccessLevel", "email", "role", "virtualAccount", "reason", "slr", "x"]
BODIES = ANY_JSON | st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, max_size=5)
PATHS = [
    PATH,
    PATH + "/Lab/delete",
    "/v1/accounts/acme.example/users",
    "/v1/accounts/acme.example/users/change-role",
    "/v1/accounts/acme.example/users/remove",
    "/v1/accounts/acme.example/access-requests/1/approve",
]


@given(path=st.sampled_from(PATHS), body=BODIES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_at_all_makes_a_500(admin: Caller, path: str, body: object):
    answer = admin.post(path, raw=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 404, 409)


@given(path=st.sampled_from(PATHS), body=st.binary(max_size=60))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_at_all_make_a_500(admin: Caller, path: str, body: bytes):
    assert admin.post(path, raw=body).status_code in (200, 400, 404, 409, 413)
