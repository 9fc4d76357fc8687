"""The OAuth 2 token endpoint (RFC 6749, client credentials) as programs in the field call it.

They send the fields as a form, as JSON or in the query; the library behind reads a form alone. Fields are never logged.
"""

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.views.mixins import OAuthLibMixin

from cssm.common.api.parsers import is_storable, parse_json
from cssm.common.errors import DomainError
from cssm.common.permissions import Access

MAX_BODY: Final = 16 * 1024
MAX_FIELDS: Final = 20
SHOWN: Final = ("access_token", "token_type", "expires_in")
FORM: Final = "application/x-www-form-urlencoded"


class Refused(Exception):
    """An error of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


class FieldsBackend(OAuthLibCore):
    """Hands the library the fields that the front has read, as the form it expects, and no query."""

    def _extract_params(self, request: HttpRequest) -> tuple[str, str, str, dict[str, Any]]:
        fields: dict[str, str] = request.token_fields  # type: ignore[attr-defined]  # set by TokenFront.post
        return request.path, "POST", urlencode(fields), self.extract_headers(request)


@method_decorator(csrf_exempt, name="dispatch")
class TokenFront(OAuthLibMixin, View):
    permission = Access.PUBLIC
    http_method_names = ["post"]
    oauthlib_backend_class = FieldsBackend

    @sensitive_variables("fields")
    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            fields = read_fields(request)
            check_fields(fields, authorization=request.headers.get("Authorization", ""))
        except Refused as refused:
            return refuse(refused)
        request.token_fields = fields  # type: ignore[attr-defined]  # read by FieldsBackend
        _, _, body, status = self.create_token_response(request)
        answer = json.loads(body)
        if status != 200:
            return refuse(Refused(answer["error"], answer.get("error_description", ""), status=status))
        return secret_answer({name: answer[name] for name in SHOWN})

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = refuse(Refused("invalid_request", "Only POST is answered here.", status=405))
        response.headers["Allow"] = "POST"
        return response


def read_fields(request: HttpRequest) -> dict[str, str]:
    """Query and body together. Raises `Refused` for a field that stands twice (RFC 6749 section 3.2)."""
    pairs = [*form_pairs(request.META.get("QUERY_STRING", "").encode("latin-1"))]
    body = read_body(request)
    if body.strip():
        kind = (request.content_type or FORM).lower()
        if kind == "application/json":
            pairs.extend(json_pairs(body))
        elif kind == FORM:
            pairs.extend(form_pairs(body))
        else:
            raise Refused("invalid_request", f"Send the fields as {FORM} or as JSON.")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused("invalid_request", "A field stands more than once.")
    return fields


def read_body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_BODY:
        raise Refused("invalid_request", "The body is too large.")
    try:
        return request.body
    except (RequestDataTooBig, UnreadablePostError) as error:
        raise Refused("invalid_request", "The body cannot be read.") from error


def form_pairs(encoded: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Refused("invalid_request", "The fields are not a form in UTF-8.") from error


def json_pairs(body: bytes) -> Iterable[tuple[str, str]]:
    try:
        members = parse_json(body)
    except DomainError as error:
        raise Refused("invalid_request", error.message) from error
    if not isinstance(members, dict) or not all(isinstance(value, str) for value in members.values()):
        raise Refused("invalid_request", "The body must be a JSON object whose values are strings.")
    return members.items()


def check_fields(fields: dict[str, str], *, authorization: str) -> None:
    if not all(is_storable(name) and is_storable(value) for name, value in fields.items()):
        raise Refused("invalid_request", "A field holds a NUL character.")
    if not fields.get("grant_type"):
        raise Refused("invalid_request", "The field grant_type is missing.")
    if fields["grant_type"] != "client_credentials":
        raise Refused("unsupported_grant_type", "Only client_credentials is supported.")
    if not authorization.isascii():
        raise Refused("invalid_client", "The client is unknown or its secret is wrong.", status=401)
    # What the library understands beyond this grant (scopes, audiences) does not exist here.
    for name in set(fields) - {"grant_type", "client_id", "client_secret"}:
        del fields[name]


def refuse(refused: Refused) -> HttpResponse:
    body = {"error": refused.error}
    if refused.description:
        body["error_description"] = refused.description
    response = secret_answer(body, status=refused.status)
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="api"'
    return response


def secret_answer(body: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
