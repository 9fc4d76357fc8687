"""The one map from what can go wrong to HTTP: for every API call, on every prefix, never as a page."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DataError
from django.http import Http404, HttpRequest, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from cssm.common.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unavailable
from cssm.common.middleware import correlation_id_of

log = structlog.get_logger(__name__)

# Programs written against these prefixes know 403 only.
PREFIXES_WITHOUT_401: Final = ("/api/v1/", "/backend/api/v1/")

STATUS_OF_KIND: Final[dict[type[DomainError], int]] = {
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
}
STATUS_OF_CODE: Final[dict[str, int]] = {"IDEMPOTENCY_KEY_REUSED": 422, "RATE_LIMITED": 429, "TOO_LARGE": 413}
CODE_OF_STATUS: Final[dict[int, str]] = {
    400: "MALFORMED",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal in HTTP's terms. `errors` names single fields: `{"field", "code", "message"}` each.

    Of bodies with many rows also `line`, which counts from 1; a service gives them as `details["errors"]`.
    """

    status: int
    code: str
    message: str
    errors: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def answer_exception(exc: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler. The view may write the body in its own style by a method `write_problem(problem)`."""
    view, request = context["view"], context["request"]
    problem = problem_of(exc)
    if problem.status == 500:
        log.error("api_call_failed", path=request.path, exc_info=exc)
        got_request_exception.send(sender=type(view), request=getattr(request, "_request", request))
    if problem.status == 401:
        problem = _unauthenticated(problem, view, request)
    write = getattr(view, "write_problem", write_problem)
    body = {**write(problem), "correlationId": correlation_id_of(request)}
    return Response(body, status=problem.status, headers=dict(problem.headers))


def write_problem(problem: Problem) -> dict[str, Any]:
    """The body in v1 style."""
    body: dict[str, Any] = {
        "status": "ERROR",
        "statusMessage": problem.message,
        "code": problem.code,
        "errors": list(problem.errors),
    }
    return {**body, "details": problem.details} if problem.details else body


def problem_of(exc: Exception) -> Problem:
    """What an exception means to the caller. One that nobody foresaw is a 500 that tells nothing."""
    match exc:
        case DomainError():
            return _of_domain_error(exc)
        case exceptions.ValidationError():
            return of_validation(exc.detail)
        case exceptions.APIException():
            return _of_api_exception(exc)
        case Http404():
            return Problem(404, "NOT_FOUND", "There is no such thing here.")
        case PermissionDenied():
            return Problem(403, "FORBIDDEN", "This is not allowed.")
        case RequestDataTooBig():
            return Problem(413, "TOO_LARGE", "The body is too large.")
        case SuspiciousOperation() | UnreadablePostError():
            return Problem(400, "MALFORMED", "The request cannot be read.")
        case DataError():
            return Problem(400, "OUT_OF_RANGE", "A value is out of range.")
        case _:
            return Problem(500, "INTERNAL", "Something went wrong here. Tell the operator the correlation id.")


def of_validation(detail: Any) -> Problem:
    """Every field that a serializer refused, by its path in the body (`lines[2].quantity`)."""
    errors = tuple(_flatten(detail, ""))
    shown = "; ".join(
        f"{error['field']}: {error['message']}" if error["field"] else error["message"] for error in errors
    )
    return Problem(400, "INVALID", shown[:500] or "The request is not valid.", errors)


def _of_domain_error(exc: DomainError) -> Problem:
    status = STATUS_OF_CODE.get(exc.code) or next(
        (status for kind, status in STATUS_OF_KIND.items() if isinstance(exc, kind)), 400
    )
    details = dict(exc.details)
    rows = tuple(details.pop("errors", ()))
    if not rows and exc.where:
        rows = ({"field": exc.where, "code": exc.code, "message": exc.message},)
    return Problem(status, exc.code, exc.message, rows, details)


def _of_api_exception(exc: exceptions.APIException) -> Problem:
    headers = {}
    if getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = str(exc.auth_header)  # type: ignore[attr-defined]  # set by DRF itself
    if getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(exc.wait))  # type: ignore[attr-defined]  # of Throttled alone
    code = CODE_OF_STATUS.get(exc.status_code, str(exc.default_code).upper())
    return Problem(exc.status_code, code, str(exc.detail), headers=headers)


def _unauthenticated(problem: Problem, view: Any, request: HttpRequest) -> Problem:
    if f"/{request.path.lstrip('/')}".startswith(PREFIXES_WITHOUT_401):
        return replace(problem, status=403, headers={})
    return problem


def _flatten(detail: Any, path: str) -> list[dict[str, str]]:
    if isinstance(detail, Mapping):
        return [error for key, inner in detail.items() for error in _flatten(inner, _step(path, str(key)))]
    if isinstance(detail, list | tuple):
        return [
            error
            for position, inner in enumerate(detail)
            for error in _flatten(inner, path if isinstance(inner, str) else f"{path}[{position}]")
        ]
    return [{"field": path, "code": str(getattr(detail, "code", "invalid")).upper(), "message": str(detail)}]


def _step(path: str, key: str) -> str:
    if key == "non_field_errors":
        return path
    if key.startswith("["):
        return f"{path}{key}"
    return f"{path}.{key}" if path else key
